"""E-mail addresses and paths to go on to: one spelling, nothing that headers or browsers bend."""

import re
import unicodedata
from urllib.parse import urljoin, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.running_host import SECRETS
from worker.accounts.magic_link import is_local_path
from worker.codec import b64url
from worker.identity.email_address import ADDRESS_CHARS, RULE, hashes, normalise
from worker.settings import Settings

_LOCAL = st.from_regex(
    r"[a-zA-Z0-9!#$%&'*+/=?^_`{|}~-]{1,20}(\.[a-z0-9+]{1,9}){0,3}", fullmatch=True
)
_DOMAIN = st.from_regex(r"([a-zA-Z0-9]{1,9}\.){1,3}[a-zA-Z]{2,9}", fullmatch=True)
_TYPED = st.text(max_size=80) | st.builds(
    "{}@{}".format, st.text(max_size=70), st.text(max_size=70)
)
# Characters that browsers, mail programs and folding treat in their own ways.
_ODD = st.text("ab.@/\\:?#%& \t\r\n\0,;<>\"'()[]ßİıſK。．＠／\u200b\u202e\u2028é-", max_size=30)


def _or_none(typed: str) -> str | None:
    try:
        return normalise(typed)
    except ValueError:
        return None


@given(_LOCAL, _DOMAIN, st.sampled_from(["", " ", "\t ", "   "]))
def test_an_ordinary_address_has_one_spelling(local: str, domain: str, blank: str) -> None:
    """Case and blanks around do not matter; nothing else changes."""
    typed = f"{local}@{domain}"
    assert normalise(f"{blank}{typed}{blank}") == typed.lower()
    assert normalise(typed.swapcase()) == normalise(typed)


@given(_TYPED | _ODD | st.builds("{}@b.example".format, _ODD) | st.builds("a@{}".format, _ODD))
def test_what_comes_out_is_plain(typed: str) -> None:
    """ASCII without a character of headers, and its own spelling; anything else is refused."""
    address = _or_none(typed)
    if address is not None:
        assert re.fullmatch(r"[a-z0-9.!#$%&'*+/=?^_`{|}~-]+@[a-z0-9.-]+", address, re.ASCII)
        assert len(address) <= ADDRESS_CHARS
        assert normalise(address) == address


@given(_LOCAL)
def test_composed_and_decomposed_domains_are_one(local: str) -> None:
    """NFC, then IDNA: what looks the same is the same."""
    composed, decomposed = "bücher.example", unicodedata.normalize("NFD", "bücher.example")
    assert composed != decomposed
    wanted = f"{local.lower()}@xn--bcher-kva.example"
    assert normalise(f"{local}@{composed}") == normalise(f"{local}@{decomposed}") == wanted
    assert normalise(wanted) == wanted


@pytest.mark.parametrize(
    "typed",
    [
        *("", "ada", "@example.org", "ada@", "ada@localhost", "ada@example", "a@b@c.example"),
        *(".ada@example.org", "ada.@example.org", "a..b@example.org", "ada@-a.example"),
        *("ada@a-.example", "ada@.example", "ada@example.", "ada@exa_mple.org", "ada@127.0.0.1"),
        *("ada@[::1]", "a" * 65 + "@example.org", "ada@" + "a" * 64 + ".example"),
        *("ada@" + "a." * 130 + "example", "a" * 600, "adä@example.org", "ada@faß.example"),
        *("ada@a。example", "ada@ｅxample.org", "ada\u200b@example.org", "ada@exam\u00adple.org"),
        *("ada@example.org\n", "\nada@example.org", "ada@xn--\u00e9.example", "ada@example.123"),
    ],
)
def test_these_are_no_addresses(typed: str) -> None:
    """Nor anything that another program could read as another mailbox."""
    with pytest.raises(ValueError, match=RULE):
        normalise(typed)


def test_a_hash_is_under_each_key_the_present_first() -> None:
    """Different keys, different hashes; the address is not in them."""
    ring = f"b:{b64url(b'b' * 32)},a:{b64url(b'a' * 32)}"
    keys = Settings.load({**SECRETS, "EMAIL_LOOKUP_KEYS": ring}).email_lookup_keys
    pairs = hashes(keys, "ada@example.org")
    assert [key_id for key_id, _ in pairs] == ["b", "a"]
    assert len({one for _, one in pairs}) == 2
    assert hashes(keys, "ada@example.org") == pairs
    assert hashes(keys, "adb@example.org") != pairs


@given(_ODD | st.text(max_size=30) | st.builds("/{}".format, _ODD))
def test_a_local_path_stays_here(path: str) -> None:
    """Whatever is taken leads to this very origin, also for a browser that drops odd characters."""
    if is_local_path(path):
        base = "https://here.example/api/auth/magic-link/verify"
        for seen in (path, re.sub(r"[\t\r\n]", "", path).replace("\\", "/")):
            assert urlsplit(urljoin(base, seen))[:2] == ("https", "here.example")
        assert path.isascii()
        assert path.isprintable()


@pytest.mark.parametrize("path", ["/", "/app", "/a/b?c=d&e=%2F#f", "/a:b@c", "/%5cevil.example"])
def test_ordinary_paths_are_taken(path: str) -> None:
    """With queries, fragments and percent signs."""
    assert is_local_path(path)
