"""Which lines of the log a reader wants, and what of a line stands in which column."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from worker.log import METHODS

LEVELS: Final = ("info", "warning", "error")
METHOD_CHOICES: Final = (*sorted(METHODS), "OTHER")
STATUS_CLASSES: Final = ("2", "3", "4", "5")
# Members with a column of their own, and those that are the same on every line of a host.
_COLUMNS: Final = ("ts", "level", "event", "method", "route", "status", "ms", "request_id")
_LABELS: Final = ("app", "env", "platform")


@dataclass(frozen=True, slots=True)
class LogFilter:
    """Each field "" (or 0) lets every line pass."""

    method: str = ""
    route: str = ""
    status: str = ""
    level: str = ""
    event: str = ""
    min_ms: float = 0.0
    request_id: str = ""

    @classmethod
    def of(cls, query: Mapping[str, str]) -> "LogFilter":
        """Read a query; what is no choice or no number counts as not given."""
        method, level = query.get("method", ""), query.get("level", "")
        status, least = query.get("status", ""), query.get("min_ms", "").strip()
        return cls(
            method=method if method in METHOD_CHOICES else "",
            route=query.get("route", "").strip(),
            status=status if status in STATUS_CLASSES else "",
            level=level if level in LEVELS else "",
            event=query.get("event", "").strip(),
            min_ms=float(least)
            if least.isascii() and least.isdecimal() and len(least) < 10
            else 0.0,
            request_id=query.get("request_id", "").strip(),
        )

    def query(self) -> dict[str, str]:
        """Return the fields that are set, as they stand in an address."""
        fields = {name: getattr(self, name) for name in self.__slots__}
        fields["min_ms"] = f"{self.min_ms:.0f}" if self.min_ms else ""
        return {name: value for name, value in fields.items() if value}

    def row(self, line: str) -> dict[str, str] | None:
        """Return the columns of *line*, or None when it is not wanted."""
        try:
            members = json.loads(line)
        except ValueError:
            members = None
        if not isinstance(members, dict) or not self._wants(members):
            return None
        row = {name: str(members.get(name, "")) for name in _COLUMNS}
        rest = {
            name: value
            for name, value in members.items()
            if name not in _COLUMNS and name not in _LABELS
        }
        # ASCII only: no character of it can deceive the eye.
        row["rest"] = json.dumps(rest)[1:-1] if rest else ""
        return row

    def _wants(self, members: dict[str, Any]) -> bool:
        return (
            (not self.method or members.get("method") == self.method)
            and (not self.route or self.route in str(members.get("route", "")))
            and (not self.status or str(members.get("status", "")).startswith(self.status))
            and (not self.level or members.get("level") == self.level)
            and (not self.event or self.event in str(members.get("event", "")))
            and (not self.min_ms or _milliseconds(members) >= self.min_ms)
            and (not self.request_id or members.get("request_id") == self.request_id)
        )


def _milliseconds(members: dict[str, Any]) -> float:
    found = members.get("ms")
    return found if isinstance(found, int | float) else -1.0
