"""
How stored data appears in a page: sizes, moments, and characters that would deceive the eye.

Escaping for HTML is Jinja's (autoescape); here what HTML lets pass is made visible: controls,
zero-width characters, and the bidirectional ones that reorder a line (Unicode TR 36 §2.5).
"""

import json
import re
from typing import Any, Final

from markupsafe import Markup, escape

from worker.codec import iso_time

_ODD_ONES: Final = (
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b-\u200f\u2028-\u202e"
    "\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffc\ufffe\uffff\ud800-\udfff"
    "\U000e0000-\U000e0fff]"
)
_ODD: Final = re.compile(_ODD_ONES)
_ODD_IN_LINES: Final = re.compile(rf"(?![\n\t]){_ODD_ONES}")
_UNITS: Final = ("B", "kB", "MB", "GB", "TB")


def shown(text: Any) -> Markup:
    """Return *text* for one line of a page, each odd character as its code point."""
    return _marked(_ODD, str(text))


def shown_lines(text: Any) -> Markup:
    """Return *text* for a `<pre>`: as `shown`, but lines and tabs stay."""
    return _marked(_ODD_IN_LINES, str(text))


def _marked(odd: re.Pattern[str], text: str) -> Markup:
    pieces: list[str] = []
    end = 0
    for found in odd.finditer(text):
        pieces.append(str(escape(text[end : found.start()])))
        pieces.append(f'<span class="odd">U+{ord(found[0]):04X}</span>')
        end = found.end()
    pieces.append(str(escape(text[end:])))
    # Every piece is escaped above.
    return Markup("".join(pieces))  # noqa: S704


def byte_size(count: float) -> str:
    """Write a number of bytes for people: 1500 -> "1.5 kB" (1 kB = 1,000 bytes)."""
    unit = 0
    while count >= 999.5 and unit < len(_UNITS) - 1:
        count, unit = count / 1000, unit + 1
    places = 1 if unit and count < 99.95 else 0
    return f"{count:.{places}f} {_UNITS[unit]}"


def moment(epoch_seconds: float) -> str:
    """Write a moment as UTC to the second, e.g. 2026-11-21 08:00:00 UTC; never raises."""
    try:
        return iso_time(epoch_seconds)[:19].replace("T", " ") + " UTC"
    except (OverflowError, ValueError, OSError):
        return "beyond the calendar"


def from_now(epoch_seconds: float, now: float) -> str:
    """Write a moment relative to *now*: "in 3 h", "5 min ago"."""
    apart = epoch_seconds - now
    return f"in {duration(apart)}" if apart >= 0 else f"{duration(-apart)} ago"


def duration(seconds: float) -> str:
    """Write a length of time in its two largest units: "45 s", "3 h 20 min", "12 days"."""
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, hours, days = whole // 60, whole // 3600, whole // 86400
    if minutes < 60:
        return f"{minutes} min"
    if hours < 24:
        rest = minutes % 60
        return f"{hours} h {rest} min" if rest and hours < 10 else f"{hours} h"
    return f"{days} days" if days > 1 else "1 day"


def counted(count: int, one: str, many: str = "") -> str:
    """Write a number with its noun: "1 key", "1,204 keys"."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def as_json(value: Any) -> str:
    """Write *value* as JSON in one line; it still has to be escaped and `shown`."""
    return json.dumps(value, ensure_ascii=False)


def ticked(text: str) -> Markup:
    """Return a help text for HTML: what stands between backticks is code."""
    parts = [str(_marked(_ODD, part)) for part in text.split("`")]
    # Every piece is escaped above; those at odd places stood between backticks.
    return Markup(  # noqa: S704
        "".join(f"<code>{part}</code>" if at % 2 else part for at, part in enumerate(parts))
    )
