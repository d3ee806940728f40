"""
Magic links: an address of ours in a mail that signs in, or links the mailbox to an account.

A link holds ten minutes, once, and only in the browser that asked (facts/seeds.md §3.3). Nothing is
kept until it is used: the link says all there is, under a seal that only this deployment can make.
In it is the keyed hash of the address, under every look-up key, and never the address itself.

A mail may be read on another device than the one that asked. So it brings a code too, to be typed
where the link was asked for: it follows from that browser's cookie, the address, and the minute in
which the link ends, so again nothing is kept but how often somebody tried.
"""

import hashlib
import hmac
import re
from dataclasses import astuple, dataclass, replace
from typing import Final

from worker.accounts.errors import InvalidLink, OtherBrowser
from worker.accounts.model import Way
from worker.codec import b64url, open_cursor, seal_cursor
from worker.env import Env
from worker.identity import cookies
from worker.identity.email_address import Hashes, hashes
from worker.identity.once import spend
from worker.identity.tokens import CHALLENGE
from worker.mail.port import Mail
from worker.web import Request

# A link that signs in, or links an address: once (facts/seeds.md §3.3).
MAGIC_LINK_SECONDS = 10 * 60
# Where a page wants to go on to.
NEXT_CHARS = 512

COOKIE: Final = "__Host-magic"
PATH: Final = "/api/auth/magic-link/verify"
_PURPOSE: Final = "magic-link"
_NONCE = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)
_LOCAL_PATH = re.compile(r"/[\x21-\x7e]*", re.ASCII)
# A link of ours has a few hundred characters; nothing larger is worth opening.
_TOKEN_CHARS: Final = 4096
# 40 bits in letters and digits that are not mistaken for each other (Crockford's base 32).
_CODE_LETTERS: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_CODE_CHARS: Final = 8
_MISREAD: Final = str.maketrans({"O": "0", "I": "1", "L": "1", "-": "", " ": ""})
# Tries that one browser has for one address, until its links end.
CODE_TRIES: Final = 5
_MINUTE: Final = 60


@dataclass(frozen=True, slots=True)
class Link:
    """
    What a link says.

    *browser* is the hash of the cookie that the browser got which asked. *next_path*: where its
    page wants to go on to, or "". *account_id* and *session_id* say for whom the mailbox is to be
    linked, "" for a sign-in.
    """

    token_id: str
    expires_at: int
    browser: str
    spellings: Hashes
    next_path: str = ""
    account_id: str = ""
    session_id: str = ""


def make(
    env: Env,
    address: str,
    nonce: str,
    *,
    next_path: str = "",
    account_id: str = "",
    session_id: str = "",
) -> Link:
    """Return a new link for a normalised *address* and the browser that has the cookie *nonce*."""
    return Link(
        env.tools.random_bytes(16).hex(),
        int(env.tools.now()) + MAGIC_LINK_SECONDS,
        _fingerprint(nonce),
        hashes(env.settings.email_lookup_keys, address),
        next_path,
        account_id,
        session_id,
    )


def seal(env: Env, link: Link) -> str:
    """Return *link* as the text that goes into an address."""
    return seal_cursor(env.settings.session_key.reveal(), _PURPOSE, list(astuple(link)))


def unseal(env: Env, token: str) -> Link:
    """Undo `seal`; raises `InvalidLink` for anything else, and when its time is over."""
    if len(token) > _TOKEN_CHARS:
        raise invalid()
    try:
        link = Link(*open_cursor(env.settings.session_key.reveal(), _PURPOSE, token))
    except ValueError:
        raise invalid() from None
    if env.tools.now() >= link.expires_at:
        raise invalid()
    return link


def check_browser(request: Request, env: Env, link: Link) -> None:
    """Raise `OtherBrowser` unless *request* has the cookie of the browser that asked."""
    shown = cookies.read(request, env).get(COOKIE, "")
    if not hmac.compare_digest(_fingerprint(shown), link.browser):
        raise OtherBrowser(
            "A link opens only in the browser in which it was asked for. Type the code of the mail"
            " there, or ask for a link here."
        )


