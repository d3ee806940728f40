"""Crons on a host: when they are due, and how the clock fires them."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any

import pytest

from worker.entry.crons import CronClock, check_cron, next_run

# A Sunday.
START = datetime(2026, 11, 1, 12, 0, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("cron", "expected"),
    [
        ("* * * * *", "2026-11-01 12:01"),
        ("17 3 * * *", "2026-11-02 03:17"),
        ("*/15 * * * *", "2026-11-01 12:15"),
        ("0 0 1 * *", "2026-12-01 00:00"),
        ("0 0 L * *", "2026-11-30 00:00"),
        ("0 9 * * MON-FRI", "2026-11-02 09:00"),
        ("0 9 * * sun", "2026-11-08 09:00"),
        ("0 9 * * FRI#2", "2026-11-13 09:00"),
        ("0 9 * * FRIL", "2026-11-27 09:00"),
        ("0 0 29 FEB *", "2028-02-29 00:00"),
        ("0 0 * * */2", "2026-11-03 00:00"),
    ],
)
def test_the_next_moment_is_found(cron: str, expected: str) -> None:
    """Names, steps, last days and ordinals are understood, as at Cloudflare."""
    assert f"{next_run(cron, START):%Y-%m-%d %H:%M}" == expected


def test_moments_are_in_utc_whatever_the_zone_of_the_question() -> None:
    """A moment of another zone is compared as the moment it is."""
    there = START.astimezone(timezone(timedelta(hours=9)))

    assert next_run("0 13 * * *", there) == datetime(2026, 11, 1, 13, tzinfo=UTC)


def test_a_moment_that_is_due_now_is_not_due_again() -> None:
    """The next run lies after the moment, never on it."""
    due = datetime(2026, 11, 1, 13, tzinfo=UTC)

    assert next_run("0 13 * * *", due) == due + timedelta(days=1)


# Every expression of Cloudflare's page, and what its parser's own tests ask.
@pytest.mark.parametrize(
    ("cron", "expected"),
    [
        ("*/30 * * * *", "2026-11-01 12:30"),
        ("45 * * * *", "2026-11-01 12:45"),
        ("0 17 * * sun", "2026-11-01 17:00"),
        ("0 17 * * 1", "2026-11-01 17:00"),
        ("10 7 * * mon-fri", "2026-11-02 07:10"),
        ("10 7 * * 2-6", "2026-11-02 07:10"),
        ("0 15 1 * *", "2026-11-01 15:00"),
        ("0 18 * * 6L", "2026-11-27 18:00"),
        ("0 18 * * FRIL", "2026-11-27 18:00"),
        ("59 23 LW * *", "2026-11-30 23:59"),
        ("0 0 * * 5#2", "2026-11-12 00:00"),
        ("0 0 * * thu#5", "2026-12-31 00:00"),
        ("0 0 * * L", "2026-11-07 00:00"),
        ("0 0 15W * *", "2026-11-16 00:00"),
        ("0 0 1W AUG *", "2027-08-02 00:00"),
        ("0 0 1W MAY *", "2027-05-03 00:00"),
        ("0 0 31W JAN *", "2027-01-29 00:00"),
        ("0 0 L-3 * *", "2026-11-27 00:00"),
        ("0 0 L-1W MAY *", "2027-05-31 00:00"),
        ("0 0 * jan,aug sat-sun", "2027-01-02 00:00"),
        ("0 22-2 * * *", "2026-11-01 22:00"),
        ("59-0 23-0 * * *", "2026-11-01 23:00"),
        ("0 20-4/3 * * *", "2026-11-01 20:00"),
        ("*/15,30-59/10 0 * * *", "2026-11-02 00:00"),
        ("5/20 * * * *", "2026-11-01 12:05"),
        ("0 0 13 * FRI", "2026-11-06 00:00"),
        ("0 0 */10 * MON", "2026-11-02 00:00"),
        ("0 0 29W FEB *", "2028-02-29 00:00"),
    ],
)
def test_cloudflares_expressions_mean_what_they_mean_there(cron: str, expected: str) -> None:
    """Weekdays count from 1 = SUN, ranges go over the end, either of two days will do."""
    assert f"{next_run(cron, START):%Y-%m-%d %H:%M}" == expected


@pytest.mark.parametrize("weekday", ["0", "8", "0-4", "MON,0", "7-8", "0L", "0#1", "*/8"])
def test_weekdays_of_a_crontab_are_refused(weekday: str) -> None:
    """Cloudflare has no day 0, which a crontab takes for Sunday: the text says how it counts."""
    with pytest.raises(ValueError, match="Bad weekday") as refused:
        check_cron(f"0 9 * * {weekday}")
    if "/" not in weekday:
        assert "from 1 = SUN to 7 = SAT" in str(refused.value)


@pytest.mark.parametrize(
    ("cron", "reason"),
    [
        ("* * * *", "5 fields"),
        ("0 * * * * *", "5 fields"),
        ("61 * * * *", "Bad minute"),
        ("* * 0 * *", "Bad day-of-month"),
        ("0 0 31 FEB *", "Bad day-of-month"),
        ("nonsense * * * *", "Bad minute"),
        ("*/0 * * * *", "Bad minute"),
        ("*/60 * * * *", "Bad minute"),
        ("*-30/5 * * * *", "Bad minute"),
        ("5- * * * *", "Bad minute"),
        ("1,,2 * * * *", "Bad minute"),
        ("\u0661 * * * *", "Bad minute"),
        ("* 24 * * *", "Bad hour"),
        ("* * 32W * *", "Bad day-of-month"),
        ("* * L-31 * *", "Bad day-of-month"),
        ("* * LL * *", "Bad day-of-month"),
        ("* * * 13 *", "Bad month"),
        ("* * * JUNE *", "Bad month"),
        ("* * * * FRI#6", "Bad weekday"),
        ("* * * * FRI#", "Bad weekday"),
        ("", "5 fields"),
    ],
)
def test_what_is_no_cron_is_refused(cron: str, reason: str) -> None:
    """The text names the field that is wrong."""
    with pytest.raises(ValueError, match=reason):
        check_cron(cron)


class Night:
    """A worker and an env in which time passes only by waiting."""

    def __init__(self, end: timedelta) -> None:
        self.moment = START
        self._end = START + end
        self.fired: list[str] = []
        self.crons: list[str] = []
        self.errors: list[str] = []
        self.job: Callable[[str], Awaitable[None]] | None = None
        self.env: Any = SimpleNamespace(
            tools=SimpleNamespace(now=lambda: self.moment.timestamp(), pause=self.pause),
            log=SimpleNamespace(error=lambda event, error, cron: self.errors.append(cron)),
        )

    async def pause(self, seconds: float) -> None:
        """Let *seconds* pass at once."""
        self.moment += timedelta(seconds=seconds)
        if self.moment >= self._end:
            raise asyncio.CancelledError
        await asyncio.sleep(0)

    async def scheduled(self, cron: str, env: Any) -> None:
        """Note the moment, then do the test's job."""
        self.crons.append(cron)
        self.fired.append(f"{self.moment:%d %H:%M:%S}")
        if self.job is not None:
            await self.job(cron)

    async def run(self, *crons: str) -> None:
        """Let the clock run until the end of the night."""
        await asyncio.gather(CronClock(crons).run(self, self.env), return_exceptions=True)


