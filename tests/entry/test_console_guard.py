"""Who the console lets in: every refusal, and the one way a change comes in."""

import re
from collections.abc import Mapping
from http.cookies import SimpleCookie
from pathlib import Path
from types import SimpleNamespace

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from tests.support.raw import connect, head
from tests.support.running_host import Answer, RunningHost, running_host
from worker.entry.console.guard import names_of, refusal
from worker.entry.own_names import is_loopback

KV = "/_console/kv/IMPORT_REPORT_KV"


@pytest.fixture
async def seeded(host: RunningHost) -> RunningHost:
    """A host with one key."""
    await host.env.import_report_kv.put("k", "value")
    return host


async def refused(host: RunningHost, **headers: str) -> Answer:
    """GET the overview with *headers* and see it refused without a word of what is stored."""
    answer = await host.get(
        "/_console", headers={k.replace("_", "-"): v for k, v in headers.items()}
    )
    assert answer.status == 403
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert "Set-Cookie" not in answer.headers
    return answer


@pytest.mark.parametrize(
    "name",
    [
        "evil.example",
        "evil.example:8788",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "localhost.",
        "127.0.0.2",
        "0.0.0.0",
        "[::]",
        "[::1",
        "user@127.0.0.1",
        "127.0.0.1:8788:80",
        "127.0.0.1:port",
        "",
    ],
)
async def test_a_foreign_name_is_refused(host: RunningHost, name: str) -> None:
    """DNS rebinding: a name that leads to 127.0.0.1 does not open the console."""
    await refused(host, Host=name)


@pytest.mark.parametrize("name", ["localhost", "LOCALHOST:1", "127.0.0.1", "[::1]:8788"])
async def test_names_of_this_machine_open_it(host: RunningHost, name: str) -> None:
    """Any port, since a port may be forwarded."""
    assert (await host.get("/_console", headers={"Host": name})).status == 200


async def test_two_hosts_or_none_are_refused(host: RunningHost) -> None:
    """What one reader takes for the Host another may not."""
    first = b"GET /_console HTTP/1.1\r\nConnection: close\r\n"
    for hosts in (b"Host: localhost\r\nHost: evil.example\r\n", b""):
        connection = await connect(host.port)
        await connection.send(first + hosts + b"\r\n")
        answer = await connection.answer()
        await connection.cut()
        assert answer.status in (400, 403)
        assert b"Bindings" not in answer.body


@pytest.mark.parametrize(
    "origin",
    [
        "null",
        "http://evil.example",
        "https://127.0.0.1:{port}",
        "http://127.0.0.1",
        "http://localhost:{port}",
        "http://127.0.0.1:{port}.evil.example",
        "",
    ],
)
async def test_a_foreign_origin_is_refused(host: RunningHost, origin: str) -> None:
    """An Origin must be the very one of the Host; `null` is not."""
    await refused(host, Origin=origin.format(port=host.port))


async def test_the_own_origin_comes_in(host: RunningHost) -> None:
    """As a browser sends it with a form of the console."""
    assert (await host.get("/_console", headers={"Origin": host.url})).status == 200


@pytest.mark.parametrize("site", ["cross-site", "same-site", "", "None"])
async def test_a_fetch_from_another_site_is_refused(host: RunningHost, site: str) -> None:
    """A link, frame or script of another site; the answer says how to come in."""
    answer = await refused(host, Sec_Fetch_Site=site)
    assert f"127.0.0.1:{host.port}/_console" in answer.body.decode()


@pytest.mark.parametrize("site", ["none", "same-origin"])
async def test_an_address_typed_in_and_an_own_link_come_in(host: RunningHost, site: str) -> None:
    """Sec-Fetch-Site of a person who types, and of a page of our own."""
    assert (await host.get("/_console", headers={"Sec-Fetch-Site": site})).status == 200


