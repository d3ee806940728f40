"""The fetch port: which addresses may be asked, and what a redirect may do."""

from dataclasses import dataclass, field
from ipaddress import ip_address

import pytest

from tests.support.running_host import SECRETS
from worker.fetch import BoundedFetch, Fetched, FetchFailed, Outgoing, check_url, is_public
from worker.mail.port import Mail, MailFailed
from worker.mail.webhook import WebhookMail
from worker.settings import Settings
from worker.web import Headers

NOT_PUBLIC = [
    "0.0.0.0",
    "10.1.2.3",
    "100.64.0.1",
    "100.127.255.255",
    "127.0.0.1",
    "127.255.255.254",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.8",
    "192.0.2.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "255.255.255.255",
    "::",
    "::1",
    "::ffff:127.0.0.1",
    "::ffff:8.8.8.8",
    "::127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::808:808",
    "64:ff9b:1::a00:1",
    "100::1",
    "2001::1",
    "2001:db8::1",
    "2002:7f00:1::1",
    "3fff::1",
    "fc00::1",
    "fd12::1",
    "fe80::1",
    "fec0::1",
    "ff02::1",
]
PUBLIC = [
    "1.1.1.1",
    "8.8.8.8",
    "100.63.255.255",
    "100.128.0.1",
    "172.32.0.1",
    "2606:4700::1111",
    "2a00:1450::1",
]


@pytest.mark.parametrize("text", NOT_PUBLIC)
def test_addresses_of_no_public_host(text: str) -> None:
    """Private, local, shared, reserved, multicast, and whatever wraps an IPv4 address."""
    address = ip_address(text)
    shown = f"[{text}]" if ":" in text else text

    assert not is_public(address)
    with pytest.raises(FetchFailed):
        check_url(f"https://{shown}/")


@pytest.mark.parametrize("text", PUBLIC)
def test_addresses_of_public_hosts(text: str) -> None:
    """Their neighbours on the open internet."""
    address = ip_address(text)
    shown = f"[{text}]" if ":" in text else text

    assert is_public(address)
    assert check_url(f"https://{shown}:8443/a?b=c#d") is False


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/",  # no TLS
        "ftp://example.org/",
        "https://",
        "https:///path",
        "https://./",
        "https://user@example.org/",
        "https://user:word@example.org/",
        "https://example.org\\@127.0.0.1/",
        "https://example.org/a b",
        "https://example.org/\n",
        "https://example.org:99999999/",
        "https://exa%6dple.org/",
        "https://ⓛocalhost/",
        "https://localhost/",
        "https://LOCALHOST./",
        "https://a.localhost/",
        "https://127.1/",
        "https://2130706433/",
        "https://0x7f000001/",
        "https://0x7f.0.0.0x1/",
        "https://0177.0.0.1/",
        "https://127.0.0.1./",
        "https://[::1]/",
        "https://[::1%25lo]/",
        "https://[1.2.3.4]/",
        "https://example.org/" + "a" * 5000,
    ],
)
def test_urls_that_are_never_asked(url: str) -> None:
    """Odd spellings of an address are refused, not guessed at."""
    with pytest.raises(FetchFailed) as caught:
        check_url(url)
    assert caught.value.reason == "address"
    assert not caught.value.passing
    assert "example" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "local"),
    [
        ("http://127.0.0.1:80/x", True),
        ("http://localhost/x", True),
        ("https://[::1]/x", True),
        ("https://example.org/", False),
    ],
)
def test_this_machine_is_asked_where_the_operator_says_so(url: str, local: bool) -> None:
    """Loopback by its address or name, with TLS or without; other hosts are judged as ever."""
    assert check_url(url, this_machine=True) is local
    for refused in ("http://example.org/", "https://10.0.0.1/", "http://a.localhost/"):
        with pytest.raises(FetchFailed):
            check_url(refused, this_machine=True)


@dataclass
class Script:
    """An exchange that answers from *answers* (status, Location) and keeps what it was asked."""

    answers: list[tuple[int, str | None]]
    asked: list[Outgoing] = field(default_factory=list)
    took: float = 0
    time: float = 0

    async def __call__(self, request: Outgoing, seconds: float) -> Fetched:
        """Answer with the next one."""
        assert seconds == pytest.approx(10 - self.time)
        self.asked.append(request)
        self.time += self.took
        status, location = self.answers[len(self.asked) - 1]
        return Fetched(status, Headers({"Location": location} if location else {}), b"body")

    def clock(self) -> float:
        """Return the seconds that the answers took."""
        return self.time


