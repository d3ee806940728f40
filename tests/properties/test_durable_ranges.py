"""Properties of list(): the same keys in the same order as a plain sorted dict would give."""

from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from durable.local_kv import LocalKv
from durable.object_file import ObjectFile, OpenFiles
from durable.writes import Writes

# Few letters, so that prefixes and bounds meet; the odd ones sit at the seams of UTF-8.
KEYS = st.text(st.sampled_from("ab\0é\ud7ff\ue000\uffff\U00010000\U0010ffff"), max_size=4)
BOUND = st.none() | KEYS


def expected(keys: set[str], options: dict[str, Any]) -> list[str]:
    """The keys that list() must give, computed on bytes."""

    def raw(name: str) -> bytes | None:
        return None if options[name] is None else options[name].encode()

    start, after, end, prefix = raw("start"), raw("start_after"), raw("end"), raw("prefix")
    found = [
        key
        for key in sorted(k.encode() for k in keys)
        if (start is None or key >= start)
        and (after is None or key > after)
        and (end is None or key < end)
        and (prefix is None or key.startswith(prefix))
    ]
    if options["reverse"]:
        found.reverse()
    return [key.decode() for key in found[: options["limit"]]]


@settings(max_examples=300, deadline=None)
@given(
    keys=st.sets(KEYS, max_size=12),
    options=st.fixed_dictionaries(
        {
            "start": BOUND,
            "start_after": BOUND,
            "end": BOUND,
            "prefix": BOUND,
            "reverse": st.booleans(),
            "limit": st.none() | st.integers(1, 5),
        }
    ).filter(lambda o: o["start"] is None or o["start_after"] is None),
)
def test_a_range_gives_what_sorting_bytes_gives(keys: set[str], options: dict[str, Any]) -> None:
    """Any mixture of bounds, prefix, direction and limit."""
    kv = LocalKv(WRITES)
    for key, _ in list(kv.list()):
        kv.delete(key)
    for key in keys:
        kv.put(key, key)

    assert [key for key, _ in kv.list(**options)] == expected(keys, options)
    assert all(key == value for key, value in kv.list(**options))


FILES: OpenFiles
WRITES: Writes


def setup_module() -> None:
    """One file for all examples: the rows are what varies."""
    import tempfile

    global FILES, WRITES, _HOLDER
    _HOLDER = tempfile.TemporaryDirectory()
    directory = Path(_HOLDER.name)
    FILES = OpenFiles(directory, 1)
    WRITES = Writes(ObjectFile(FILES, directory / "o.sqlite", None), lambda: None)


def teardown_module() -> None:
    """Close the file."""
    WRITES.undo()
    WRITES.file.close()
    FILES.finish()
    _HOLDER.cleanup()
