"""
Lines of a byte stream, with numbers and a bound: the reading half of every NDJSON door.

(The `ndjson` package reads whole texts; a 500 MB import must pass through a few kilobytes.)
"""

_BOM = b"\xef\xbb\xbf"


class LineReader:
    """
    Cuts a stream into lines.

    LF and CRLF end a line, the last line may lack an end, byte order marks at the start of a line
    are dropped, blank lines are counted and not returned. A line longer than *limit* bytes (without
    mark and end, with any blanks) is returned as None and its bytes are thrown away as they come.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._rest = b""
        self._skipping = False
        self.line_no = 0

    def feed(self, data: bytes) -> list[tuple[int, bytes | None]]:
        """Return the lines that *data* completes as (number, bytes without end, or None)."""
        pieces = data.split(b"\n")
        pieces[0] = self._rest + pieces[0]
        self._rest = pieces.pop()
        lines: list[tuple[int, bytes | None]] = []
        for piece in pieces:
            self._take(piece, lines)
        if len(self._rest) > self._limit + len(_BOM) + 1:
            self._rest = b""
            self._skipping = True
        return lines

    def end(self) -> list[tuple[int, bytes | None]]:
        """Return the last line when it had no end."""
        lines: list[tuple[int, bytes | None]] = []
        if self._rest or self._skipping:
            self._take(self._rest, lines)
            self._rest = b""
        return lines

    def _take(self, piece: bytes, lines: list[tuple[int, bytes | None]]) -> None:
        self.line_no += 1
        # Measured with the blanks around it: a line whose blanks were thrown away unread, because
        # they came in an earlier chunk, must not be judged otherwise than one that came whole.
        line = piece.removeprefix(_BOM).removesuffix(b"\r")
        if self._skipping or len(line) > self._limit:
            self._skipping = False
            lines.append((self.line_no, None))
        elif line := line.strip(b" \t\r"):
            lines.append((self.line_no, line))
