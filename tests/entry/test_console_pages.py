"""The console's pages over HTTP: overview, KV, crons, settings; what is stored never is markup."""

import html
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.support.console_visit import ROOT, assert_tame, visit
from tests.support.running_host import SECRETS, Answer, RunningHost, running_host

KV = "/_console/kv/IMPORT_REPORT_KV"
FORM = "application/x-www-form-urlencoded"
PROBES = [
    "<script>alert(1)</script>",
    "\"'><img src=x onerror=alert(1)>",
    "</textarea></pre></title><script>alert(1)</script>",
    "{{ 7*7 }}{% raw %}",
    "javascript:alert(1)",
    "a&b=c#d?e%2e%00+f",
    "tab\tline\nend\r\x00\x1b[31m\x7f\x9b",
    "\u202egnp.exe\u2066\u200b\ufeff\U000e0041",
    "e\u0301 🙂 \U0001f468\u200d\U0001f469",
    "k" * 500,
]


async def submit(host: RunningHost, form_path: str, path: str, **fields: str) -> Answer:
    """Open the page of a form and send it with *fields*, as a browser does; follow to its end."""
    visitor = await visit(host, form_path.removeprefix(ROOT))
    answer = await visitor.post(path.removeprefix(ROOT), **fields)
    if answer.status != 303:
        return answer
    return await visitor.ask("GET", answer.headers["Location"].removeprefix(ROOT))


def text(answer: Answer) -> str:
    """Return the page without its tags, as it would be read."""
    return html.unescape(re.sub(r"<[^>]*>", "", answer.body.decode()))


def odd_ones(page: str) -> list[str]:
    """Return the characters of *page* that deceive the eye, but for those in fields of a form."""
    outside = re.sub("(?s)<textarea.*?</textarea>|<input[^>]*>", "", page)
    return re.findall("[\u202e\u2066\u200b\u200d\ufeff\U000e0041\x00\x1b\x7f\x9b]", outside)


# -- what is stored stays text -------------------------------------------------------------------


@pytest.mark.parametrize("probe", PROBES)
async def test_what_is_stored_never_becomes_markup(host: RunningHost, probe: str) -> None:
    """As key, value, metadata, prefix and cursor, on every page that shows it."""
    await host.env.import_report_kv.put(probe, probe, metadata={probe: [probe]})
    quoted = quote(probe)
    paths = [
        "",
        f"?prefix={quoted}",
        f"?cursor={quoted}",
        f"/value?key={quoted}",
        f"/value?key={quoted}&as=json",
        f"/value?key={quoted}&as=hex",
        f"/value?key={quoted}&as={quoted}",
        f"/put?prefix={quoted}",
        f"/delete?key={quoted}",
        f"/value?key={quoted}-missing",
    ]
    for path in paths:
        answer = await host.get(KV + path)
        assert answer.status in (200, 404, 422), path
        page = answer.body.decode()
        assert_tame(page)
        assert odd_ones(page) == [], path
        assert "<script>alert" not in page
    # What was found in the list can be read there: nothing was swallowed.
    if probe.isprintable():
        assert probe in text(await host.get(KV))


@pytest.mark.parametrize("probe", PROBES)
async def test_links_lead_to_the_very_key(host: RunningHost, probe: str) -> None:
    """The link in the list, the download and the deletion address the key byte by byte."""
    await host.env.import_report_kv.put(probe, b"\xff" + probe.encode())
    page = (await host.get(KV)).body.decode()
    link = re.search(r'href="([^"]*/value\?[^"]*)"', page)
    assert link is not None
    value = await host.get(html.unescape(link[1]))
    assert value.status == 200
    download = re.search(r'href="([^"]*/download\?[^"]*)"', value.body.decode())
    assert download is not None
    got = await host.get(html.unescape(download[1]))
    assert got.body == b"\xff" + probe.encode()
    assert got.headers["Content-Type"] == "application/octet-stream"
    assert got.headers["Content-Disposition"].startswith("attachment")
    action = re.search(r'href="([^"]*/delete\?[^"]*)"', value.body.decode())
    assert action is not None
    path = html.unescape(action[1])
    done = await submit(host, path, path)
    assert done.status == 200
    assert "Deleted: " in text(done)
    assert await host.env.import_report_kv.get(probe) is None


