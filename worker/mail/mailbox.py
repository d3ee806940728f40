"""
Who a mail is from, read and written by RFC 5322's own rules (the standard library's parser).

A name may be of any script; commas, brackets and what else has a meaning there stand in quotes.
What stands alone before `<address>` is taken for a name as it is, also without quotes: one setting
names one mailbox, so it can mean nothing else.
"""

import re
from email.errors import MessageError
from email.headerregistry import Address
from email.policy import SMTP
from typing import Any, Final

# A setting is written by a person; longer is a mistake.
_CHARS: Final = 400
_PLAIN_NAME = re.compile(r"([^<>@\"\\]*)<([^<>]+)>")
_FORM: Final = 'expected name@example.org, Name <name@example.org> or "Name, Inc." <…>'

Mailbox = tuple[str, str]
"""A name for people, or "", and the address, in ASCII."""


def read(text: str) -> Mailbox:
    """Return the one mailbox that *text* names; raises ValueError."""
    if len(text) > _CHARS or not text.isprintable():
        raise ValueError(_FORM)
    whole = _parsed(text)
    if whole is not None:
        return whole
    plain = _PLAIN_NAME.fullmatch(text.strip())
    bare = _parsed(plain[2]) if plain is not None else None
    if plain is None or bare is None or bare[0]:
        raise ValueError(_FORM)
    return plain[1].strip(), bare[1]


def write(mailbox: Mailbox) -> str:
    """Return *mailbox* as one text, the name in quotes where it needs them."""
    return str(Address(mailbox[0], addr_spec=mailbox[1]))


def _parsed(text: str) -> Mailbox | None:
    """Return the mailbox, or None unless *text* is one and has no fault at all."""
    try:
        header: Any = SMTP.header_factory("from", text)
        (found,) = header.addresses
        (group,) = header.groups
        if header.defects or group.display_name is not None or not found.domain:
            return None
        local, domain = found.addr_spec.rpartition("@")[::2]
        address = f"{local}@{domain.encode('idna').decode()}"
        # Not every server takes a local part of another script (RFC 6531).
        return (found.display_name, address) if address.isascii() else None
    except (MessageError, ValueError, IndexError, AttributeError):
        # AttributeError: the parser's own mistake, about a group within a list.
        return None
