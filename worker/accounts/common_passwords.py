"""
What people choose first: a small list of our own making, all in lower case.

Long passwords are rarely single entries of the lists that circulate; they are short ones with
digits around them or two in a row. So most of this is words; `passwords.is_common` undresses.
"""

from typing import Final

LETTERS_AS_DIGITS: Final = str.maketrans("01345789@$!", "oieastbgasi")

# Every one of these, alone or up to three in a row, with any digits and signs around.
WORDS: Final = tuple(
    """
    password passwort passwd pass passphrase motdepasse contrasena wachtwoord parola senha secret
    geheim geheimnis default changeme change letmein let me in welcome willkommen bienvenue hello
    hallo login signin user username admin administrator root test testing tester temp temporary
    guest master super superuser server system computer internet windows linux google facebook
    apple amazon github cloudflare edgekeep iloveyou ilove love loveyou you my the and
    is a to of for mylove forever always never baby babygirl princess angel lovely sunshine
    flower butterfly rainbow
    sweet honey sugar chocolate cookie banana orange cheese coffee summer winter spring autumn
    january february march april june july august september october november december monday
    tuesday wednesday thursday friday saturday sunday today tomorrow london paris berlin america
    england germany france deutschland football baseball basketball hockey soccer tennis liverpool
    arsenal chelsea barcelona realmadrid manchester united yankees cowboys steelers dragon monkey
    tiger eagle wolf shadow phoenix ninja samurai killer hunter ranger soldier warrior knight king
    queen prince batman superman spiderman starwars pokemon pikachu minecraft fortnite matrix
    trustno one two three four five six seven eight nine zero qwerty qwertz azerty asdf asdfgh
    zxcvbn zxcvbnm qwertyuiop asdfghjkl qazwsx abc abcd abcdef michael jennifer jessica jordan
    jordan charlie daniel thomas andrew robert william matthew joshua ashley nicole samantha maria
    anna alex david james john george freedom whatever nothing anything something access money
    family friends friend mother father sister brother mustang ferrari porsche mercedes harley
    hunter2 jesus christ god bless blessed heaven hell devil fuck fuckyou asshole bitch sexy
    correcthorsebatterystaple correct horse battery staple
    """.split()  # noqa: SIM905 - a list of words reads better as one text
)

# Whole ones that the words above do not reach.
PASSWORDS: Final = frozenset(
    """
    1q2w3e4r5t6y 1qaz2wsx3edc 1qazxsw23edc 1q2w3e4r5t6y7u q1w2e3r4t5y6 qwer1234asdf zaq12wsxcde3
    123qweasdzxc qweasdzxc123 qwe123asd456 asd123qwe456 1234qwerasdf a1b2c3d4e5f6 abcd1234efgh
    123abc456def aa123456789a a12345678900 q123456789qq abc123abc123 123456qwerty qwerty123456
    g_czechout18 d1lakiss1234 1g2w3e4r5t6y yuantuo2012x j38ifubn9k12 thequickbrownfox
    onetwothreefour ihatepasswords idontknow1234 mypasswordis12 correcthorsebatterystaple
    thisismypassword iamthebest123 ilovemymother nopassword1234 rememberme1234 openthedoor12
    opensesame12 opensesame123 blink182blink1 lastpass1234 keepass12345 cheeseburger1
    """.split()  # noqa: SIM905 - a list of words reads better as one text
)

# Rows and columns of keyboards, there and back.
_LINES: Final = (
    *("1234567890", "qwertyuiop", "asdfghjkl", "zxcvbnm", "qwertzuiop", "yxcvbnm", "azertyuiop"),
    *("qsdfghjklm", "wxcvbn", "1qaz", "2wsx", "3edc", "4rfv", "5tgb", "6yhn", "7ujm", "!@#$%^&*()"),
    "abcdefghijklmnopqrstuvwxyz",
)
WALKS: Final = (*_LINES, *(line[::-1] for line in _LINES))
