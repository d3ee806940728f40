"""LineReader: the same lines, however the stream is cut."""

from hypothesis import example, given
from hypothesis import strategies as st

from worker.wire.ndjson import LineReader

LIMIT = 24
_BOM = b"\xef\xbb\xbf"
_PIECES = st.lists(
    st.sampled_from(
        [b"\n", b"\r\n", b"\r", b" ", b"\t", b"a", b"{}", _BOM, b"x" * LIMIT, b"y" * 9, b"\xff"]
    ),
    max_size=40,
).map(b"".join)


def read(stream: bytes, cuts: list[int]) -> list[tuple[int, bytes | None]]:
    """Feed *stream*, cut at *cuts*, and return its lines."""
    reader = LineReader(LIMIT)
    found = []
    at = 0
    for cut in sorted({cut % (len(stream) + 1) for cut in cuts}):
        found += reader.feed(stream[at:cut])
        at = cut
    found += reader.feed(stream[at:])
    return found + reader.end()


def expected(stream: bytes) -> list[tuple[int, bytes | None]]:
    """Say the same with the whole stream in hand."""
    lines: list[tuple[int, bytes | None]] = []
    for number, raw in enumerate(stream.split(b"\n"), 1):
        line = raw.removeprefix(_BOM).removesuffix(b"\r")
        if len(line) > LIMIT:
            lines.append((number, None))
        elif line.strip(b" \t\r"):
            lines.append((number, line.strip(b" \t\r")))
    return lines


@given(stream=_PIECES, cuts=st.lists(st.integers(0, 2000), max_size=12))
@example(stream=b"x" * LIMIT + b" " * 9 + b"\n{}", cuts=[LIMIT + 8])
@example(stream=b" " * 9 * LIMIT + b"\n{}", cuts=[LIMIT * 2, LIMIT * 4])
@example(stream=_BOM + b"x" * LIMIT + b"\r\n", cuts=[1, 2, 3, 20, LIMIT + 3, LIMIT + 4])
def test_where_the_stream_is_cut_never_changes_what_the_lines_are(
    stream: bytes, cuts: list[int]
) -> None:
    """Numbers, contents and the verdict "too long" depend on the bytes alone."""
    assert read(stream, cuts) == expected(stream)


@given(stream=_PIECES)
def test_byte_by_byte_is_the_same_as_all_at_once(stream: bytes) -> None:
    """The finest cut of all gives the same lines."""
    assert read(stream, list(range(len(stream)))) == expected(stream)


def test_a_line_without_an_end_is_thrown_away_as_it_comes() -> None:
    """Fifty megabytes without a line end never lie in memory: at most limit and one piece do."""
    reader = LineReader(1000)
    for _ in range(50_000):
        assert reader.feed(b"x" * 1000) == []
        assert len(reader._rest) <= 2000  # noqa: SLF001 - memory shows nowhere else
    assert reader.feed(b"\n{}\n") == [(1, None), (2, b"{}")]
    assert reader.end() == []


def test_every_line_end_and_a_missing_one_are_understood() -> None:
    """LF, CRLF, marks at the start of any line, blank lines and a last line without end."""
    reader = LineReader(100)
    got = reader.feed(_BOM + b"a\r\n\r\n  \n" + _BOM + b"b\n\nc")
    assert got == [(1, b"a"), (4, b"b")]
    assert reader.end() == [(6, b"c")]
    assert reader.end() == []
