"""Strategies: profile documents that are right, and such that are a little wrong."""

import copy
from typing import Any

from hypothesis import strategies as st

from tests.support.profiles import profile, profile_v2

ODD_TEXTS = st.sampled_from(
    [
        "",
        "usr_abcdef",
        "usr_abcdef\n",
        "xusr_abcdef",
        "usr_äbcdef",
        "usr_abcde\u0661",
        "2026-02-30",
        "2026-02-28",
        "2026-2-8",
        "0000-01-01",
        "2026-02-28\n",
        "٢٠٢٦-02-28",
        "2026-01-02T03:04:05Z",
        "2026-01-02t03:04:60.5+23:59",
        "2026-01-02T03:04:05",
        "2026-01-02T24:00:00Z",
        "2026-01-02 03:04:05Z",
        "2026-02-30T00:00:00Z",
        "https://example.org/a.png",
        "JaVaScript:alert(1)",
        "data:text/html,x",
        "data:image/png;base64,AAAA",
        "no uri",
        "mailto:",
        "a:%zz",
        "user_profile.v1",
        "user_profile.v2",
        "advice",
        "formal",
        "x" * 800,
        "x" * 801,
        "😀" * 800,
        "😀" * 801,
        "e\u0301" * 400,
        "\0",
        "null",
    ]
)
ODD_NUMBERS = st.sampled_from(
    [0, 1, 5, 6, -1, 12, 13, 13.0, 12.999, 3.5, 1e308, 10**30, 10**400, -0.0, 2**53, 2**64]
)
VALUES = st.recursive(
    st.none() | st.booleans() | ODD_NUMBERS | ODD_TEXTS | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=5) | st.just("__proto__"), inner, max_size=3)
    ),
    max_leaves=5,
)
NAMES = st.sampled_from(
    ["__proto__", "constructor", "birthday", "age", "profile", "x", "", "a.b", "0", "$ref", "é"]
) | st.text(max_size=4)


@st.composite
def documents(draw: st.DrawFn) -> Any:
    """Return a valid document after no change or a few."""
    document: Any = draw(st.sampled_from([profile(), profile_v2()]))
    document = copy.deepcopy(document)
    for _ in range(draw(st.integers(0, 3))):
        spot = _spot(draw, document)
        if spot is None:
            return draw(VALUES)
        _change(draw, spot)
    return document


def _spot(draw: st.DrawFn, document: Any) -> Any:
    """Walk to a container somewhere in *document*; None stands for the whole."""
    spot = document
    if draw(st.integers(0, 30)) == 0:
        return None
    while True:
        inner = list(spot.values()) if isinstance(spot, dict) else spot
        deeper = [one for one in inner if isinstance(one, dict | list)]
        if not deeper or draw(st.integers(0, 3)) == 0:
            return spot
        spot = draw(st.sampled_from(deeper))


def _change(draw: st.DrawFn, spot: Any) -> None:
    kind = draw(st.sampled_from(["replace", "remove", "add"]))
    if isinstance(spot, list):
        if kind == "add" or not spot:
            spot.append(draw(VALUES))
        elif kind == "remove":
            spot.pop()
        else:
            spot[0] = draw(VALUES)
    elif kind == "add" or not spot:
        spot[draw(NAMES)] = draw(VALUES)
    elif kind == "remove":
        del spot[draw(st.sampled_from(sorted(spot)))]
    else:
        spot[draw(st.sampled_from(sorted(spot)))] = draw(VALUES)