async def use(env: Env, link: Link) -> Way:
    """
    Spend *link* and return the way in that it proves; of parallel uses one goes through.

    Raises `InvalidLink`, also when a look-up key that it was made with is gone since.
    """
    known = env.settings.email_lookup_keys.keys
    spellings = [pair for pair in link.spellings if pair[0] in known]
    if not spellings or not await spend(env, f"{_PURPOSE}:{link.token_id}", link.expires_at):
        raise invalid()
    return Way("email", spellings, secret=spellings[0][1])


def code(env: Env, link: Link) -> str:
    """Return what can be typed, in the browser that asked, in the place of *link*."""
    said = (_PURPOSE, link.browser, link.spellings[0][1], link.account_id, link.session_id)
    text = "\0".join((*said, str(link.expires_at // _MINUTE)))
    key = env.settings.session_key.reveal()
    number = int.from_bytes(hmac.digest(key, b"code\0" + text.encode(), "sha256"))
    letters = (_CODE_LETTERS[number >> 5 * at & 31] for at in range(_CODE_CHARS))
    return "".join(letters)


def spaced(typed: str) -> str:
    """Write a code so that it is easily typed."""
    half = _CODE_CHARS // 2
    return f"{typed[:half]}-{typed[half:]}"


async def by_code(env: Env, asked: Link, typed: str) -> Link:
    """
    Return the link whose code was *typed*; *asked* is what a new link for this browser would say.

    Raises `InvalidLink`, also after too many tries.
    """
    if not await _may_try(env, asked):
        raise invalid()
    wanted = typed.upper().translate(_MISREAD)
    for minutes in range(MAGIC_LINK_SECONDS // _MINUTE + 1):
        link = replace(asked, expires_at=asked.expires_at - minutes * _MINUTE)
        if hmac.compare_digest(code(env, link).encode(), wanted.encode(errors="replace")):
            # As with a link: once. Its name is the code's, which no other link shares.
            return replace(link, token_id=f"code:{_fingerprint(link.browser + wanted)}")
    raise invalid()


async def _may_try(env: Env, asked: Link) -> bool:
    """Use one of the few tries up; False when there is none left."""
    row = f"{_PURPOSE}-try:{_fingerprint(asked.browser + asked.spellings[0][1])}"
    for number in range(CODE_TRIES):
        if await spend(env, f"{row}:{number}", asked.expires_at):
            return True
    return False


def invalid() -> InvalidLink:
    """Return the one answer to a link that does not hold; it does not say why."""
    return InvalidLink("It was used, is too old or is not complete: ask anew.", headers=CHALLENGE)


def nonce_of(request: Request, env: Env) -> str:
    """Return the browser's cookie, a new one unless it has one: earlier links then still hold."""
    shown = cookies.read(request, env).get(COOKIE, "")
    return shown if _NONCE.fullmatch(shown) else b64url(env.tools.random_bytes(32))


def cookie(nonce: str) -> str:
    """Return the Set-Cookie field that binds links to this browser, as long as they hold."""
    return cookies.write(COOKIE, nonce, MAGIC_LINK_SECONDS)


def is_local_path(path: str) -> bool:
    """
    Whether a browser that is sent to *path* stays here, whatever it makes of odd characters.

    One slash at the beginning, none beside another anywhere, no backslash, no blank or control
    character (WHATWG URL takes some of those away), ASCII alone.
    """
    return (
        len(path) <= NEXT_CHARS
        and _LOCAL_PATH.fullmatch(path) is not None
        and "//" not in path
        and "\\" not in path
    )


def mail(env: Env, address: str, link: Link) -> Mail:
    """Return the mail that brings *link*."""
    what = "link this mailbox to your account" if link.account_id else "sign in"
    minutes = MAGIC_LINK_SECONDS // 60
    text = (
        f"Open this to {what}:\n\n"
        f"{env.settings.public_url}{PATH}?token={seal(env, link)}\n\n"
        f"It holds {minutes} minutes, once, and only in the browser in which you asked for it.\n"
        f"Is that on another device? Then type this code there: {spaced(code(env, link))}\n"
        "Tell it to nobody, and type it nowhere else.\n"
        "If you did not ask, do nothing: without that browser it is of no use to anybody.\n"
    )
    return Mail(address, "Link your mailbox" if link.account_id else "Your link to sign in", text)


def _fingerprint(nonce: str) -> str:
    # A cookie may hold bytes that are no text.
    return b64url(hashlib.sha256(nonce.encode(errors="replace")).digest())
