"""Passwords: what is accepted, the bytes they stand for, and how hard they are to guess."""

import unicodedata
from dataclasses import dataclass

from clients.python.backup.errors import WeakPassword

# Seed 1.001 §2.1: longer than 12 characters.
FEWEST_CHARACTERS = 13
_MOST_CHARACTERS = 1024
# Beyond this zxcvbn takes long, and nothing it would find matters.
_JUDGED_CHARACTERS = 72
# What well-equipped guessers may do against our Argon2id floor, all their machines together.
_GUESSES_A_SECOND = 1e4


@dataclass(frozen=True, slots=True)
class Strength:
    """*score* is 0 (guessed at once) to 4 (strong); *hint* is a sentence, "" when all is well."""

    score: int
    guessing_time: str
    hint: str


def as_bytes(password: str) -> bytes:
    """
    Return NFKC in UTF-8, so that the same word typed on two keyboards is the same password.

    Raises `WeakPassword` for text that has no such form (lone surrogates) or is absurdly long.
    """
    if len(password) > _MOST_CHARACTERS:
        raise WeakPassword(f"A password has at most {_MOST_CHARACTERS} characters.")
    try:
        return unicodedata.normalize("NFKC", password).encode()
    except UnicodeEncodeError:
        raise WeakPassword("The password holds characters that are no Unicode text.") from None


def check_new(password: str) -> None:
    """Raise `WeakPassword` unless *password* may protect a backup: 13 characters and more."""
    if len(as_bytes(password).decode()) < FEWEST_CHARACTERS:
        raise WeakPassword(
            f"A backup password has at least {FEWEST_CHARACTERS} characters: it is all that stands "
            "between your identity and whoever gets hold of the server's store."
        )


def strength(password: str) -> Strength:
    """Judge *password* with zxcvbn, an estimate that knows dictionaries and keyboards."""
    from zxcvbn import zxcvbn

    verdict = zxcvbn(password[:_JUDGED_CHARACTERS])
    feedback = verdict["feedback"]
    # Its sentences are fixed texts; none repeats the password.
    texts = [feedback["warning"], *feedback["suggestions"]] if verdict["score"] < 4 else []
    hint = " ".join(f"{text.rstrip('.')}." for text in texts if text)
    # Half of the guesses find it on average.
    return Strength(
        verdict["score"], _spell(float(verdict["guesses"]) / 2 / _GUESSES_A_SECOND), hint
    )


def _spell(seconds: float) -> str:
    units = [("century", 3.15e9), ("year", 3.15e7), ("day", 86400.0), ("hour", 3600.0)]
    for name, length in units:
        if seconds >= length:
            count = int(seconds / length)
            if name == "century":
                return "centuries"
            return f"{count} {name}{'s' if count > 1 else ''}"
    return "less than an hour"
