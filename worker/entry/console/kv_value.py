"""A stored value for the eye: as text, as JSON set in lines, as a hex dump; long ones in part."""

import asyncio
import json
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup

from worker.entry.console.shown import shown_lines

VIEWS: Final = ("text", "json", "hex")
TEXT_BYTES: Final = 256_000
"""A longer value is shown in part."""
_HEX_BYTES: Final = 64_000
_ROW: Final = 16
# Larger values are made ready off the event loop.
_SMALL: Final = 4_000


@dataclass(frozen=True, slots=True)
class ValueView:
    """*markup* is the first *part* bytes of *size*, as *name*; *note* says what did not work."""

    name: str
    markup: Markup
    size: int
    part: int
    note: str = ""


async def value_view(data: bytes, wanted: str) -> ValueView:
    """Return *data* as *wanted* ("text", "json", "hex"), or as what suits it best."""
    if len(data) <= _SMALL:
        return _view(data, wanted)
    return await asyncio.to_thread(_view, data, wanted)


def _view(data: bytes, wanted: str) -> ValueView:
    if wanted not in VIEWS:
        wanted = _best(data)
    if wanted == "hex":
        part = data[:_HEX_BYTES]
        return ValueView("hex", shown_lines(hex_dump(part)), len(data), len(part))
    note = ""
    if wanted == "json":
        pretty = _pretty(data)
        if pretty is not None:
            return ValueView("json", shown_lines(pretty), len(data), len(data))
        note = "This is not JSON" if len(data) <= TEXT_BYTES else "Too long to be set as JSON"
        note += "; here it is as text."
    part = data[:TEXT_BYTES]
    return ValueView("text", shown_lines(part.decode(errors="replace")), len(data), len(part), note)


def _best(data: bytes) -> str:
    if data[:1] in (b"{", b"[") and _pretty(data) is not None:
        return "json"
    try:
        # The cut may go through a character.
        data[:TEXT_BYTES].decode()
    except UnicodeDecodeError as error:
        if error.start < min(len(data), TEXT_BYTES) - 3:
            return "hex"
    return "text"


def _pretty(data: bytes) -> str | None:
    """Return JSON set in lines; None for what is none, or too long to be set."""
    if len(data) > TEXT_BYTES:
        return None
    try:
        return json.dumps(json.loads(data.decode()), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return None


def hex_dump(data: bytes) -> str:
    """Return *data* in rows of 16: offset, hexadecimal, and what is printable ASCII."""
    rows = []
    for start in range(0, len(data), _ROW):
        row = data[start : start + _ROW]
        seen = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)
        rows.append(f"{start:08x}  {row.hex(' '):<47}  {seen}")
    return "\n".join(rows)
