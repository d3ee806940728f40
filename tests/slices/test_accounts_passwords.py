"""Which passwords will do: long ones that are not what guessing programs try first."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.accounts import post
from tests.support.problems import assert_problem
from tests.support.running_host import RunningHost
from worker.accounts.passwords import choose, usable

_REFUSED = {
    "too_short": ("", "x", "Tr0ub4dor&3", "elevenchars", "ﬃ ﬃ ﬃ"),
    "pattern": (
        *("aaaaaaaaaaaa", "abababababab", "abcabcabcabcabc", "112233112233", "111111111112"),
        *("123456789012", "abcdefghijkl", "lkjihgfedcba", "098765432109", "zyxwvutsrqpo"),
        *("qwertyuiopas", "qwertyuiop1234567890", "1qaz2wsx3edc4rfv", "ASDFGHJKLQWERTY"),
        *("hello1hello1", "Tange!Tange!Tange!"),
    ),
    "common": (
        *("password1234", "Password1234!", "P@ssw0rd2026!", "passwordpassword1", "letmein123456"),
        *("iloveyou2026", "IloveYouForever!", "welcome-to-1234", "admin1234567", "Summer2026!!!"),
        *("1q2w3e4r5t6y", "correct horse battery staple", "qwerty-asdfgh1", "edgekeep2026"),
        *("481516234219", "+49 170 1234567"[1:].replace(" ", ""), "dragonmonkey99", "changeme1234"),
    ),
    "contains_username": ("alice_wonder1", "ALICE_WONDER!!", "my alice_wonder", "１alice_wonderx"),
    "format": (
        "x" * 1025,
        "tangerine\0velocity",
        "tangerine\nvelocity",
        "tanger\ud800ine velocity",
    ),
}
_ACCEPTED = (
    *("tangerine velocity 9", "sixteen quiet lanterns", "zX9-qP2_mL7w", "ich mag keine Tomaten"),
    *(
        "пароль из двенадцати",
        "これは十二文字の合言葉です",
        "🦊🐢🐙🦉🐝🐬🦀🐌🦋🐞🐳🦔",
        "x" * 3 + "Kp7!vQz" * 5 + "y",
    ),
    *("73190264857120946", "alice_wonder saw seven ships", "my father was a fisherman"),
    "".join(chr(0x100 + n * 3) for n in range(1000)),
)


@pytest.mark.parametrize("code", _REFUSED)
def test_what_is_guessed_first_is_refused(code: str) -> None:
    """Each kind of weakness by its own code."""
    for typed in _REFUSED[code]:
        _, faults = choose(typed, "alice_wonder")
        assert [fault["error_code"] for fault in faults] == [code], typed


def test_long_and_odd_passwords_will_do() -> None:
    """Every script, words that are no common ones, and digits from dice; up to 1024 characters."""
    for typed in _ACCEPTED:
        assert choose(typed, "alice_wonder")[1] == [], typed
    assert choose("x7" + "Kp7!vQz" * 146, "")[1] == []


@given(st.text(max_size=60), st.sampled_from(["", "abc", "alice_wonder"]))
def test_any_text_is_judged(typed: str, username: str) -> None:
    """No text makes it fail; what will do is one spelling and stays the same when typed so."""
    password, faults = choose(typed, username)
    if not faults:
        assert 12 <= len(password) <= 1024
        assert usable(password) == password == usable(typed)
        password.encode()


async def test_a_weak_password_makes_no_account(host: RunningHost) -> None:
    """422 names the member and the rule and never quotes the password; both faults at once."""
    answer = await post(host, "/v1/users", username="a", password="canary123")
    problem = assert_problem(answer, 422, "unprocessable", members=["errors"])
    told = [(fault["field"], fault["error_code"]) for fault in problem["errors"]]
    assert told == [("username", "pattern"), ("password", "too_short")]
    assert b"canary" not in answer.body
    assert await host.env.db.prepare("SELECT count(*) AS n FROM accounts").first("n") == 0
