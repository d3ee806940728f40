"""
Cron expressions as Cloudflare reads them: five fields, UTC.

Source: https://developers.cloudflare.com/workers/configuration/cron-triggers/ and Cloudflare's own
parser (github.com/cloudflare/saffron). Weekdays count from 1 = SUN to 7 = SAT, not from 0 as in a
crontab; ranges may go over the end (FRI-MON, 22-2); where both days are given, either will do.
"""

import re
from calendar import monthrange
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

DayRule = Callable[[date], bool]

# 29 February comes after 8 years at most (1896, 1904); that it is a weekday, after 40.
_LONGEST_WAIT: Final = timedelta(days=40 * 366)
_TERM: Final = re.compile(r"(\*|[0-9A-Z]+)(?:-([0-9A-Z]+))?(?:/([0-9]+))?", re.ASCII)
_DAY_OF_END: Final = re.compile(r"L(?:-([0-9]{1,2}))?(W?)", re.ASCII)
_SATURDAY: Final = 5


@dataclass(frozen=True, slots=True)
class Field:
    """One field: numbers from *least* to *most*, whose *names* begin at *least*."""

    title: str
    least: int
    most: int
    names: tuple[str, ...] = ()

    def values(self, text: str) -> frozenset[int]:
        """Return the numbers that *text*, in capitals, names; raises ValueError."""
        return frozenset(value for term in text.split(",") for value in self._term(term))

    def number(self, text: str) -> int:
        """Return the one number that *text* names; raises ValueError."""
        if text in self.names:
            return self.least + self.names.index(text)
        if not (text.isascii() and text.isdecimal()):
            raise self.bad(text)
        if not self.least <= int(text) <= self.most:
            hint = "; Cloudflare counts from 1 = SUN to 7 = SAT" if self is WEEKDAY else ""
            raise self.bad(f"{text} (from {self.least} to {self.most}{hint})")
        return int(text)

    def bad(self, text: str) -> ValueError:
        """Return the error for *text* in this field."""
        return ValueError(f"Bad {self.title} {text}")

    def _term(self, term: str) -> list[int]:
        found = _TERM.fullmatch(term)
        if found is None or (found[1] == "*" and found[2]):
            raise self.bad(term)
        first, last, step = found.groups()
        start = self.least if first == "*" else self.number(first)
        end = self.number(last) if last else (self.most if step or first == "*" else start)
        if step and not 0 < int(step) <= self.most:
            raise self.bad(term)
        values = [*range(start, end + 1)]
        if start > end:
            values = [*range(start, self.most + 1), *range(self.least, end + 1)]
        return values[:: int(step or 1)]


MINUTE: Final = Field("minute", 0, 59)
HOUR: Final = Field("hour", 0, 23)
DAY: Final = Field("day-of-month", 1, 31)
MONTH: Final = Field(
    *("month", 1, 12),
    ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"),
)
WEEKDAY: Final = Field("weekday", 1, 7, ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"))


@dataclass(frozen=True, slots=True)
class Cron:
    """An expression, understood."""

    minutes: list[int]
    hours: list[int]
    months: frozenset[int]
    day_rules: tuple[DayRule, ...]
    """Any of them will do; none means every day."""

    @classmethod
    def parse(cls, text: str) -> "Cron":
        """Read *text*; raises ValueError with a phrase for a person."""
        fields = text.upper().split()
        if len(fields) != 5:
            raise ValueError(
                f"{text!r} must have 5 fields (minute, hour, day of month, month, weekday)"
            )
        minute, hour, day, month, weekday = fields
        rules: list[DayRule] = []
        try:
            if day != "*":
                rules += [_day_rule(term) for term in day.split(",")]
            if weekday != "*":
                rules += [_weekday_rule(term) for term in weekday.split(",")]
            return cls(
                sorted(MINUTE.values(minute)),
                sorted(HOUR.values(hour)),
                MONTH.values(month),
                tuple(rules),
            )
        except ValueError as error:
            raise ValueError(f"{text!r} is not a cron expression: {error}") from None

    def after(self, moment: datetime) -> datetime | None:
        """Return the first moment after *moment* (in UTC) at which it is due, or None."""
        day = moment.date()
        while day <= moment.date() + _LONGEST_WAIT:
            if self._runs_on(day):
                due = next((one for one in self._times(day) if one > moment), None)
                if due is not None:
                    return due
            day += timedelta(days=1)
        return None

    def _runs_on(self, day: date) -> bool:
        if day.month not in self.months:
            return False
        return not self.day_rules or any(rule(day) for rule in self.day_rules)

    def _times(self, day: date) -> Iterator[datetime]:
        for hour in self.hours:
            for minute in self.minutes:
                yield datetime.combine(day, time(hour, minute), UTC)


def _day_rule(term: str) -> DayRule:
    if (found := _DAY_OF_END.fullmatch(term)) is not None:
        before, is_working_day = int(found[1] or 0), bool(found[2])
        if before > 30:
            raise DAY.bad(term)
        return lambda day: day.day == _moved(day, _last(day) - before, is_working_day)
    if term.endswith("W"):
        number = DAY.number(term[:-1])
        return lambda day: day.day == _moved(day, number, True)
    values = DAY.values(term)
    return lambda day: day.day in values


def _weekday_rule(term: str) -> DayRule:
    if term == "L":
        term = "SAT"
    if term.endswith("L"):
        number = WEEKDAY.number(term[:-1])
        return lambda day: _weekday(day) == number and day.day + 7 > _last(day)
    name, ordinal, nth = term.partition("#")
    if ordinal:
        number = WEEKDAY.number(name)
        if nth not in tuple("12345"):
            raise WEEKDAY.bad(term)
        return lambda day: _weekday(day) == number and (day.day + 6) // 7 == int(nth)
    values = WEEKDAY.values(term)
    return lambda day: _weekday(day) in values


def _moved(month: date, number: int, is_working_day: bool) -> int:
    """Return *number* in *month*, or the working day nearest to it; 0: there is no such day."""
    last = _last(month)
    if not 1 <= number <= last:
        return 0
    weekday = month.replace(day=number).weekday()
    if not is_working_day or weekday < _SATURDAY:
        return number
    if weekday == _SATURDAY:
        return number - 1 if number > 1 else number + 2
    return number + 1 if number < last else number - 2


def _weekday(day: date) -> int:
    return day.isoweekday() % 7 + 1


def _last(month: date) -> int:
    return monthrange(month.year, month.month)[1]
