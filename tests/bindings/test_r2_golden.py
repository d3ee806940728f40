"""
The R2 contract against what Cloudflare's simulator answers, call by call.

golden/r2.jsonl holds the answers. Every line is replayed in Python and compared, or
stands in DIFFERENCES with the reason and with what Python answers instead.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.bindings import r2_probes_more
from tests.bindings.r2_adapters import OPENERS, Clock, Opener
from tests.bindings.r2_notation import read_golden, write, write_error
from tests.bindings.r2_probes import PROBES
from tests.bindings.r2_s3_differences import ON_SERVER
from tests.support.end_of_run import DIFFERS, PASSED, VERDICTS

assert r2_probes_more.__doc__  # imported for its probes

GOLDEN = [
    json.loads(line)
    for line in (Path(__file__).parent / "golden" / "r2.jsonl").read_text("utf-8").splitlines()
]
EXPECTED = {line[0]: line[1:] for line in GOLDEN}

_TYPES = (
    "Failed to execute 'put' on 'R2Bucket': parameter 2 is not of type "
    "'stream or bytes or bytearray or memoryview or str'."
)
_NO_SSEC = "R2Bucket.put() got an unexpected keyword argument 'ssec_key'"
# Name → why Python answers otherwise, and what it answers.
DIFFERENCES: dict[str, tuple[str, list[Any]]] = {
    "delete 1001": (
        "production takes 1000 keys per call; a call that fails there fails here",
        ["ERR", "TypeError", "delete takes at most 1000 keys, not 1001."],
    ),
    "put number": ("the message names Python's types", ["ERR", "TypeError", _TYPES]),
    "put object": ("the message names Python's types", ["ERR", "TypeError", _TYPES]),
    "head w/ options ignored": (
        "Python refuses an option that would be ignored",
        ["ERR", "TypeError", "R2Bucket.head() got an unexpected keyword argument 'only_if'"],
    ),
    "ssecKey": (
        "the simulator ignores the key; no option is better than one that hides nothing",
        ["ERR", "TypeError", _NO_SSEC],
    ),
    "ssecKey bad": ("as ssecKey", ["ERR", "TypeError", _NO_SSEC]),
    "list limit -1": (
        "a slip of the simulator (SQLite's LIMIT -1); documented range is 1 to 1000",
        ["ERR", "Error", "list: MaxKeys params must be positive integer <= 1000. (10022)"],
    ),
    "createMultipartUpload": (
        "an upload id is opaque; ours has another length",
        ["ok", ["mp", "string", 64]],
    ),
    "get across parts": (
        "the probe trips over its own null (the upload was not complete); get answers None",
        ["ok", None],
    ),
    "methods": (
        "snake_case, and close(), which a Worker does not need",
        [
            "ok",
            [
                [
                    *["head", "get", "put", "delete", "list"],
                    *["create_multipart_upload", "resume_multipart_upload", "close"],
                ],
                ["upload_part", "complete", "abort"],
            ],
        ],
    ),
    "R2 error shape": (
        "the same message; verb, text and code besides, so that nobody parses it",
        [
            "ok",
            [
                "R2Error",
                "put: The specified object name is not valid. (10020)",
                "put",
                "The specified object name is not valid.",
                10020,
            ],
        ],
    ),
    "obj json/arrayBuffer/blob/bytes": (
        "bytes() stands for arrayBuffer() and bytes(); Python has no Blob",
        ["ok", [{"a": 1}, "ArrayBuffer(7)[123,34,97,34,58,49,125]"]],
    ),
}


async def replay(opener: Opener, directory: Path) -> dict[str, list[Any]]:
    """Return what every probe answers, in the order of the transcript."""
    bucket = await opener(directory, Clock())
    outcomes: dict[str, list[Any]] = {}
    state: dict[str, Any] = {}
    try:
        for name in EXPECTED:
            if name not in PROBES:
                continue
            try:
                outcomes[name] = ["ok", write(await PROBES[name](bucket, state))]
            except Exception as error:
                outcomes[name] = ["ERR", *write_error(error)]
    finally:
        await bucket.close()
    return outcomes


@dataclass(frozen=True)
class Replayed:
    """An adapter, and its outcome for every line."""

    adapter: str
    outcomes: dict[str, list[Any]]

    def note(self, verdict: str) -> None:
        """Count a line in the table contract x adapter."""
        VERDICTS["r2", self.adapter, verdict] += 1


@pytest.fixture(scope="module", params=sorted(OPENERS))
def replayed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Replayed:
    """What an adapter answers to the whole transcript."""
    directory = tmp_path_factory.mktemp("golden")
    return Replayed(request.param, asyncio.run(replay(OPENERS[request.param], directory)))


def test_every_golden_line_is_replayed() -> None:
    """
    The transcript has no line without a probe and no line twice, and no probe or
    difference stands for a line that is not there.
    """
    assert len(GOLDEN) == len(EXPECTED) == 145
    assert set(EXPECTED) == set(PROBES)
    assert set(DIFFERENCES) <= set(EXPECTED)
    for differences in ON_SERVER.values():
        assert set(differences) <= set(EXPECTED) - set(DIFFERENCES)


@pytest.mark.parametrize("name", [name for name in EXPECTED if name not in DIFFERENCES])
def test_answer_is_cloudflares(replayed: Replayed, name: str) -> None:
    """
    The outcome, the class of the error and its message are those of the transcript, or,
    where a server cannot hold the line, those written down with the reason.
    """
    expected = EXPECTED[name]
    if expected[0] == "ok":
        expected = ["ok", read_golden(expected[1])]
    reason, instead = ON_SERVER.get(replayed.adapter, {}).get(name, ("", expected))

    assert instead == replayed.outcomes[name]
    assert (instead != expected) == bool(reason)
    replayed.note(DIFFERS if reason else PASSED)


@pytest.mark.parametrize("name", DIFFERENCES)
def test_answer_differs_on_purpose(replayed: Replayed, name: str) -> None:
    """
    Where Python answers otherwise, it answers what is written down, for a reason, and
    the difference is still one.
    """
    reason, expected = DIFFERENCES[name]

    assert reason
    assert expected == replayed.outcomes[name]
    assert expected != ["ok", read_golden(EXPECTED[name][1])]
    assert expected != EXPECTED[name]
    replayed.note(DIFFERS)
