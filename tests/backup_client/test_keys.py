"""Calibration, key lifetimes and passwords."""

from collections.abc import Callable

import pytest

from clients.python.backup.errors import WeakPassword
from clients.python.backup.keys import FLOOR, Cost, Keys, calibrate, derive
from clients.python.backup.password import as_bytes, check_new, strength


def machine(speed: float, cache_loss: float = 1.0) -> Callable[[Cost], float]:
    """Return the clock of a machine: seconds for the floor, and what larger memory loses."""

    def seconds(cost: Cost) -> float:
        share = cost.memory_kib * cost.passes / (FLOOR.memory_kib * FLOOR.passes)
        return speed * share * (cache_loss if cost.memory_kib > FLOOR.memory_kib else 1.0)

    return seconds


@pytest.mark.parametrize("speed", [0.05, 0.08, 0.1, 0.2, 0.35, 0.4, 0.6, 0.9])
@pytest.mark.parametrize("loss", [1.0, 1.6, 2.5])
def test_calibration_lands_between_half_a_second_and_one(speed: float, loss: float) -> None:
    """Fast and slow machines, with and without large caches (seed 1.001 §2.1)."""
    clock = machine(speed, loss)

    assert 0.45 <= clock(calibrate(clock)) <= 1.0


def test_the_fastest_machine_stays_openable_elsewhere() -> None:
    """A machine of the future gets no more than what other clients open."""
    calibrate(machine(0.0001)).check()


def test_a_slow_machine_gets_the_floor_and_nothing_below() -> None:
    """RFC 9106's 64 MiB and three passes stay, however long they take."""
    assert calibrate(machine(5.0)) == FLOOR


def test_keys_are_overwritten_after_use() -> None:
    """At the end of the block nothing of the key is left in our buffers."""
    with derive(b"a password for tests", bytes(16), FLOOR) as keys:
        before = bytes(keys.encrypt)
        kept = keys.encrypt

    assert any(before)
    assert not any(kept)


def test_the_two_keys_are_independent() -> None:
    """The key that answers whether a password fits says nothing about the other one."""
    keys = derive(b"a password for tests", bytes(16), FLOOR)
    swapped = Keys(keys.encrypt, keys.encrypt)

    assert keys.check_value(b"head") != swapped.check_value(b"head")


def test_the_thirteenth_character_makes_a_password() -> None:
    """More than 12 characters, counted after NFKC (seed 1.001 §2.1)."""
    check_new("thirteen char")
    check_new("\ufb03" * 5)
    for text in ("twelve chars", "e\u0301" * 12, "", " " * 12):
        with pytest.raises(WeakPassword):
            check_new(text)


def test_what_is_no_text_is_no_password() -> None:
    """Lone surrogates and absurd lengths are refused in words, not with a crash."""
    for text in ("thirteen char\ud800", "x" * 5000):
        with pytest.raises(WeakPassword):
            as_bytes(text)


def test_the_hint_tells_weak_from_strong() -> None:
    """Long is not strong: a keyboard row is guessed at once, words by chance are not."""
    weak, strong = strength("passwordpassword"), strength("vellum orbit cactus quilt")

    assert weak.score <= 1
    assert weak.hint
    assert weak.guessing_time == "less than an hour"
    assert strong.score == 4
    assert strong.guessing_time == "centuries"
    assert "password" not in strength("correcthorsebattery").hint.lower()


def test_a_very_long_password_is_judged_quickly() -> None:
    """The hint looks at the first 72 characters."""
    assert strength("ab1" * 300).score >= 0
