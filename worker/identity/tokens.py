"""
Signed tokens (JWT, HS256; facts/seeds.md §3.3): access tokens, one audience each, and tickets.

The algorithm is pinned and never read from a token; the key id selects among the keys of the ring,
so that signing keys rotate while older tokens still hold. Times are judged by the clock handed in.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from worker.codec import unb64url
from worker.errors import Unauthorized
from worker.setting_kinds import Keyring

ISSUER = "edgekeep"
Audience = Literal["api", "relay", "backup", "replication"]
AUDIENCES: tuple[Audience, ...] = ("api", "relay", "backup", "replication")
Kind = Literal["at+jwt", "ticket+jwt"]
CHALLENGE = {"WWW-Authenticate": "Bearer"}

# Machines' clocks differ; a token may come from one that is ahead.
_CLOCK_SKEW_SECONDS = 60
# The year 9999: later ones cannot be written as dates.
_END_OF_TIME = 253_402_300_800
# A JWT of ours has about 400 characters; nothing larger is worth parsing.
_TOKEN_CHARS = 4096


@dataclass(frozen=True, slots=True)
class Claims:
    """
    What a token says. *subject* is an account id or the name of a machine.

    *session_id* is "" for machines; *auth_time* is when the person proved who they are (epoch
    seconds, 0 for machines); *token_id* names a ticket; *expires_at* in epoch seconds.
    """

    subject: str
    audience: Audience = "api"
    scopes: frozenset[str] = frozenset()
    role: str = ""
    session_id: str = ""
    auth_time: int = 0
    token_id: str = ""
    expires_at: float = 0


def issue(
    keys: Keyring,
    subject: str,
    scopes: Iterable[str],
    now: float,
    minutes: float,
    *,
    audience: Audience = "api",
    kind: Kind = "at+jwt",
    **more: str | int,
) -> str:
    """
    Return a signed token for *subject* that lives *minutes*.

    *more* are further claims under their JWT names: sid, role, auth_time, jti.
    """
    import jwt

    claims = {
        "iss": ISSUER,
        "aud": audience,
        "sub": subject,
        "scope": " ".join(scopes),
        "iat": int(now),
        # A thousandth more, so that rounding of fractions takes no second away.
        "exp": int(now + minutes * 60 + 0.001),
        **more,
    }
    key = keys.keys[keys.current].reveal()
    return jwt.encode(claims, key, "HS256", headers={"kid": keys.current, "typ": kind})


def verify(token: str, keys: Keyring, now: float, kind: Kind = "at+jwt") -> Claims:
    """Return what *token* says, whatever its audience; raises `Unauthorized` if it fails."""
    import jwt

    bad = invalid()
    if len(token) > _TOKEN_CHARS or not _is_spelt_well(token):
        raise bad
    try:
        header = jwt.get_unverified_header(token)
        key = keys.keys.get(str(header.get("kid")))
        if key is None or header.get("typ") != kind:
            raise bad
        claims: dict[str, Any] = jwt.decode(
            token,
            key.reveal(),
            algorithms=["HS256"],
            audience=AUDIENCES,
            issuer=ISSUER,
            # The clock is handed in, so the times are judged below.
            options={
                "require": ["exp", "iat", "sub"],
                "strict_aud": False,
                "verify_exp": False,
                "verify_iat": False,
                "verify_nbf": False,
            },
        )
    except (jwt.PyJWTError, ValueError, RecursionError):
        raise bad from None
    latest_begin = now + _CLOCK_SKEW_SECONDS
    began = _moment(claims, "iat") <= latest_begin and _moment(claims, "nbf") <= latest_begin
    holds = now < _moment(claims, "exp") and _moment(claims, "auth_time") >= 0
    if not (began and holds and isinstance(claims["aud"], str)):
        raise bad
    return _claims(claims)


def invalid() -> Unauthorized:
    """Return the one answer to a token that does not hold; it does not say why."""
    return Unauthorized("The access token is not valid or has expired.", headers=CHALLENGE)


def _claims(claims: dict[str, Any]) -> Claims:
    return Claims(
        subject=str(claims["sub"]),
        audience=claims["aud"],
        scopes=frozenset(str(claims.get("scope", "")).split()),
        role=str(claims.get("role", "")),
        session_id=str(claims.get("sid", "")),
        auth_time=int(_moment(claims, "auth_time")),
        token_id=str(claims.get("jti", "")),
        expires_at=float(claims["exp"]),
    )


def _moment(claims: dict[str, Any], name: str) -> float:
    """Return a time claim; one that is no moment compares with nothing, so the token fails."""
    value = claims.get(name, 0)
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    # Infinity and integers of any length are numbers in JSON as Python reads it.
    return value if is_number and 0 <= value < _END_OF_TIME else math.nan


def _is_spelt_well(token: str) -> bool:
    """Whether its parts are base64url as RFC 7515 writes it: one token has one spelling."""
    try:
        return len([unb64url(part) for part in token.split(".")]) == 3
    except ValueError:
        return False