@pytest.mark.parametrize(
    "name",
    ["X-Forwarded-For", "X-Forwarded-Host", "X-FORWARDED-ODD", "Forwarded", "X-Real-IP", "Via"],
)
async def test_what_came_through_a_proxy_is_refused(host: RunningHost, name: str) -> None:
    """Behind a proxy on this machine the whole world would be loopback."""
    await refused(host, **{name: "127.0.0.1"})


@pytest.mark.parametrize(
    ("peer", "is_let_in"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("192.168.1.7", False),
        ("::ffff:192.168.1.7", False),
        ("fe80::1%eth0", False),
        ("10.0.0.1", False),
        ("", False),
        (None, False),
        ("/run/socket", False),
    ],
)
def test_only_peers_on_this_machine_come_in(peer: str | None, is_let_in: bool) -> None:
    """Whatever the Host says, the peer's address must be a loopback one."""
    assert is_loopback(peer) is is_let_in
    request = make_mocked_request("GET", "/_console", headers={"Host": "localhost"})
    from_peer = request.clone(remote=peer) if peer is not None else _without_peer()
    assert (refusal(from_peer, names_of("127.0.0.1")) is None) is is_let_in


def _without_peer() -> web.Request:
    return SimpleNamespace(remote=None)  # type: ignore[return-value]


def test_a_host_answers_to_the_loopback_address_it_listens_at() -> None:
    """`--host 127.0.0.5` is a name of the console, `--host 0.0.0.0` or a LAN address is none."""
    assert "127.0.0.5" in names_of("127.0.0.5")
    assert "[::1]" in names_of("::1")
    assert names_of("0.0.0.0") == names_of("192.168.1.7") == names_of("127.0.0.1")


async def test_every_path_below_is_guarded(host: RunningHost) -> None:
    """Pages, static files, the stream, what is not there, and every method."""
    foreign = {"Host": "evil.example"}
    for path in ("", "/", "/kv", "/log/stream", "/static/console.css", "/nothing", "//", "/%6bv"):
        for method in ("GET", "POST", "PUT", "DELETE", "OPTIONS"):
            answer = await host.ask(method, f"/_console{path}", headers=foreign)
            assert answer.status == 403, (method, path)


async def test_in_production_there_is_no_console(tmp_path: Path) -> None:
    """Every path below is as unknown as any other, static files too."""
    async with running_host(tmp_path / "state", ENVIRONMENT="production") as host:
        for path in ("/_console", "/_console/", "/_console/kv", "/_console/static/console.css"):
            answer = await host.get(path)
            assert answer.status == 404
            assert answer.json()["error"] == (await host.get("/nothing")).json()["error"]
        assert (await host.ask("POST", "/_console/crons/run")).status == 404


async def test_every_answer_carries_the_headers_of_safety(seeded: RunningHost) -> None:
    """Pages, files, downloads, streams, refusals and redirects."""
    paths = ["", "/kv", "/static/console.css", "/nothing", "/", f"{KV[9:]}/download?key=k"]
    for path in paths:
        for headers in ({}, {"Host": "evil.example"}):
            answer = await seeded.get(f"/_console{path}", headers=headers, allow_redirects=False)
            safe(answer.headers)
    async with seeded.session.get(
        seeded.url + "/_console/log/stream", headers=seeded.with_key({})
    ) as stream:
        safe(stream.headers)


