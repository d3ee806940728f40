"""Folding of usernames: one spelling each, whatever is typed."""

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.identity.usernames import RULE, fold

_NAMES = st.from_regex(r"[a-zA-Z0-9_]{3,50}", fullmatch=True)


def _or_none(typed: str) -> str | None:
    try:
        return fold(typed)
    except ValueError:
        return None


@given(st.text(max_size=210))
def test_a_fold_is_a_name_of_its_own(typed: str) -> None:
    """What comes out obeys the pattern and folds to itself; anything else is refused by rule."""
    folded = _or_none(typed)
    if folded is not None:
        assert re.fullmatch(r"[a-z0-9_]{3,50}", folded, re.ASCII)
        assert fold(folded) == folded


@given(_NAMES)
def test_case_and_width_make_no_other_name(name: str) -> None:
    """Upper, lower, swapped and fullwidth spellings are one name."""
    wide = "".join(chr(ord(one) + 0xFEE0) if "!" <= one <= "~" else one for one in name)
    for spelling in (name.upper(), name.lower(), name.swapcase(), wide, wide.upper()):
        assert fold(spelling) == fold(name)


@given(_NAMES, st.characters(min_codepoint=128), st.integers(0, 50))
def test_only_compatibility_forms_of_latin_pass(name: str, odd: str, place: int) -> None:
    """A letter of another script never becomes part of a name, however it looks."""
    folded = _or_none(name[:place] + odd + name[place:])
    if folded is not None:
        assert unicodedata.normalize("NFKC", odd).lower().isascii()


@pytest.mark.parametrize("typed", ["аdmin", "ο" * 5, "ı" * 5, "ſ" * 2, "e\u0301" * 3, "a\u0000bc"])
def test_lookalikes_are_refused(typed: str) -> None:
    """Cyrillic a, Greek omicron, dotless i, accents: no letter is guessed."""
    with pytest.raises(ValueError, match=RULE):
        fold(typed)
