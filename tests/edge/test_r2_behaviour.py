"""The behaviour suite of R2 (bindings.md H4 and beyond) through the edge adapter."""

import pytest

from tests.bindings.r2_adapters import Clock
from tests.bindings.test_r2 import *  # noqa: F403
from tests.edge.remote import RemoteBucket
from tests.edge.workerd import Workerd

# Tests of the suite that cannot hold here, and why.
_THE_CLOCK = "the time of upload is workerd's own, to the millisecond; it cannot be set"
DIFFERS = {
    "test_put_tells_what_it_stored": _THE_CLOCK,
    "test_an_upload_in_parts_becomes_one_object": _THE_CLOCK,
    "test_bodies_of_every_size_come_back": "the test door hands a body over in one piece",
}
for _name in DIFFERS:
    del globals()[_name]


@pytest.fixture
def bucket(workerd: Workerd, clock: Clock) -> RemoteBucket:
    """An empty bucket in real workerd."""
    return RemoteBucket(workerd, clock)


@pytest.mark.parametrize("size", [0, 1, 99, 100, 262_145, 2_000_000])
async def test_bodies_of_every_size_come_back(bucket: RemoteBucket, size: int) -> None:
    """What was put, at once or as a stream, is what is got, whole and as a range."""
    body = pattern(size)  # noqa: F405

    stored = await bucket.put("k", body)

    assert stored is not None
    assert stored.size == size
    assert await read(bucket, "k") == body  # noqa: F405
    if size > 10:
        part = await read(bucket, "k", range={"offset": 5, "length": size - 10})  # noqa: F405
        assert part == body[5:-5]


async def test_a_multipart_upload_becomes_one_object(bucket: RemoteBucket) -> None:
    """Two parts, the etag of an upload in parts, metadata from its beginning."""
    upload = await bucket.create_multipart_upload("mp", custom_metadata={"q": "1"})
    first = await upload.upload_part(1, pattern(5 * MIB))  # noqa: F405
    last = await upload.upload_part(2, b"end")

    made = await upload.complete([first, last])

    assert made.size == 5 * MIB + 3  # noqa: F405
    assert made.etag.endswith("-2")
    assert made.custom_metadata == {"q": "1"}
    assert await read(bucket, "mp", range={"suffix": 3}) == b"end"  # noqa: F405