# -- KV ------------------------------------------------------------------------------------------


async def test_keys_are_paged_and_searched(host: RunningHost) -> None:
    """A hundred a page, in byte order, every key once; a prefix narrows them."""
    for number in range(205):
        await host.env.import_report_kv.put(f"n:{number:03d}", "x")
    await host.env.import_report_kv.put("other", "x")
    seen: list[str] = []
    path: str | None = f"{KV}?prefix=n%3A"
    pages = 0
    while path is not None:
        page = (await host.get(path)).body.decode()
        seen += re.findall(r"<code>(n:\d+)</code>", page)
        found = re.search(r'href="([^"]*)" rel="next"', page)
        path = html.unescape(found[1]) if found else None
        pages += 1
    assert pages == 3
    assert seen == [f"n:{number:03d}" for number in range(205)]


async def test_a_prefix_that_is_too_long_is_a_sentence(host: RunningHost) -> None:
    """What the contract says, with what was typed kept."""
    answer = await host.get(f"{KV}?prefix={'p' * 600}")
    assert answer.status == 422
    assert "exceeds key length limit of 512" in text(answer)
    assert f'value="{"p" * 600}"' in answer.body.decode()


async def test_a_value_is_put_with_metadata_and_end(host: RunningHost) -> None:
    """The form stores what was typed, and the value's page tells all of it."""
    fields = {"key": "k/ä b", "value": '{"a":\r\n 1}', "kind": "json", "metadata": '{"m":[1]}'}
    answer = await submit(host, f"{KV}/put", f"{KV}/put", **fields, ttl="7300")
    assert answer.status == 200
    read = text(answer)
    assert "Stored." in read
    assert "in 2 h" in read
    assert '{"m": [1]}' in read
    stored = await host.env.import_report_kv.get_with_metadata("k/ä b")
    assert stored.value == '{"a":\n 1}'
    assert stored.metadata == {"m": [1]}
    # A notice is said once.
    assert "Stored." not in text(await host.get(f"{KV}/value?key={quote('k/ä b')}"))


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"key": ""}, "Key name cannot be empty"),
        ({"key": "."}, "not allowed as a key name"),
        ({"key": "ä" * 300}, "exceeds key length limit of 512"),
        ({"metadata": "{"}, "This is not JSON"),
        ({"metadata": "NaN"}, "This is not JSON"),
        ({"metadata": '"' + "m" * 1100 + '"'}, "Metadata length of 1102 exceeds limit of 1024"),
        ({"metadata": "[" * 100_000}, "This is not JSON"),
        ({"kind": "json", "value": "no"}, "This is not JSON"),
        ({"ttl": "59"}, "Expiration TTL must be at least 60"),
        ({"ttl": "soon"}, "Write whole seconds"),
        ({"ttl": "99999999999"}, "Value out of range"),
        ({"ttl": "9" * 5000}, "Write whole seconds"),
    ],
)
async def test_what_is_refused_stands_beside_the_form(
    host: RunningHost, fields: dict[str, str], sentence: str
) -> None:
    """A sentence, marked for screen readers; everything typed is kept; nothing is stored."""
    typed = {"key": "wanted", "value": "kept <value>", "metadata": "", "ttl": "", **fields}
    answer = await submit(host, f"{KV}/put", f"{KV}/put", **typed)
    assert answer.status == 422
    body = answer.body.decode()
    assert sentence in text(answer)
    assert 'aria-invalid="true"' in body
    assert html.escape(typed["value"]) in body
    assert (await host.env.import_report_kv.list()).keys == []


