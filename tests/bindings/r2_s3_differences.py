"""
Golden lines that an S3 server keeps the S3 adapter from answering as R2 does, and why.

Adapter → line → (reason, what is answered instead). `FAITHFUL` names the adapters whose store
has what the tests in test_r2.py need that ask for a `faithful` bucket.
"""

from __future__ import annotations

from typing import Any, Final

from tests.bindings.r2_adapters import OPENERS

# rclone completes an upload only with all parts it ever got, takes no part twice, and writes
# a file in place, so that a reader may meet a half-written object.
FAITHFUL: Final = sorted(set(OPENERS) - {"s3-rclone"})

Difference = tuple[str, list[Any]]

_BAD_NAME = ["ERR", "Error", "put: The specified object name is not valid. (10020)"]
_INTERNAL = "We encountered an internal error. Please try again. (10001)"
_NO_EMPTY_KEY: dict[str, Difference] = {
    "key empty": ("S3 has no empty key", _BAD_NAME),
    "get key empty": ("so nothing is there", ["ok", None]),
}

ON_SERVER: Final[dict[str, dict[str, Difference]]] = {
    "s3-moto": {
        **_NO_EMPTY_KEY,
        "key weird": ("moto has no line breaks in keys", ["ERR", "Error", f"put: {_INTERNAL}"]),
        "list delimiter no prefix": ("the weird key is not there", ["ok", ["l/"]]),
        "list bad cursor": ("the empty key is not there", ["ok", 29]),
    },
    "s3-rclone": {
        **_NO_EMPTY_KEY,
        "key 1024": (
            "no file has so long a name, and rclone calls that an error of its own",
            ["ERR", "Error", "put: The store is not available. (10001)"],
        ),
        "key weird": ("no path of a file has ..", ["ERR", "Error", f"put: {_INTERNAL}"]),
        "list delimiter no prefix": ("the weird key is not there", ["ok", ["l/"]]),
        "list bad cursor": ("the empty and the long key are not there", ["ok", 28]),
        "list delimiter multichar": (
            "rclone groups by / whatever the delimiter",
            ["ok", [["l/a", "l/c", "l/é"], ["l/b/", "l/d/"]]],
        ),
        "reupload part replaces": (
            "rclone takes a part once",
            ["ERR", "Error", f"uploadPart: {_INTERNAL}"],
        ),
    },
}
