"""
Fault modes: stores that behave as badly as production may, for tests and curious developers.

FAULTS=kv-stale,kv-one-write,kv-short-pages,d1-overload,object-reset (docs/faults.md).
"""

from collections.abc import Callable
from typing import Final

from d1_schema import faults as d1_faults
from d1_schema.contract import D1Database
from durable.contract import ObjectId
from kv import faults as kv_faults
from kv.contract import KVNamespace
from worker.entry.stores import Store
from worker.setting_kinds import SettingError
from worker.settings import Settings

OBJECT_RESET: Final = "object-reset"
KINDS: Final = kv_faults.KINDS | d1_faults.KINDS | {OBJECT_RESET}
_RESET_SHARE: Final = 0.02


class ObjectResetFaultError(Exception):
    """The commit of an object was made to fail, so that the object is reset."""


class Faults:
    """The faults of one deployment; without any, stores are handed back as they are."""

    def __init__(
        self,
        settings: Settings,
        clock: Callable[[], float],
        random_bytes: Callable[[int], bytes],
    ) -> None:
        self.kinds = frozenset(settings.faults)
        self._clock = clock
        self._random_bytes = random_bytes
        if unknown := self.kinds - KINDS:
            raise SettingError(
                f"FAULTS names {', '.join(sorted(unknown))}; there are {', '.join(sorted(KINDS))}."
            )
        if self.kinds and settings.production:
            raise SettingError("FAULTS is for development. Take it out of a production start.")

    def _dice(self) -> float:
        return int.from_bytes(self._random_bytes(4)) / 2**32

    def around(self, opened: Store) -> Store:
        """Return *opened* with the faults that concern its kind."""
        kinds = self.kinds & kv_faults.KINDS
        if kinds and isinstance(opened, KVNamespace):
            return kv_faults.FaultyNamespace(opened, kinds, self._clock)
        if d1_faults.OVERLOAD in self.kinds and isinstance(opened, D1Database):
            return d1_faults.FaultyDatabase(opened, self._dice)
        return opened

    def before_commit(self, _class_name: str, _id: ObjectId) -> None:
        """Let a share of the objects' commits fail, which resets the object."""
        if OBJECT_RESET in self.kinds and self._dice() < _RESET_SHARE:
            raise ObjectResetFaultError("Durable Object reset because its code was updated.")
