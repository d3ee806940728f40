"""KV on Redis: several hosts on one server, what lies there, and what a wrong URL is told."""

import asyncio
import contextlib
import ssl
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from kv.checks import MAX_VALUE_BYTES
from kv.contract import KVNamespace, KVPut
from kv.redis import RedisStartError, open_namespace
from tests.bindings.adapters import START, Clock
from tests.support.ports import free_port
from tests.support.redis_server import QUIET, RedisServer, redis_server, shared_server
from tests.support.waiting import until
from tests.support.wire import wire_to


@contextlib.asynccontextmanager
async def opened(url: str, clock: Clock | None = None) -> AsyncIterator[KVNamespace]:
    """A namespace at *url*, closed at the end."""
    namespace = await open_namespace(url, "TEST_KV", clock or time.time)
    try:
        yield namespace
    finally:
        await namespace.close()


def keys_below(server: RedisServer, prefix: str) -> int:
    """How many keys the server has whose names begin with *prefix*."""
    return server.command("KEYS", f"{prefix}*").count(b"$")


async def test_hosts_see_each_others_writes_at_once() -> None:
    """Two namespaces on one server: reads, overwrites, lists and deletes, nothing remembered."""
    url = f"{shared_server().url}?prefix=hosts"
    async with opened(url) as one, opened(url) as two:
        for number in range(50):
            await one.put("k", f"one {number}")
            assert await two.get("k") == f"one {number}"
            await two.put("k", f"two {number}", metadata=number)
            assert (await one.get_with_metadata("k")).metadata == number
        await two.put_many([KVPut("a", "1"), KVPut("b", "2")])
        assert [key.name for key in (await one.list()).keys] == ["a", "b", "k"]
        await one.delete("a")
        assert await two.get("a") is None
        assert [key.name for key in (await two.list()).keys] == ["b", "k"]


async def test_hosts_write_one_namespace_together_without_loss() -> None:
    """Many writers at once on three hosts: every key is there, once, in order."""
    url = f"{shared_server().url}?prefix=together"
    async with opened(url) as one, opened(url) as two, opened(url) as three:
        hosts = (one, two, three)
        await asyncio.gather(
            *(hosts[i % 3].put(f"k{i:04d}", str(i), expiration_ttl=600) for i in range(600)),
            *(host.put_many(KVPut(f"m{i:04d}", "v") for i in range(400)) for host in hosts),
        )
        found: list[str] = []
        cursor = None
        while cursor is not None or not found:
            page = await one.list(cursor=cursor, limit=130)
            found += [key.name for key in page.keys]
            cursor = page.cursor
        assert found == [*(f"k{i:04d}" for i in range(600)), *(f"m{i:04d}" for i in range(400))]


async def test_namespaces_prefixes_and_databases_are_apart() -> None:
    """One server holds many namespaces: by their names, by a prefix, by a database."""
    server = shared_server()
    first = await open_namespace(f"{server.url}?prefix=apart", "ONE_KV", time.time)
    await first.put("k", "first")
    for url, name in (
        (f"{server.url}?prefix=apart", "TWO_KV"),
        (f"{server.url}?prefix=apart-2", "ONE_KV"),
        (f"{server.url}/3?prefix=apart", "ONE_KV"),
    ):
        other = await open_namespace(url, name, time.time)
        assert await other.get("k") is None
        assert (await other.list()).keys == []
        await other.close()
    await first.close()


async def test_the_largest_values_arrive_whole() -> None:
    """25 MiB go and come, and others need not wait for them."""
    async with opened(f"{shared_server().url}?prefix=largest") as kv:
        value = bytes(range(256)) * (MAX_VALUE_BYTES // 256)
        await kv.put("small", "s")
        await asyncio.gather(kv.put("a", value, metadata="m"), kv.put("b", value[::-1]))

        reading = [asyncio.create_task(kv.get(key, "bytes")) for key in "ab"]
        assert await kv.get("small") == "s"
        one, two = await asyncio.gather(*reading)

        assert one == value
        assert two == value[::-1]
        assert (await kv.list()).keys[0].metadata == "m"
        await kv.delete("a")
        await kv.delete("b")


async def test_nothing_of_an_ended_entry_stays_on_the_server() -> None:
    """Records and names of what has ended go; what was written again in time stays."""
    server, clock = shared_server(), Clock(START)
    async with opened(f"{server.url}?prefix=ended", clock) as kv:
        await kv.put_many(KVPut(f"k{i}", "v", expiration_ttl=60) for i in range(300))
        await kv.put("k7", "again")
        await kv.put("k8", "again", expiration_ttl=600)
        assert keys_below(server, "ended:{TEST_KV}:v:") == 300

        async def only_two_are_left() -> bool:
            await kv.list(limit=1)
            return keys_below(server, "ended:{TEST_KV}:v:") == 2

        clock.now += 121
        await until(only_two_are_left)
        await kv.delete("k7")
        await kv.delete("k8")
        assert keys_below(server, "ended:") == 0


async def test_a_list_of_ended_entries_is_cut_into_pages_of_bounded_work() -> None:
    """Thousands of ended names before the living ones make short pages, not one slow call."""
    clock = Clock(START)
    async with opened(f"{shared_server().url}?prefix=work", clock) as kv:
        await kv.put_many(KVPut(f"a{i:05d}", "", expiration_ttl=60) for i in range(5000))
        await kv.put("b", "")
        clock.now += 61  # ended, but not long enough ago to be swept
        first = await kv.list()
        assert (first.keys, first.list_complete) == ([], False)

        second = await kv.list(cursor=first.cursor)

        assert [key.name for key in second.keys] == ["b"]
        assert second.list_complete


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("http://h", "the URL must be redis://"),
        ("redis://:secret#x@h", "the URL cannot be read"),
        ("redis://:sec/ret@h", "the URL cannot be read"),
        ("redis://:secret@h:port", "the URL cannot be read"),
        ("redis://:sec?ret=x@h", "the URL cannot be read"),
        ("redis://h/zero", "must be a number"),
        ("redis://h?secret=1", "behind the \\? only these options are known: prefix"),
        ("redis://h?ssl_ca_certs=/secret", "only these options are known: prefix"),
        ("rediss://h?ssl_cert_reqs=secret", "the URL cannot be read"),
        ("redis://h?prefix={}", "prefix= takes"),
        ("unix://", "needs the path of a socket"),
    ],
)
async def test_a_wrong_url_is_told_what_is_wrong_without_its_secrets(url: str, told: str) -> None:
    """Every refusal is a sentence, and none quotes the password."""
    with pytest.raises(RedisStartError, match=told) as caught:
        await open_namespace(url, "TEST_KV", time.time)
    assert "secret" not in str(caught.value)
    assert "ret@" not in str(caught.value)