async def test_a_value_of_25_mib_is_taken_and_one_more_byte_is_not(host: RunningHost) -> None:
    """The limit is KV's own, and the loop is not held meanwhile."""
    visitor = await visit(host, "/kv/IMPORT_REPORT_KV/put")
    for extra, status in ((0, 303), (1, 422)):
        size = 25 * 1024 * 1024 + extra
        body = f"csrf={visitor.token}&key=big&value=".encode() + b"v" * size
        answer = await visitor.ask(
            "POST", "/kv/IMPORT_REPORT_KV/put", data=body, headers={"Content-Type": FORM}
        )
        assert answer.status == status
    shown = await host.get(f"{KV}/value?key=big")
    assert "first 256 kB of 26.2 MB" in text(shown)
    assert len(shown.body) < 300_000


async def test_editing_keeps_metadata_and_end(host: RunningHost) -> None:
    """Put replaces all of an entry, so the form brings all of it back."""
    kv = host.env.import_report_kv
    await kv.put("k\n1", "old", metadata={"m": 1}, expiration_ttl=5000)
    [before] = (await kv.list()).keys
    path = f"{KV}/put?key={quote('k' + chr(10) + '1')}"
    page = (await host.get(path)).body.decode()
    assert ">\nold</textarea>" in page
    metadata = re.search(r'name="metadata"[^>]*value="([^"]*)"', page)
    end = re.search(r'name="end" value="(\d+)"', page)
    assert metadata is not None
    assert end is not None
    fields = {"value": "new", "metadata": html.unescape(metadata[1]), "end": end[1]}
    assert (await submit(host, path, path, **fields, keep_end="1")).status == 200
    [after] = (await kv.list()).keys
    assert after == before
    assert await kv.get("k\n1") == "new"
    assert (await submit(host, path, path, **fields)).status == 200
    [endless] = (await kv.list()).keys
    assert endless.expiration is None


@pytest.mark.parametrize("value", [b"\xff", b"a\r\nb", b"a\0b", b"x" * 256_001])
async def test_what_a_form_would_change_is_not_edited(host: RunningHost, value: bytes) -> None:
    """Such a value has no Edit link, and its form is refused."""
    await host.env.import_report_kv.put("k", value)
    assert "Edit" not in text(await host.get(f"{KV}/value?key=k"))
    assert (await host.get(f"{KV}/put?key=k")).status == 422


@pytest.mark.parametrize(
    ("value", "wanted", "shown"),
    [
        (b'{"b":1,"a":[]}', "", '{\n  "b": 1,\n  "a": []\n}'),
        (b'{"b":1}', "text", '{"b":1}'),
        (b"plain", "json", "This is not JSON"),
        (b"[" * 50_000, "json", "This is not JSON"),
        (b"\x00\xff" * 20, "", "00000000  00 ff 00 ff"),
        ("äöü".encode(), "hex", "c3 a4 c3 b6 c3 bc"),
        (b"", "", "The value is empty."),
        (("ä" * 200_000).encode(), "", "first 256 kB of 400 kB"),
    ],
)
async def test_values_are_shown_as_what_they_are(
    host: RunningHost, value: bytes, wanted: str, shown: str
) -> None:
    """JSON set in lines, text, hex; the best one when none is asked for; long ones in part."""
    await host.env.import_report_kv.put("k", value)
    answer = await host.get(f"{KV}/value?key=k&as={wanted}")
    assert answer.status == 200
    assert shown in text(answer)


async def test_what_is_not_there_is_404(host: RunningHost) -> None:
    """Unknown namespaces, attributes of the bag that are none, unknown and impossible keys."""
    paths = ["/kv/NOPE", "/kv/DB", "/kv/LOG", "/kv/__class__", "/kv/import_report_kv"]
    paths += [f"/kv/IMPORT_REPORT_KV/value{q}" for q in ("", "?key=", "?key=..", "?key=no")]
    paths += [f"/kv/IMPORT_REPORT_KV/value?key={'k' * 600}", "/static/..%2fframe.py"]
    paths += ["/static/../frame.py", "/static/frame.py", "/log/", "/crons/run"]
    for path in paths:
        answer = await host.get(f"/_console{path}")
        assert answer.status == 404, path
        assert "</html>" in answer.body.decode()