async def test_the_clock_fires_at_each_due_moment() -> None:
    """Every due moment of the night is met, on the second."""
    night = Night(timedelta(minutes=3))

    await night.run("* * * * *")

    assert night.fired == ["01 12:01:00", "01 12:02:00", "01 12:03:00"]


async def test_a_job_that_fails_does_not_end_the_nights_after_it() -> None:
    """An exception is logged with its cron, and the next moment fires again."""
    night = Night(timedelta(minutes=2))

    async def fail(cron: str) -> None:
        raise RuntimeError(cron)

    night.job = fail
    await night.run("* * * * *")

    assert len(night.fired) == 2
    assert night.errors == ["* * * * *", "* * * * *"]


async def test_a_job_never_overlaps_itself() -> None:
    """A job that takes two and a half minutes skips the moments it covers."""
    night = Night(timedelta(minutes=6))

    async def take_long(cron: str) -> None:
        night.moment += timedelta(seconds=150)

    night.job = take_long
    await night.run("* * * * *")

    assert night.fired == ["01 12:01:00", "01 12:04:00"]


async def test_what_was_due_while_the_machine_slept_runs_once() -> None:
    """After a sleep of three hours an hourly job runs once, then on its hour again."""
    night = Night(timedelta(hours=5))
    slept = False

    async def pause(seconds: float) -> None:
        nonlocal slept
        await night.pause(seconds)
        if not slept:
            slept = True
            night.moment += timedelta(hours=3)

    night.env.tools.pause = pause
    await night.run("0 * * * *")

    assert night.fired == ["01 15:01:00", "01 16:00:00", "01 17:00:00"]


async def test_two_crons_do_not_wait_for_each_other() -> None:
    """While one job hangs, the other keeps its times."""
    night = Night(timedelta(minutes=9))
    hanging = asyncio.Event()

    async def hang(cron: str) -> None:
        if cron == "* * * * *":
            await hanging.wait()

    night.job = hang
    clock = asyncio.create_task(night.run("* * * * *", "*/2 * * * *"))
    for _ in range(100):
        await asyncio.sleep(0)
    clock.cancel()
    await asyncio.gather(clock, return_exceptions=True)

    assert night.crons.count("* * * * *") == 1
    assert night.crons.count("*/2 * * * *") >= 3


async def test_no_cron_means_no_work() -> None:
    """A configuration without crons ends the clock at once."""
    night = Night(timedelta(minutes=1))

    await night.run()

    assert night.fired == []