def safe(headers: Mapping[str, str]) -> None:
    """Assert the headers that every answer of the console has."""
    assert headers["Content-Security-Policy"] == (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; "
        "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    )
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"
    assert headers["Cache-Control"] == "no-store"
    assert not any(name.lower().startswith("access-control") for name in headers)


# -- changes -------------------------------------------------------------------------------------


async def token_and_cookie(host: RunningHost) -> tuple[str, str]:
    """Return what a form of a new visitor holds."""
    answer = await host.get(f"{KV}/delete?key=k")
    found = re.search(rb'name="csrf" value="([^"]+)"', answer.body)
    assert found is not None
    cookie = SimpleCookie(answer.headers["Set-Cookie"])["edgekeep_console"]
    assert cookie["path"] == "/_console"
    assert cookie["samesite"] == "Strict"
    assert cookie["httponly"] is True
    return found[1].decode(), cookie.value


async def change(host: RunningHost, token: str | None, cookie: str | None) -> Answer:
    """POST the deletion of the key."""
    form = {} if token is None else {"csrf": token}
    headers = {} if cookie is None else {"Cookie": f"edgekeep_console={cookie}"}
    host.session.cookie_jar.clear()
    return await host.ask(
        "POST", f"{KV}/delete?key=k", data=form, headers=headers, allow_redirects=False
    )


async def test_a_change_needs_the_token_of_its_visitor(seeded: RunningHost) -> None:
    """Without it, with another visitor's, or without the cookie nothing is changed."""
    token, cookie = await token_and_cookie(seeded)
    seeded.session.cookie_jar.clear()
    other_token, other_cookie = await token_and_cookie(seeded)
    assert cookie != other_cookie
    wrong = [
        (None, cookie),
        ("", cookie),
        ("ä", cookie),
        (token[:-1], cookie),
        (other_token, cookie),
        (token, other_cookie),
        (token, None),
        (token, ""),
    ]
    for bad_token, bad_cookie in wrong:
        answer = await change(seeded, bad_token, bad_cookie)
        assert answer.status == 403, (bad_token, bad_cookie)
    assert await seeded.env.import_report_kv.get("k") == "value"
    answer = await change(seeded, token, cookie)
    assert answer.status == 303
    assert answer.headers["Location"] == KV
    assert await seeded.env.import_report_kv.get("k") is None


async def test_tokens_end_with_the_process(tmp_path: Path) -> None:
    """The key is of this run: after a restart a form from before is refused."""
    async with running_host(tmp_path / "state") as host:
        await host.env.import_report_kv.put("k", "value")
        token, cookie = await token_and_cookie(host)
    async with running_host(tmp_path / "state") as host:
        assert (await change(host, token, cookie)).status == 403


async def test_a_form_of_another_kind_is_refused(seeded: RunningHost) -> None:
    """What a script can send without asking (text/plain), and what is no form at all."""
    _token, cookie = await token_and_cookie(seeded)
    for kind, status in (("text/plain", 415), ("application/json", 415)):
        answer = await seeded.ask(
            "POST",
            f"{KV}/delete?key=k",
            data=b"csrf=x",
            headers={"Content-Type": kind, "Cookie": f"edgekeep_console={cookie}"},
        )
        assert answer.status == status
    for body in (b"csrf=%ff", b"\xff", b"no pairs", b"&".join([b"a=b"] * 500)):
        answer = await seeded.ask(
            "POST",
            f"{KV}/delete?key=k",
            data=body,
            headers={"Content-Type": "application/x-www-form-urlencoded"},
        )
        assert answer.status == 400, body
    assert await seeded.env.import_report_kv.get("k") == "value"


async def test_a_form_that_does_not_end_is_cut_off(seeded: RunningHost) -> None:
    """At 26 MiB, whatever comes after."""
    connection = await connect(seeded.port)
    kind = "application/x-www-form-urlencoded"
    fields = {"Content-Type": kind, "Transfer-Encoding": "chunked"}
    fields["Cookie"] = seeded.with_key({"Host": "localhost"})["Cookie"]
    await connection.send(head("POST", f"{KV}/put", fields))
    chunk = b"100000\r\n" + b"x" * 0x100000 + b"\r\n"
    for _ in range(27):
        await connection.send(chunk)
    answer = await connection.answer()
    assert answer.status == 413
    await connection.cut(reset=True)


async def test_reading_changes_nothing(seeded: RunningHost) -> None:
    """GET and HEAD of the doors that change something only ask."""
    for path in ("/delete?key=k", "/put?key=k", "/put"):
        for method in ("GET", "HEAD"):
            assert (await seeded.ask(method, KV + path)).status == 200
    assert (await seeded.get("/_console/crons/run")).status == 404
    assert await seeded.env.import_report_kv.get("k") == "value"
