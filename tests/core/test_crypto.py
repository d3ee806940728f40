"""The crypto port of a host: hashes that say what they are, judged off the loop."""

import asyncio
import hashlib
import os
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.running_host import SECRETS
from worker.crypto import ChainedHash, UnknownHash, read_chained
from worker.entry.edge_crypto import EdgeCrypto
from worker.entry.native_crypto import NativeCrypto
from worker.setting_kinds import SettingError
from worker.settings import Settings

_CHEAPEST = Settings.load(SECRETS)


@pytest.fixture
def crypto() -> NativeCrypto:
    """The port with the default parameters."""
    return NativeCrypto(_CHEAPEST, os.urandom)


async def test_a_hash_is_argon2id_with_the_parameters_of_the_settings(
    crypto: NativeCrypto,
) -> None:
    """A PHC string with a salt of its own each time; it holds for its password only."""
    one, two = await asyncio.gather(crypto.hash_password("pä55"), crypto.hash_password("pä55"))

    assert one.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert one != two
    assert await crypto.verify_password(one, "pä55")
    assert not await crypto.verify_password(one, "pa55")
    assert not crypto.is_outdated(one)
    crypto.close()


async def test_the_decoy_has_no_password_and_is_judged_in_full(crypto: NativeCrypto) -> None:
    """It has the parameters of a fresh hash, so it costs the same."""
    decoy, fresh = crypto.decoy(), await crypto.hash_password("x")
    assert decoy.rpartition("p=")[0] == fresh.rpartition("p=")[0]
    assert len(decoy) == len(fresh)
    assert not await crypto.verify_password(decoy, "")
    assert not crypto.is_outdated(decoy)
    crypto.close()


async def test_other_parameters_make_a_hash_outdated() -> None:
    """It still holds; whoever signs in next gets a new one."""
    dearer = Settings.load({**SECRETS, "ARGON2_PASSES": "3", "ARGON2_LANES": "2"})
    before, after = NativeCrypto(_CHEAPEST, os.urandom), NativeCrypto(dearer, os.urandom)
    stored = await before.hash_password("x")
    assert after.is_outdated(stored)
    assert await after.verify_password(stored, "x")
    assert "t=3,p=2" in await after.hash_password("x")
    before.close()
    after.close()


async def test_a_hash_of_the_edge_is_judged_and_outdated(crypto: NativeCrypto) -> None:
    """Rounds of PBKDF2, each salted with what the one before gave."""
    link = b"s" * 16
    for _ in range(3):
        link = hashlib.pbkdf2_hmac("sha256", b"x", link, 1000)
    stored = ChainedHash(1000, 3, b"s" * 16, link).phc()
    assert await crypto.verify_password(stored, "x")
    assert not await crypto.verify_password(stored, "y")
    assert crypto.is_outdated(stored)
    crypto.close()


async def test_the_edge_refuses_a_hash_of_a_host(crypto: NativeCrypto) -> None:
    """By its name, without an attempt; its own decoy is what it would make."""
    edge = EdgeCrypto(os.urandom)
    stored = await crypto.hash_password("x")
    with pytest.raises(UnknownHash):
        await edge.verify_password(stored, "x")
    assert edge.is_outdated(stored)
    assert not edge.is_outdated(edge.decoy())
    assert read_chained(edge.decoy()).is_current
    crypto.close()


@given(
    st.integers(1000, 100_000),
    st.integers(1, 60),
    st.binary(min_size=16, max_size=64),
    st.binary(min_size=32, max_size=32),
)
def test_a_chained_hash_reads_as_it_was_written(
    iterations: int, rounds: int, salt: bytes, digest: bytes
) -> None:
    """Writing and reading are each other's inverse."""
    made = ChainedHash(iterations, rounds, salt, digest)
    assert read_chained(made.phc()) == made


@given(st.text(max_size=120) | st.from_regex(r"\$pbkdf2-sha256-chained\$.*", fullmatch=True))
def test_any_other_text_is_no_hash(text: str) -> None:
    """Refused without quoting it, whatever it is; never more work than a hash of ours."""
    try:
        found = read_chained(text)
    except UnknownHash as refused:
        assert text not in str(refused) or len(text) < 4  # noqa: PT017 - the point of it
    else:
        assert found.iterations <= 100_000
        assert found.rounds <= 60


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ARGON2_MEMORY_KIB", "19455"),
        ("ARGON2_PASSES", "1"),
        ("ARGON2_LANES", "0"),
        ("ARGON2_MEMORY_KIB", "9999999999"),
        ("ACCESS_TOKEN_MINUTES", "61"),
    ],
)
def test_parameters_below_the_floor_do_not_start(name: str, value: str) -> None:
    """OWASP's minimum is ours; what would fill the memory is refused too."""
    with pytest.raises(SettingError, match=name):
        Settings.load({**SECRETS, name: value})


async def test_hashes_leave_the_loop_alone(crypto: NativeCrypto) -> None:
    """While ten are made, the loop's thread does next to nothing of the work, and turns."""
    turns = 0
    own, all_of_us = time.thread_time(), time.process_time()
    work = asyncio.gather(*(crypto.hash_password("x") for _ in range(10)))
    while not work.done():
        await asyncio.sleep(0.001)
        turns += 1
    assert turns > 5
    assert time.thread_time() - own < (time.process_time() - all_of_us) / 4
    crypto.close()
