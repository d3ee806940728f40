"""
Which passwords will do (issue 5; OWASP Authentication Cheat Sheet, NIST SP 800-63B §3.1.1).

Length counts, not kinds of characters. Refused is what guessing programs try first: common
passwords, with the usual digits and letters-as-digits around them; repetitions, sequences, rows of
a keyboard; and what leans on the username. A password is what its characters look like (NFKC), so
that every keyboard gives the same one.
"""

import unicodedata
from itertools import pairwise

from worker.accounts import common_passwords as common
from worker.accounts.model import Fault, fault, is_plain

# NIST SP 800-63B asks for 8 characters at least; the issue for 12. Characters after NFKC.
PASSWORD_LEAST_CHARS = 12
PASSWORD_MOST_CHARS = 1024

# So many different characters at least: fewer make a pattern, however long.
_DISTINCT = 5


def usable(typed: str) -> str | None:
    """Return the one spelling of *typed*, or None for what no password here can be."""
    if len(typed) > PASSWORD_MOST_CHARS or not is_plain(typed):
        return None
    spelt = unicodedata.normalize("NFKC", typed)
    return spelt if len(spelt) <= PASSWORD_MOST_CHARS else None


def choose(typed: str, username: str, field: str = "password") -> tuple[str, list[Fault]]:
    """
    Return the spelling of a new password and its faults (none when it will do).

    *username* is folded, or "" when there is none; *field* is the member the faults name.
    """
    password = usable(typed)
    if password is None:
        most = f"A password has at most {PASSWORD_MOST_CHARS} characters, none of them control."
        return "", [fault(field, "format", most)]
    if len(password) < PASSWORD_LEAST_CHARS:
        least = f"A password has at least {PASSWORD_LEAST_CHARS} characters."
        return password, [fault(field, "too_short", least)]
    plain = password.casefold()
    rest = plain.replace(username, "")
    # What is left without the name must be long enough by itself.
    if username and len(rest) < min(len(plain), PASSWORD_LEAST_CHARS):
        return password, [fault(field, "contains_username", "It leans on the username.")]
    if is_pattern(plain):
        return password, [fault(field, "pattern", "It is a pattern that is guessed early.")]
    if is_common(plain):
        return password, [fault(field, "common", "It is among the passwords guessed first.")]
    return password, []


def is_pattern(plain: str) -> bool:
    """Whether *plain* repeats itself, counts, or walks along a keyboard."""
    if len(set(plain)) < _DISTINCT:
        return True
    half = len(plain) // 2
    if any(_repeats(plain, size) for size in range(1, half + 1)):
        return True
    return _counts(plain) or _walks(plain)


def is_common(plain: str) -> bool:
    """Whether *plain* (case-folded) is a common password or dressed-up common words."""
    if plain in common.PASSWORDS:
        return True
    bare = plain.strip("0123456789!?.,;:#*+-_@$%& ")
    spelt = bare.translate(common.LETTERS_AS_DIGITS)
    letters = "".join(one for one in spelt if one.isalnum())
    if not letters:
        # Digits alone are a date, a card or a telephone; long ones can only be dice.
        return plain.isdecimal() and len(plain) < 16
    return _is_made_of(letters, 3)


def _repeats(text: str, size: int) -> bool:
    unit = text[:size]
    return (unit * (len(text) // size + 1))[: len(text)] == text


def _counts(text: str) -> bool:
    """Whether each character follows the one before, up or down; 0 follows 9, a follows z."""
    return any(all(_follows(one, two, step) for one, two in pairwise(text)) for step in (1, -1))


def _follows(one: str, two: str, step: int) -> bool:
    return ord(two) - ord(one) == step or (one + two)[::step] in ("90", "za")


def _walks(text: str) -> bool:
    """Whether *text* is cut from rows and columns of a keyboard, four keys or more at a time."""
    position = 0
    while position < len(text):
        longest = max(
            (
                _shared(text[position:], walk[start:])
                for walk in common.WALKS
                for start in range(len(walk))
                if walk[start] == text[position]
            ),
            default=0,
        )
        if longest < min(4, len(text) - position):
            return False
        position += longest
    return True


def _shared(one: str, two: str) -> int:
    count = 0
    for left, right in zip(one, two, strict=False):
        if left != right:
            break
        count += 1
    return count


def _is_made_of(letters: str, most: int) -> bool:
    """Whether at most *most* common words, one after another, make *letters*."""
    if not letters:
        return True
    return most > 0 and any(
        letters.startswith(word) and _is_made_of(letters[len(word) :], most - 1)
        for word in common.WORDS
    )
