"""`edgekeep sample`: demo profiles, the same ones every time."""

import random
import sys
from argparse import ArgumentTypeError, Namespace
from collections.abc import Iterator
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import Any, TextIO

from scripts.cli.outcome import OK, tell
from scripts.cli.replace_file import replacing
from scripts.cli.verbs import Verbs

_NAMES = ("Ada", "Bo", "Chidi", "Dana", "Emre", "Fumi", "Gus", "Hana", "Ines", "Jun", "Kai", "Lea")
_TOPICS = ("chess", "jazz", "pottery", "climbing", "sci-fi", "tea", "gardening", "tango", "maps")
_MOODS = ("curious", "patient", "quick to laugh", "fond of long walks", "new in town")
# Ages are counted from this day, so that the file does not change with the calendar.
_TODAY = date(2026, 11, 1)
_BAD_LINES = (
    '{"schema_version": "user_profile.v1"',
    '["not", "a", "profile"]',
    '{"schema_version": "user_profile.v1", "profile_id": "nobody"}',
)


def add(verbs: Verbs) -> None:
    """Add `sample`."""
    parser = verbs.add(
        "sample",
        _sample,
        "Write demo profiles (NDJSON, user_profile.v1), the same ones every time.",
        [
            "edgekeep sample -o demo.ndjson",
            "edgekeep sample --count 100 --bad 3 | edgekeep import -",
        ],
    )
    parser.add_argument("--count", type=_number, default=20_000, help="lines (default: 20000)")
    parser.add_argument("--bad", type=_number, default=0, help="further lines that are broken")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="default: stdout")


def demo_profile(number: int) -> dict[str, Any]:
    """Return demo profile no. *number*: valid, and the same for the same number."""
    dice = random.Random(number)  # noqa: S311 - demo data
    pick = partial(_some, dice)
    birthday = date(1950, 1, 1) + timedelta(days=dice.randrange(20_000))
    age = (
        _TODAY.year - birthday.year - ((_TODAY.month, _TODAY.day) < (birthday.month, birthday.day))
    )
    name = dice.choice(_NAMES)
    return {
        "schema_version": "user_profile.v1",
        "generator_version": "edgekeep-sample.1",
        "profile_id": f"usr_demo{number:08d}",
        "created_at": f"2026-10-{1 + number % 28:02d}T{number % 24:02d}:00:00Z",
        "profile": {
            "identity": {
                "user_name": f"{name} {number}",
                "gender": dice.choice(("m", "f", "nonbinary", "prefer_not_to_say")),
                "birthday": birthday.isoformat(),
                "age": age,
                "avatar_picture": None,
            },
            "intent": {
                "expectations": pick("deep_connection personal_growth mainly_fun advice"),
                "biography": f"{name} is {dice.choice(_MOODS)} and likes {dice.choice(_TOPICS)}.",
                "conversation_goals": pick("build_empathy practice_language enjoy_casual_talk"),
                "values_and_beliefs": pick("loyalty_trust humor_playfulness cultural_curiosity"),
                "topics_to_avoid": pick("politics religion conspiracy"),
            },
            "behavior": {
                "social_energy": pick("small_close_group solitary_creative_work"),
                "communication_style": pick("open_direct casual_quick selective_engagement"),
                "conflict_response": dice.choice(("direct_resolution", "avoidant")),
                "support_style": dice.choice(("empathetic_listening", "humor_distraction")),
                "assertiveness_level": dice.randint(1, 5),
                "decision_style": dice.choice(("structured", "adaptive", "impulsive")),
            },
            "emotional": {
                "emotional_needs": pick("availability_trust consistency_reliability"),
                "maintenance_style": pick("regular_deep_checkins spontaneous_connection"),
                "emotional_regulation": dice.choice(("calm", "sensitive", "volatile")),
                "empathy_depth": dice.randint(1, 5),
                "stress_tolerance": dice.randint(1, 5),
            },
            "interests": {
                "shared_lifestyle_type": pick("creative_intellectual relaxed_playful"),
                "interests": _some(dice, " ".join(_TOPICS)),
            },
        },
    }


def _some(dice: random.Random, words: str) -> list[str]:
    """Return one or more of *words*, each once."""
    choices = words.split()
    return dice.sample(choices, dice.randint(1, len(choices)))


def _sample(options: Namespace) -> int:
    if options.output is None:
        _write(sys.stdout, options.count, options.bad)
        return OK
    with replacing(options.output) as file:
        _write(file, options.count, options.bad)
    tell(f"{options.count + options.bad:,} lines written to {options.output}")
    return OK


def _write(file: TextIO, count: int, bad: int) -> None:
    import ndjson

    writer = ndjson.writer(file, separators=(",", ":"), ensure_ascii=False)
    broken = _broken(bad)
    # Broken lines are spread evenly, none first, so that a reader meets good ones at once.
    gap = count // (bad + 1) + 1
    for number in range(count):
        writer.writerow(demo_profile(number))
        if (number + 1) % gap == 0:
            file.write(next(broken, ""))
    file.writelines(broken)


def _broken(count: int) -> Iterator[str]:
    for number in range(count):
        yield _BAD_LINES[number % len(_BAD_LINES)] + "\n"


def _number(text: str) -> int:
    if not text.isdecimal():
        raise ArgumentTypeError("expected a whole number, 0 or more")
    return int(text)
