"""Who a host in development answers: names of its own, programs of this machine, its owner."""

from pathlib import Path

import pytest
from aiohttp import ClientSession, CookieJar

from tests.support.plain_proxy import plain_proxy
from tests.support.problems import assert_problem
from tests.support.raw import connect
from tests.support.running_host import KEY, RunningHost, running_host
from worker.entry.own_names import OwnNames

CRON = "/cdn-cgi/handler/scheduled"
FOREIGN = ["evil.example", "evil.example:8788", "127.0.0.1.evil.example", "localhost.", "10.0.0.1"]
OURS = ["localhost", "LOCALHOST:1", "a.localhost", "127.0.0.1", "127.9.9.9:80", "[::1]:8788"]


# -- names -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FOREIGN)
@pytest.mark.parametrize(
    "path", ["/healthz", "/api/profiles/count", "/v1/users", "/", CRON, "/docs"]
)
async def test_no_door_answers_to_a_foreign_name(host: RunningHost, name: str, path: str) -> None:
    """DNS rebinding: a page under a name of its own that leads to 127.0.0.1 reads nothing."""
    answer = await host.get(path, headers={"Host": name})
    assert answer.status == (403 if path == CRON else 421)
    if path != CRON:
        assert_problem(answer, 421, "host_not_allowed")
        assert name.encode() not in answer.body
    assert name not in "".join(host.log)


@pytest.mark.parametrize("name", OURS)
async def test_names_of_this_machine_are_answered(host: RunningHost, name: str) -> None:
    """Each spelling of loopback, at any port, since a port may be forwarded."""
    assert (await host.get("/healthz", headers={"Host": name})).status == 200


async def test_names_that_were_given_are_answered(tmp_path: Path) -> None:
    """PUBLIC_URL's, and those of ALLOWED_HOSTS; no name below or beside them."""
    async with running_host(
        tmp_path / "state",
        PUBLIC_URL="https://app.example",
        ALLOWED_HOSTS="tunnel.example, Other.example",
    ) as host:
        for name in ("app.example", "tunnel.example:443", "other.example", "127.0.0.1"):
            assert (await host.get("/healthz", headers={"Host": name})).status == 200, name
        for name in ("evil.example", "x.tunnel.example", "tunnel.example.evil"):
            assert (await host.get("/healthz", headers={"Host": name})).status == 421, name


async def test_two_hosts_are_none(host: RunningHost) -> None:
    """What one reader takes for the Host another may not; no Host at all is no browser."""
    for hosts, statuses in (
        (b"Host: localhost\r\nHost: evil.example\r\n", (400, 421)),
        (b"", (200, 400)),
    ):
        connection = await connect(host.port)
        await connection.send(b"GET /healthz HTTP/1.0\r\n" + hosts + b"\r\n")
        assert (await connection.answer()).status in statuses
        await connection.cut()


async def test_in_production_names_are_the_proxys_business(tmp_path: Path) -> None:
    """There nobody is trusted for being near, so there is nothing to rebind for."""
    async with running_host(tmp_path / "state", ENVIRONMENT="production") as host:
        assert (await host.get("/healthz", headers={"Host": "any.example"})).status == 200


def test_a_host_for_others_is_asked_by_its_addresses() -> None:
    """At 0.0.0.0 or a LAN address any address is one of its own: rebinding needs a name."""
    for bound in ("0.0.0.0", "192.168.1.7", "::"):
        names = OwnNames(bound)
        assert names.has(["192.168.1.7:8788"])
        assert names.has(["[fe80::1]:8788"])
        assert not names.has(["evil.example"])
    assert not OwnNames("127.0.0.1").has(["192.168.1.7"])
    assert OwnNames("box.lan").has(["box.lan:8788"])


# -- the door of crons -----------------------------------------------------------------------------


