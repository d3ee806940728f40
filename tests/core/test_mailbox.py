"""MAIL_FROM by RFC 5322: names of every script, commas, brackets, quotes; into a mail and back."""

from email import message_from_bytes
from email.policy import default
from pathlib import Path
from typing import Any

import pytest

from tests.support.accounts import post
from tests.support.running_host import running_host
from worker.mail import mailbox

_GOOD = [
    ("no-reply@example.org", "", "no-reply@example.org"),
    ("<no-reply@example.org>", "", "no-reply@example.org"),
    ("Edgekeep <no-reply@localhost>", "Edgekeep", "no-reply@localhost"),
    ("Bücherei <no-reply@example.org>", "Bücherei", "no-reply@example.org"),
    ("図書館 <no-reply@example.org>", "図書館", "no-reply@example.org"),
    ("مكتبة <no-reply@example.org>", "مكتبة", "no-reply@example.org"),
    ('"Library, Old Town" <a@example.org>', "Library, Old Town", "a@example.org"),
    ("Library, Old Town <a@example.org>", "Library, Old Town", "a@example.org"),
    ("Books [Shop] <a@example.org>", "Books [Shop]", "a@example.org"),
    ('"Books (Shop)" <a@example.org>', "Books (Shop)", "a@example.org"),
    ('"The \\"Nook\\"" <a@example.org>', 'The "Nook"', "a@example.org"),
    ("Ada L. & Co: Mail; <a@example.org>", "Ada L. & Co: Mail;", "a@example.org"),
    ("a@example.org (the library)", "", "a@example.org"),
    ("Ada <a@bücherei.example>", "Ada", "a@xn--bcherei-n2a.example"),
    ('Ada <"front desk"@example.org>', "Ada", '"front desk"@example.org'),
]


@pytest.mark.parametrize(("text", "name", "address"), _GOOD)
def test_a_mailbox_is_read_and_written_again(text: str, name: str, address: str) -> None:
    """Name and address; what is written names the same."""
    assert mailbox.read(text) == (name, address)
    assert mailbox.read(mailbox.write((name, address))) == (name, address)


@pytest.mark.parametrize(("text", "name", "address"), _GOOD)
async def test_a_mail_of_the_host_says_who_it_is_from(
    tmp_path: Path, text: str, name: str, address: str
) -> None:
    """The host starts with it, and a mail program reads the same name."""
    async with running_host(tmp_path, MAIL_FROM=text) as host:
        await post(host, "/api/auth/magic-link", email="ada@example.org")
        await host.env.tools.finish()  # type: ignore[attr-defined]
    [written] = (tmp_path / "outbox").glob("*.eml")
    message: Any = message_from_bytes(written.read_bytes(), policy=default)
    [sender] = message["From"].addresses
    assert (sender.display_name, sender.addr_spec) == (name, address)