async def test_a_server_that_refuses_us_at_the_start_is_named(tmp_path: Path) -> None:
    """No password, a wrong one, a database that is not there, a user without rights: sentences."""
    with redis_server(tmp_path / "redis", *QUIET, "--requirepass", "right") as server:
        where = f"127.0.0.1:{server.port}"
        for url, told in (
            (f"redis://{where}", f"Redis at {where} wants a password"),
            (f"redis://:wrong@{where}", f"Redis at {where} refuses the user or the password"),
            (f"redis://:right@{where}/99", f"Redis at {where} has no database of this number"),
        ):
            with pytest.raises(RedisStartError, match=told):
                await open_namespace(url, "TEST_KV", time.time)
        async with opened(f"redis://:right@{where}/2") as kv:
            await kv.put("k", "v")
            assert await kv.get("k") == "v"


@pytest.mark.parametrize("more", ["", "+info +client|id +client|kill"])
async def test_a_user_with_few_rights_is_enough(tmp_path: Path, more: str) -> None:
    """Rights on our keys and the commands of docs/redis.md; without them the start says so."""
    users = tmp_path / "users.acl"
    rights = f"+@read +@write +@transaction +eval +select {more}"
    users.write_text(
        f"user default on nopass +@all ~*\nuser narrow on >pass ~edgekeep:* {rights}\n"
        f"user other on >pass ~other:* {rights}\n"
    )
    with redis_server(tmp_path / "redis", *QUIET, "--aclfile", str(users)) as server:
        async with opened(f"redis://narrow:pass@127.0.0.1:{server.port}") as kv:
            await kv.put("k", "v", expiration_ttl=60)
            assert [key.name for key in (await kv.list()).keys] == ["k"]
            await kv.delete("k")
        with pytest.raises(RedisStartError, match="refuses to work for this user"):
            await open_namespace(f"redis://other:pass@127.0.0.1:{server.port}", "K", time.time)


async def test_what_is_not_redis_is_told_apart() -> None:
    """Another kind of server, and none at all."""

    async def http(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(http, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with pytest.raises(RedisStartError, match=f"What answers at 127.0.0.1:{port} is not Redis"):
        await open_namespace(f"redis://127.0.0.1:{port}", "TEST_KV", time.time)
    server.close()
    await server.wait_closed()

    port = free_port()
    with pytest.raises(RedisStartError, match=f"127.0.0.1:{port} does not answer"):
        await open_namespace(f"redis://127.0.0.1:{port}", "TEST_KV", time.time)


async def test_a_socket_in_the_file_system_will_do(tmp_path: Path) -> None:
    """unix:///path; a wrong password is told there too."""
    path = tmp_path / "r.sock"
    options = (*QUIET, "--unixsocket", str(path), "--requirepass", "right")
    with redis_server(tmp_path / "redis", *options):
        async with opened(f"unix://:right@{path}") as kv:
            await kv.put("k", "v")
            assert await kv.get("k") == "v"
        with pytest.raises(RedisStartError, match="refuses the user or the password"):
            await open_namespace(f"unix://:wrong@{path}", "TEST_KV", time.time)


async def test_tls_is_spoken_and_the_certificate_judged(tmp_path: Path) -> None:
    """rediss:// with the right authority works, large values too; without it the start says why."""
    tls = _server_side(tmp_path)
    async with wire_to(shared_server().port, tls) as wire:
        where = f"rediss://127.0.0.1:{wire.port}"
        async with opened(f"{where}?prefix=tls&ssl_ca_certs={tmp_path}/cert.pem") as kv:
            await kv.put("k", bytes(3_000_000))
            assert await kv.get("k", "bytes") == bytes(3_000_000)
        with pytest.raises(RedisStartError, match="certificate verify failed"):
            await open_namespace(where, "TEST_KV", time.time)


def _server_side(folder: Path) -> ssl.SSLContext:
    """Make a certificate for 127.0.0.1 in *folder*; return the context of a server with it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(address, critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context