# -- overview, crons, settings -------------------------------------------------------------------


async def test_the_overview_tells_what_runs(host: RunningHost) -> None:
    """Bindings with adapters, doors with who may call them, planned ones apart."""
    await host.env.profiles_kv.put("one", "1")
    read = text(await host.get("/_console"))
    for word in ("PROFILES_KV", "1 key", "embedded", "ImportRoom"[:6], "edgekeep-blobs"):
        assert word in read
    assert str(host.opened.stores.state) in read
    assert "scope profiles:import" in read
    assert "None since the start." in read


async def test_the_overview_tells_of_errors(host: RunningHost) -> None:
    """The newest first, with type and place, never with the text of the exception."""
    try:
        raise ValueError("a secret text")
    except ValueError as error:
        host.env.log.error("unexpected", error, request_id="abc-1")
    read = text(await host.get("/_console"))
    assert "ValueError" in read
    assert "abc-1" in read
    assert "secret text" not in read


async def test_a_cron_runs_by_its_button(host: RunningHost) -> None:
    """Each says what it does, its last run in this process shows; an unknown cron is refused."""
    page = text(await host.get("/_console/crons"))
    assert "not yet" in page
    assert "sessions that ended, counts that are over: the hourly job." in page
    [first, *_] = host.opened.config.crons
    answer = await submit(host, "/_console/crons", "/_console/crons/run", cron=first)
    assert f"{first} ran to its end." in text(answer)
    assert "done" in text(answer)
    assert any(event["event"] == "cron_done" for event in host.events())
    answer = await submit(host, "/_console/crons", "/_console/crons/run", cron="* * * * *")
    assert answer.status == 404


async def test_secrets_do_not_show(tmp_path: Path) -> None:
    """Neither value nor length, in no page; what is no secret shows with its source."""
    async with running_host(
        tmp_path / "state", CORS_ORIGINS="https://app.example", EDGEKEEP_ODD="redis://u:pw@h"
    ) as host:
        answer = await host.get("/_console/settings")
        read = text(answer)
        assert "https://app.example" in read
        assert "given at the start" in read
        assert "wrangler_compat.toml" in read
        for path in ("", "/settings", "/log"):
            body = (await host.get(f"/_console{path}")).body.decode()
            for secret in [*SECRETS.values(), "pw@h"]:
                for piece in re.split("[:,]", secret):
                    assert piece not in body or len(piece) < 5


async def test_a_store_that_is_away_is_said(host: RunningHost) -> None:
    """A page instead of a crash; the log has the reason."""
    from kv.checks import KVUnavailable

    async def away(*_: object, **__: object) -> None:
        raise KVUnavailable("GET")

    host.env.import_report_kv.list = away  # type: ignore[method-assign]
    answer = await host.get(KV)
    assert answer.status == 503
    assert "does not answer" in text(answer)
    assert "does not answer" in text(await host.get("/_console"))


async def test_a_failing_page_is_a_page(host: RunningHost) -> None:
    """What nobody expected is a 500 without a word of it, and a line in the log."""

    async def broken(*_: object, **__: object) -> None:
        raise RuntimeError("a secret text")

    host.env.import_report_kv.list = broken  # type: ignore[method-assign]
    answer = await host.get(KV)
    assert answer.status == 500
    assert "secret" not in text(answer)
    assert any(event["event"] == "console_failed" for event in host.events())


def test_a_start_does_not_pay_for_what_it_may_never_use() -> None:
    """Pages, TLS, password hashes, servers: each is imported when it is first needed."""
    late = {"jinja2", "markupsafe", "worker.entry.console.overview", "importlib.metadata"}
    late |= {"cryptography", "argon2", "redis", "minio", "urllib3", "google.protobuf", "playwright"}
    code = f"import sys, worker.entry.host; print(sorted({late!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
