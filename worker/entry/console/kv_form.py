"""The form that puts a value into KV: what was typed, what it means, what is wrong with it."""

import json
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from multidict import MultiDictProxy

from kv.checks import KVError, read_json
from worker.entry.console.kv_value import TEXT_BYTES

# A form cannot carry these unchanged: HTML reads NUL as U+FFFD, and lines end in CR LF.
_CHANGED_BY_FORMS: Final = ("\0", "\r")


class PutValues(NamedTuple):
    """What `KVNamespace.put` gets."""

    value: str
    metadata: Any
    ttl: int | None
    expiration: int | None


@dataclass(slots=True)
class PutForm:
    """
    The fields as typed; *errors* by the name of the field.

    *is_fixed*: the key is that of a stored entry. *end*: when that entry ends, epoch seconds;
    *keep_end*: it shall go on to end then.
    """

    key: str = ""
    value: str = ""
    kind: str = "text"
    metadata: str = ""
    ttl: str = ""
    is_fixed: bool = False
    end: int | None = None
    keep_end: bool = False
    errors: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, fields: MultiDictProxy[str], fixed_key: str | None) -> "PutForm":
        """Take what a browser sent; a stored key comes in the address, where nothing changes it."""
        end = fields.get("end", "")
        return cls(
            key=fields.get("key", "") if fixed_key is None else fixed_key,
            value=fields.get("value", "").replace("\r\n", "\n"),
            kind="json" if fields.get("kind") == "json" else "text",
            metadata=fields.get("metadata", "").strip(),
            ttl=fields.get("ttl", "").strip(),
            is_fixed=fixed_key is not None,
            end=int(end) if end.isascii() and end.isdecimal() and len(end) < 12 else None,
            keep_end="keep_end" in fields,
        )

    def values(self) -> PutValues | None:
        """Return what the fields mean; None when `errors` says what is wrong."""
        metadata = self._json("metadata", self.metadata) if self.metadata else None
        if self.kind == "json":
            self._json("value", self.value)
        ttl = None
        if self.ttl:
            if self.ttl.isascii() and self.ttl.isdecimal() and len(self.ttl) < 12:
                ttl = int(self.ttl)
            else:
                self.errors["ttl"] = "Write whole seconds, for example 3600, or nothing."
        if self.errors:
            return None
        keeps = self.keep_end and ttl is None
        return PutValues(self.value, metadata, ttl, self.end if keeps else None)

    def blame(self, refused: KVError | TypeError) -> None:
        """Note the refusal of the contract beside the field that caused it."""
        text = refused.text if isinstance(refused, KVError) else str(refused)
        status = refused.status if isinstance(refused, KVError) else 0
        if "xpiration" in text or "out of range" in text:
            name = "ttl"
        elif "etadata" in text:
            name = "metadata"
        else:
            name = "value" if status == 413 else "key"
        self.errors[name] = text

    def _json(self, name: str, text: str) -> Any:
        try:
            return read_json(text)
        except json.JSONDecodeError as error:
            self.errors[name] = (
                f"This is not JSON: {error.msg}, line {error.lineno}, column {error.colno}."
            )
        except (ValueError, RecursionError):
            self.errors[name] = "This is not JSON."
        return None


def empty_form(prefix: str) -> PutForm:
    """Return the form for a new key that begins with *prefix*."""
    return PutForm(key=prefix)


def form_of(key: str, data: bytes, metadata: Any, end: int | None) -> PutForm | None:
    """Return the form for what is stored; None when a form would not give it back unchanged."""
    if len(data) > TEXT_BYTES:
        return None
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return None
    if any(one in text for one in _CHANGED_BY_FORMS):
        return None
    return PutForm(
        key=key,
        value=text,
        metadata="" if metadata is None else json.dumps(metadata, ensure_ascii=False),
        is_fixed=True,
        end=end,
        keep_end=end is not None,
    )
