"""Write valid user_profile.v1 lines of about 1 KB, the same ones every time.

``python -m benchmarks.profiles_file OUT --count 20000 --bad 0.001`` or ``--bytes 500000000``.
Lines are cut together from prepared pieces, so that half a gigabyte takes seconds to write.
Fields and rules: the schema d1_schema/json/user_profile.v1.json.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

VARIANTS = 997
"""How many different profile bodies there are; a prime, so they do not beat with other cycles."""

LINE_BYTES = 1024
"""Length that the biography is sized to reach, the line end included."""

_WORDS = (
    "quiet mornings long walks old maps rivers bread kitchens letters gardens choirs trains "
    "patience questions stars repair bicycles winter harbours painting neighbours small talk "
    "listening poems mountains chess coffee history birds theatre swimming languages"
)
_INTERESTS = "hiking chess pottery astronomy jazz cooking cycling poetry sailing gardening"


def _some(pick: random.Random, choices: str) -> list[str]:
    values = choices.split()
    return pick.sample(values, pick.randint(1, min(2, len(values))))


def _profile(pick: random.Random) -> dict[str, Any]:
    """One profile body; `user_name` holds the mark that a line replaces by its own number."""
    year = pick.randint(1950, 2005)
    return {
        "identity": {
            "user_name": "Person @",
            "gender": pick.choice(["m", "f", "nonbinary", "prefer_not_to_say"]),
            "birthday": f"{year}-{pick.randint(1, 12):02d}-{pick.randint(1, 28):02d}",
            "age": 2025 - year,
            "avatar_picture": pick.choice([None, "https://images.example/a/1.png"]),
        },
        "intent": {
            "expectations": _some(pick, "deep_connection personal_growth mainly_fun advice"),
            "biography": "",
            "conversation_goals": _some(pick, "build_empathy practice_language gain_advice"),
            "values_and_beliefs": _some(pick, "loyalty_trust humor_playfulness honest_open_comm"),
            "topics_to_avoid": _some(pick, "politics religion conspiracy"),
        },
        "behavior": {
            "social_energy": _some(pick, "small_close_group solitary_creative_work"),
            "communication_style": _some(pick, "open_direct more_structured casual_quick"),
            "conflict_response": pick.choice(["direct_resolution", "avoidant"]),
            "support_style": pick.choice(["empathetic_listening", "humor_distraction"]),
            "assertiveness_level": pick.randint(1, 5),
            "decision_style": pick.choice(["structured", "adaptive", "impulsive"]),
        },
        "emotional": {
            "emotional_needs": _some(pick, "availability_trust consistency_reliability"),
            "maintenance_style": _some(pick, "regular_deep_checkins spontaneous_connection"),
            "emotional_regulation": pick.choice(["calm", "sensitive", "volatile"]),
            "empathy_depth": pick.randint(1, 5),
            "stress_tolerance": pick.randint(1, 5),
        },
        "interests": {
            "shared_lifestyle_type": _some(pick, "creative_intellectual relaxed_playful"),
            "interests": pick.sample(_INTERESTS.split(), 3),
        },
    }


def _pieces() -> list[tuple[str, str]]:
    """The text before and after the person's number, for each variant, sized to LINE_BYTES."""
    pick = random.Random(20260101)
    words = _WORDS.split()
    head = len(_line("00000000", 0, ("", ""))) + 1  # the line end
    pieces = []
    for _ in range(VARIANTS):
        profile = _profile(pick)
        room = LINE_BYTES - head - len(_compact(profile)) + 1  # its mark gives way to the number
        story = " ".join(pick.choice(words) for _ in range(200))
        profile["intent"]["biography"] = story[: max(0, min(room, 800))]
        before, after = _compact(profile).split("@")
        pieces.append((before, after))
    return pieces


def _compact(document: object) -> str:
    return json.dumps(document, separators=(",", ":"))


def _line(number: str, second: int, piece: tuple[str, str]) -> str:
    return (
        f'{{"schema_version":"user_profile.v1","generator_version":"bench-1",'
        f'"profile_id":"usr_{number}","created_at":"2026-01-01T00:{second // 60:02d}:'
        f'{second % 60:02d}Z","profile":{piece[0]}{number}{piece[1]}}}'
    )


def profile_id(number: int) -> str:
    """Return the id of line `number` (from 0)."""
    return f"usr_{number:08d}"


def _spoil(line: str, kind: int) -> str:
    """Break a good line in one of five ways that the importer must name."""
    match kind % 5:
        case 0:
            return line[:-2]
        case 1:
            return line.replace('"gender":"', '"gender":"x')
        case 2:
            return line.replace('"profile_id":"usr_', '"profile_id":"USR-')
        case 3:
            return line.replace('"created_at":"2026-', '"created_at":"2026/')
        case _:
            return line.replace('"emotional":', '"emotion":')


def lines(count: int, bad_share: float = 0.0) -> Iterator[str]:
    """Yield `count` lines without line ends; `bad_share` of them (evenly spread) are invalid."""
    pieces = _pieces()
    spoiled = 0
    for index in range(count):
        line = _line(f"{index:08d}", index % 3600, pieces[index % VARIANTS])
        if bad_share and int((index + 1) * bad_share) > spoiled:
            line = _spoil(line, spoiled)
            spoiled += 1
        yield line


def write_file(path: Path, count: int, bad_share: float = 0.0) -> int:
    """Write `count` lines to `path` in blocks; return the number of bytes written."""
    written = 0
    source = lines(count, bad_share)
    with path.open("wb") as out:
        while block := list(itertools.islice(source, 2000)):
            data = ("\n".join(block) + "\n").encode()
            written += out.write(data)
    return written


def main() -> None:
    """Command line: see the module text."""
    parser = argparse.ArgumentParser(description="Write user_profile.v1 lines of about 1 KB.")
    parser.add_argument("out", type=Path)
    size = parser.add_mutually_exclusive_group(required=True)
    size.add_argument("--count", type=int, help="number of lines")
    size.add_argument("--bytes", type=int, help="size of the file, rounded up to whole lines")
    parser.add_argument("--bad", type=float, default=0.0, help="share of invalid lines, 0 to 1")
    options = parser.parse_args()
    count = options.count or -(-options.bytes // LINE_BYTES)
    print(f"{count} lines, {write_file(options.out, count, options.bad)} bytes: {options.out}")


if __name__ == "__main__":
    main()
