"""
Which errors of bindings pass by themselves: a store that is away, an object that was reset.

Each contract says it of its own errors (`passing`). Doors answer 503 for them (`worker.app`), and
what must come to its end tries again.
"""

from d1_schema.contract import D1Error
from durable.contract import DurableError
from kv.contract import KVError
from r2.contract import R2Error


def passes(error: BaseException) -> bool:
    """Whether the same call may succeed soon, though nobody changes anything."""
    if isinstance(error, KVError | D1Error | R2Error | DurableError):
        return error.passing
    return False