async def test_the_door_of_crons_works_for_programs_here(host: RunningHost) -> None:
    """As curl asks, without a key."""
    cron = host.opened.config.crons[0]
    answer = await host.get(CRON, params={"cron": cron})
    assert (answer.status, answer.body) == (200, b"ok\n")


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:{port}"},
        {"X-Forwarded-For": "1.2.3.4"},
        {"X-Forwarded-Host": "app.example"},
        {"Forwarded": "for=1.2.3.4"},
        {"X-Real-IP": "1.2.3.4"},
        {"Via": "1.1 proxy"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-origin"},
    ],
)
async def test_the_door_of_crons_refuses_pages_and_proxies(
    host: RunningHost, headers: dict[str, str]
) -> None:
    """A page's request, a foreign name and what was forwarded run nothing."""
    sent = {name: value.format(port=host.port) for name, value in headers.items()}
    cron = host.opened.config.crons[0]
    assert (await host.get(CRON, params={"cron": cron}, headers=sent)).status == 403
    assert not any(event["event"] == "cron_done" for event in host.events())


# -- the key of the console ------------------------------------------------------------------------


async def test_the_console_stays_closed_behind_a_plain_proxy(host: RunningHost) -> None:
    """nginx with nothing but proxy_pass, also with auth_basic: every page and file is refused."""
    await host.env.import_report_kv.put("k", "a stored secret")
    for password in (False, True):
        async with plain_proxy(host.port, password=password) as port, ClientSession() as session:
            for path in (
                "",
                "/",
                "/kv/IMPORT_REPORT_KV",
                "/d1/DB/sql",
                "/static/console.css",
                "/x",
            ):
                for method in ("GET", "POST"):
                    url = f"http://127.0.0.1:{port}/_console{path}"
                    async with session.request(method, url) as answer:
                        assert answer.status == 403, (path, method)
                        assert b"stored secret" not in await answer.read()
            if not password:
                async with session.get(f"http://127.0.0.1:{port}/healthz") as answer:
                    assert answer.status == 200


async def test_the_link_opens_the_console_for_its_browser(host: RunningHost) -> None:
    """The key goes into a cookie of the console's own and out of the address."""
    async with ClientSession(cookie_jar=CookieJar(unsafe=True)) as session:
        link = f"{host.url}/_console?key={KEY}"
        async with session.get(link, allow_redirects=False) as answer:
            assert (answer.status, answer.headers["Location"]) == (303, "/_console")
            cookie = answer.cookies[f"edgekeep_key_{host.port}"]
            assert (cookie["path"], cookie["httponly"]) == ("/_console", True)
            assert (cookie["samesite"], cookie["max-age"]) == ("Strict", "")
        for path in ("", "/kv", "/static/console.css"):
            async with session.get(f"{host.url}/_console{path}") as answer:
                assert answer.status == 200, path
    assert KEY not in "".join(host.log)


@pytest.mark.parametrize("key", ["", "x", KEY[:-1], KEY + "x", KEY.upper(), "%F0%9F%99%82", "%ff"])
async def test_no_other_key_opens_it(host: RunningHost, key: str) -> None:
    """Neither in the link nor in the cookie; the answer says where the link is."""
    async with ClientSession() as session:
        async with session.get(f"{host.url}/_console?key={key}") as answer:
            assert answer.status == 403
            assert "edgekeep console" in await answer.text()
        headers = {"Cookie": f"edgekeep_key_{host.port}={key}"}
        async with session.get(f"{host.url}/_console", headers=headers) as answer:
            assert answer.status == 403


@pytest.mark.parametrize("path", ["/kv", "/static/console.css", "/"])
async def test_the_key_counts_in_the_link_alone(host: RunningHost, path: str) -> None:
    """Other pages take it from the cookie: it must not stand in addresses that are passed on."""
    async with (
        ClientSession() as session,
        session.get(f"{host.url}/_console{path}?key={KEY}") as answer,
    ):
        assert answer.status == 403


async def test_the_link_does_not_open_for_another_site(host: RunningHost) -> None:
    """With the right key: what the browser says of the visit counts before it."""
    async with ClientSession() as session:
        for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Host": "evil.example"}):
            link = f"{host.url}/_console?key={KEY}"
            async with session.get(link, headers=headers, allow_redirects=False) as answer:
                assert answer.status == 403
                assert "Set-Cookie" not in answer.headers
