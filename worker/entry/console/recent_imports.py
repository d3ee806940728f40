"""
Which imports there were lately: those that run, and the newest reports that KV keeps.

Names of reports begin with the day, but KV lists upwards only: so the days are asked for one by
one, from today back.
"""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from worker.entry.console.frame import Console

SHOWN: Final = 20
_PREFIX: Final = "report:"
_PAGES_OF_A_DAY: Final = 5
_ROOM: Final = "ImportRoom"


def running(console: "Console") -> list[str]:
    """Return the ids of imports that are under way in this host."""
    if _ROOM not in console.opened.actors.class_names:
        return []
    return [one.id.name for one in console.opened.actors.live(_ROOM) if one.events and one.id.name]


async def recent(console: "Console") -> list[dict[str, Any]]:
    """Return the newest reports, the newest first, as far back as reports are kept."""
    env = console.env
    today = datetime.fromtimestamp(env.tools.now(), UTC)
    names: list[str] = []
    # Tomorrow too: the clock of a client that chose its id may be ahead.
    for days in range(-1, env.settings.import_report_days + 1):
        names += sorted(await _names_of(console, today - timedelta(days=days)), reverse=True)
        if len(names) >= SHOWN:
            break
    reports = [await env.import_report_kv.get(name, "json") for name in names[:SHOWN]]
    # One may have ended between the list and here.
    return [report for report in reports if isinstance(report, dict)]


async def _names_of(console: "Console", day: datetime) -> list[str]:
    names: list[str] = []
    cursor = None
    for _ in range(_PAGES_OF_A_DAY):
        page = await console.env.import_report_kv.list(
            prefix=f"{_PREFIX}imp_{day:%Y%m%d}", cursor=cursor
        )
        names += [key.name for key in page.keys]
        cursor = page.cursor
        if page.list_complete:
            break
    return names