async def test_a_redirect_is_the_answer_unless_it_is_to_be_followed() -> None:
    """Whoever wants it followed says how often."""
    script = Script([(302, "https://b.example/")])

    answer = await BoundedFetch(script, script.clock)(Outgoing("https://a.example/"))

    assert (answer.status, len(script.asked)) == (302, 1)


async def test_what_was_for_one_origin_does_not_reach_another() -> None:
    """Relative redirects keep the fields; another host, port or scheme gets harmless ones only."""
    script = Script([(307, "/next"), (308, "https://a.example:444/"), (200, None)])
    headers = {"Authorization": "Bearer x", "Accept": "text/plain"}
    request = Outgoing("https://a.example/start", headers=headers, redirects=2)

    answer = await BoundedFetch(script, script.clock)(request)

    assert answer.status == 200
    assert [one.url for one in script.asked] == [
        "https://a.example/start",
        "https://a.example/next",
        "https://a.example:444/",
    ]
    assert [dict(one.headers) for one in script.asked] == [
        headers,
        headers,
        {"Accept": "text/plain"},
    ]


@pytest.mark.parametrize(
    ("location", "reason"),
    [
        ("https://10.0.0.1/", "address"),
        ("http://a.example/", "address"),
        ("//169.254.169.254/latest", "address"),
        ("http://127.0.0.1/", "address"),
        ("file:///etc/passwd", "address"),
        ("https://b.example/", "redirect"),
    ],
)
async def test_each_hop_is_judged(location: str, reason: str) -> None:
    """A server cannot send us into a private network, nor in circles."""
    script = Script([(302, location), (302, location)])

    with pytest.raises(FetchFailed) as caught:
        await BoundedFetch(script, script.clock)(Outgoing("https://a.example/", redirects=1))

    assert caught.value.reason == reason


async def test_leave_to_reach_this_machine_ends_with_its_origin() -> None:
    """A service on this machine may redirect within itself, and not to another port of it."""
    script = Script([(302, "/b"), (302, "http://127.0.0.1:2/")])
    request = Outgoing("http://127.0.0.1:1/a", redirects=5, this_machine=True)

    with pytest.raises(FetchFailed) as caught:
        await BoundedFetch(script, script.clock)(request)

    assert caught.value.reason == "address"
    assert [one.url for one in script.asked] == ["http://127.0.0.1:1/a", "http://127.0.0.1:1/b"]


async def test_a_post_is_never_sent_on() -> None:
    """Its body was meant for one address."""
    script = Script([(307, "/b")])

    with pytest.raises(FetchFailed) as caught:
        await BoundedFetch(script, script.clock)(
            Outgoing("https://a.example/", "POST", body=b"x", redirects=5)
        )

    assert caught.value.reason == "redirect"


async def test_the_deadline_is_for_all_hops_together() -> None:
    """Each hop gets what is left; with nothing left it is not begun."""
    script = Script([(302, "/a")] * 9, took=4)

    with pytest.raises(FetchFailed) as caught:
        await BoundedFetch(script, script.clock)(Outgoing("https://a.example/", redirects=8))

    assert (caught.value.reason, caught.value.passing, len(script.asked)) == ("timeout", True, 3)


@pytest.mark.parametrize(
    ("status", "passing"), [(202, None), (302, False), (400, False), (429, True), (503, True)]
)
async def test_a_webhook_takes_a_mail_or_says_when_it_may(
    status: int, passing: bool | None
) -> None:
    """A redirect is a refusal: following it would carry the secret elsewhere."""
    script = Script([(status, "https://b.example/")])
    settings = Settings.load({**SECRETS, "MAIL_WEBHOOK_SECRET": "bearer-of-mail"})
    mail = WebhookMail("https://a.example/", settings, BoundedFetch(script, script.clock))
    failed: MailFailed | None = None

    try:
        await mail.send(Mail("ada@example.org", "A subject", "A text.\n"))
    except MailFailed as error:
        failed = error

    assert (failed and failed.passing) is passing
    [asked] = script.asked
    assert asked.headers["Authorization"] == "Bearer bearer-of-mail"
    assert "bearer-of-mail" not in repr(asked)
    assert b"ada@example.org" in (asked.body or b"")
