"""
only_if: when a get answers with a body and when a put may replace.

Two forms: options (`etag_matches`, `etag_does_not_match`, `uploaded_before`,
`uploaded_after`, `seconds_granularity`) and HTTP headers (If-Match, If-None-Match,
If-Modified-Since, If-Unmodified-Since; seconds granularity). Combination rules are
those of RFC 9110 section 13.2.2 as R2 applies them (bindings.md C3).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from r2.headers import check_moment, is_headers, lower_headers, parse_http_date, to_milliseconds

CONDITION_FIELDS: Final = frozenset(
    {
        "etag_matches",
        "etag_does_not_match",
        "uploaded_before",
        "uploaded_after",
        "seconds_granularity",
    }
)

# One element of the list in If-Match and If-None-Match (RFC 9110 section 8.8.3).
_ELEMENT = re.compile(r'\s*(?:(?P<any>\*)|(?P<weak>W/)?"(?P<tag>[^"]*)")?\s*(?:,|\Z)')


@dataclass(frozen=True, slots=True)
class EtagRule:
    """A set of etags, or any etag at all. Weak ones count only where weak comparison does."""

    any_etag: bool = False
    strong: frozenset[str] = frozenset()
    weak: frozenset[str] = frozenset()

    def matches(self, etag: str) -> bool:
        """Return whether *etag* is in the set by strong comparison."""
        return self.any_etag or etag in self.strong

    def matches_weakly(self, etag: str) -> bool:
        """Return whether *etag* is in the set by weak comparison."""
        return self.matches(etag) or etag in self.weak


@dataclass(frozen=True, slots=True)
class Condition:
    """A parsed only_if. Times are milliseconds since the epoch."""

    etag_matches: EtagRule | None = None
    etag_does_not_match: EtagRule | None = None
    uploaded_before: int | None = None
    uploaded_after: int | None = None
    seconds_granularity: bool = False

    def holds(self, etag: str | None, uploaded: int) -> bool:
        """
        Return whether the condition holds for an object; *etag* None means no object.

        A missing object fails `etag_matches` (also "*") and `uploaded_after` only.
        An etag rule that passes overrules the time of its pair: `uploaded_after` is
        ignored after `etag_does_not_match`, `uploaded_before` after `etag_matches`.
        """
        if etag is None:
            return self.etag_matches is None and self.uploaded_after is None
        if self.etag_matches is not None and not self.etag_matches.matches(etag):
            return False
        if self.etag_does_not_match is not None and self.etag_does_not_match.matches_weakly(etag):
            return False
        late_enough = self.etag_does_not_match is not None or self._is_after(uploaded)
        early_enough = self.etag_matches is not None or self._is_before(uploaded)
        return late_enough and early_enough

    def _is_after(self, uploaded: int) -> bool:
        limit = self.uploaded_after
        return limit is None or self._round(uploaded) > self._round(limit)

    def _is_before(self, uploaded: int) -> bool:
        limit = self.uploaded_before
        return limit is None or self._round(uploaded) < self._round(limit)

    def _round(self, milliseconds: int) -> int:
        return milliseconds // 1000 if self.seconds_granularity else milliseconds


def parse_condition(only_if: object) -> Condition | None:
    """
    Return the condition *only_if* states; None when it states none.

    Raises TypeError (not a mapping, unknown field, wrong type, quoted etag) and
    ValueError (an If-Match or If-None-Match header that is no list of etags).
    """
    if only_if is None or isinstance(only_if, Condition):
        return only_if
    if not isinstance(only_if, Mapping):
        raise TypeError(f"only_if is a mapping, not {type(only_if).__name__}.")
    if is_headers("only_if", only_if, CONDITION_FIELDS):
        return _from_headers(lower_headers("only_if", only_if))
    return _from_options(only_if)


def _from_options(options: Mapping[str, Any]) -> Condition:
    granularity = options.get("seconds_granularity")
    if granularity is not None and not isinstance(granularity, bool):
        raise TypeError("seconds_granularity is a bool.")
    return Condition(
        etag_matches=_one_etag(options.get("etag_matches")),
        etag_does_not_match=_one_etag(options.get("etag_does_not_match")),
        uploaded_before=_moment("uploaded_before", options.get("uploaded_before")),
        uploaded_after=_moment("uploaded_after", options.get("uploaded_after")),
        seconds_granularity=bool(granularity),
    )


def _one_etag(etag: object) -> EtagRule | None:
    if etag is None:
        return None
    if not isinstance(etag, str):
        raise TypeError(f"An etag is a str, not {type(etag).__name__}.")
    if etag.startswith('"') and etag.endswith('"'):
        raise TypeError(f"Conditional ETag should not be wrapped in quotes ({etag}).")
    return EtagRule(any_etag=True) if etag == "*" else EtagRule(strong=frozenset({etag}))


def _moment(name: str, value: object) -> int | None:
    return None if value is None else to_milliseconds(check_moment(name, value))


def _from_headers(headers: Mapping[str, str]) -> Condition:
    return Condition(
        etag_matches=_etag_list("if-match", headers.get("if-match")),
        etag_does_not_match=_etag_list("if-none-match", headers.get("if-none-match")),
        uploaded_before=_date(headers.get("if-unmodified-since")),
        uploaded_after=_date(headers.get("if-modified-since")),
        seconds_granularity=True,
    )


def _date(text: str | None) -> int | None:
    moment = None if text is None else parse_http_date(text)
    return None if moment is None else to_milliseconds(moment)


def _etag_list(name: str, header: str | None) -> EtagRule | None:
    """Return the rule of a header; ValueError with R2's text when it holds no etag."""
    if header is None:
        return None
    strong: set[str] = set()
    weak: set[str] = set()
    any_etag = False
    position = 0
    while position < len(header):
        element = _ELEMENT.match(header, position)
        if element is None:
            raise ValueError(f"Invalid ETag in {name} header")
        position = element.end()
        any_etag = any_etag or element["any"] is not None
        if element["tag"] is not None:
            (weak if element["weak"] else strong).add(element["tag"])
    if not any_etag and not strong and not weak:
        raise ValueError(f"Invalid ETag in {name} header")
    return EtagRule(any_etag, frozenset(strong), frozenset(weak))
