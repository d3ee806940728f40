"""Imports whose connection or framing lies: nothing in atomic mode, the truth otherwise."""

import asyncio
from typing import Any

import pytest

from tests.support.problems import assert_problem
from tests.support.profiles import line, many
from tests.support.raw import RawConnection, connect, head
from tests.support.running_host import NDJSON, RunningHost
from tests.support.waiting import PATIENCE, until

ID = "imp_20261121080000_cutoff"
_SENT = many(2000)


async def start(host: RunningHost, query: str, **fields: str) -> RawConnection:
    """Send the head of an import named ID."""
    connection = await connect(host.port)
    sent = {**NDJSON, **host.bearer("profiles:import")}
    sent |= {name.replace("_", "-"): value for name, value in fields.items()}
    await connection.send(head("POST", f"/api/profiles/import?id={ID}{query}", sent))
    return connection


async def got_to(host: RunningHost, lines: int) -> None:
    """Wait until the import named ID has read so many lines."""
    asker = host.bearer("profiles:import")

    async def has() -> bool:
        answer = await host.get(f"/api/profiles/import/report?id={ID}", headers=asker)
        return answer.status == 200 and answer.json()["lines_total"] >= lines

    await until(has)


async def concluded(host: RunningHost) -> dict[str, Any]:
    """Wait until the import named ID has ended, and return its report."""
    asker = host.bearer("profiles:import")
    async with asyncio.timeout(PATIENCE):
        while True:
            answer = await host.get(f"/api/profiles/import/report?id={ID}", headers=asker)
            if answer.status == 200 and answer.json()["state"] not in ("running", "committing"):
                found: dict[str, Any] = answer.json()
                return found
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
@pytest.mark.parametrize("query", ["", "&mode=atomic"])
async def test_a_connection_cut_in_the_middle_is_told_truly(
    either: RunningHost, query: str, *, chunked: bool, reset: bool
) -> None:
    """The report says failed, incomplete_body, and exactly what was stored: atomic, nothing."""
    framing = {"Transfer-Encoding": "chunked"} if chunked else {"Content-Length": "9999999"}
    connection = await start(either, query, **framing)
    await connection.send((b"%x\r\n" % len(_SENT) if chunked else b"") + _SENT)
    await got_to(either, 1500)
    await connection.cut(reset=reset)
    report = await concluded(either)
    total = await either.total()
    assert (report["state"], report["failure"]) == ("failed", "incomplete_body")
    assert report["profiles_stored"] == total
    assert total == 0 if query else 1000 <= total <= 2000
    assert "status" not in report


@pytest.mark.parametrize("query", ["", "&mode=atomic"])
async def test_the_import_can_be_sent_again_with_its_key_after_a_cut(
    either: RunningHost, query: str
) -> None:
    """A broken-off import gives its Idempotency-Key back; the second try stores everything."""
    connection = await start(either, query, Content_Length="9999999", Idempotency_Key="again")
    await connection.send(_SENT)
    await got_to(either, 1)
    await connection.cut()
    await concluded(either)
    answer = await either.send_profiles(_SENT, headers={"Idempotency-Key": "again"})
    assert answer.status == 200
    assert "Idempotent-Replayed" not in answer.headers
    assert await either.total() == 2000


async def test_a_length_that_is_too_short_ends_the_body_there(
    either: RunningHost, caplog: pytest.LogCaptureFixture
) -> None:
    """What lies behind the declared length is no part of the import, and is quoted nowhere."""
    first, second = line("usr_first1") + b"\n", line("usr_second", user_name="Canary")
    connection = await start(either, "", Content_Length=str(len(first)))
    await connection.send(first)
    answer = await connection.answer()
    assert answer.status == 200
    assert answer.json()["profiles_stored"] == 1
    await connection.send(second + b"\r\n\r\n")
    assert_problem(await connection.answer(), 400, "bad_request")
    await connection.cut()
    assert await either.total() == 1
    assert "Canary" not in "".join(either.log) + caplog.text


async def test_a_lie_about_the_length_in_one_packet_stores_at_most_the_declared_part(
    either: RunningHost,
) -> None:
    """When the rest comes along at once, the import may be refused, but never grows."""
    first, second = line("usr_first1") + b"\n", line("usr_second", user_name="Canary")
    connection = await start(either, "&mode=atomic", Content_Length=str(len(first)))
    await connection.send(first + second)
    answer = await connection.answer()
    assert answer.status in (200, 400)
    assert b"Canary" not in answer.body
    await connection.cut()
    assert await either.total() == (1 if answer.status == 200 else 0)


@pytest.mark.parametrize(
    "fields",
    [
        {"Content-Length": "-1"},
        {"Content-Length": "+5"},
        {"Content-Length": "5, 6"},
        {"Content-Length": "0x10"},
        {"Content-Length": "9" * 400},
        {"Content-Length": "5", "Transfer-Encoding": "chunked"},
        {"Transfer-Encoding": "chunked, chunked"},
        {"Transfer-Encoding": "gzip"},
    ],
    ids=lambda fields: " ".join(fields.values())[:12],
)
async def test_a_length_that_means_two_things_is_refused(
    host: RunningHost, fields: dict[str, str]
) -> None:
    """No two servers on the way may cut such a request differently (RFC 9112 §6.3)."""
    connection = await start(host, "", **fields)
    await connection.send(line() + b"\r\n\r\n")
    answer = await connection.answer()
    assert answer.status in (400, 413, 501)
    assert await host.total() == 0
    await connection.cut()


async def test_a_declared_length_over_the_limit_is_refused_before_the_body(
    host: RunningHost,
) -> None:
    """413 while nothing of the body was sent."""
    connection = await start(host, "", Content_Length=str(600 * 1024 * 1024))
    assert (await connection.answer()).status == 413
    await connection.cut()


async def test_chunks_with_a_broken_size_break_the_import_off(either: RunningHost) -> None:
    """Nothing after the break is read; in atomic mode nothing is stored."""
    connection = await start(either, "&mode=atomic", Transfer_Encoding="chunked")
    good = line("usr_first1") + b"\n"
    await connection.send(b"%x\r\n%s\r\nzzz\r\n" % (len(good), good))
    assert (await connection.answer()).status == 400
    await connection.cut()
    assert await either.total() == 0


async def test_a_body_in_single_bytes_is_the_same_body(either: RunningHost) -> None:
    """However slowly and finely it comes."""
    body = line("usr_first1") + b"\r\n" + line("usr_second", user_name="é😀")
    connection = await start(either, "", Content_Length=str(len(body)))
    for at in range(0, len(body), 7):
        await connection.send(body[at : at + 7])
        await asyncio.sleep(0)
    answer = await connection.answer()
    assert answer.status == 200
    assert answer.json()["profiles_stored"] == 2
    await connection.cut()
