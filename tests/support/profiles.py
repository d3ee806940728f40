"""Makers of profile documents and of the NDJSON lines that carry them."""

import copy
import json
from collections.abc import Iterable
from typing import Any

_V1: dict[str, Any] = {
    "schema_version": "user_profile.v1",
    "profile_id": "usr_aaaaaa",
    "created_at": "2026-01-02T03:04:05Z",
    "profile": {
        "identity": {
            "user_name": "Ada",
            "gender": "f",
            "birthday": "1990-05-06",
            "age": 35,
            "avatar_picture": None,
        },
        "intent": {
            "expectations": ["advice"],
            "biography": "Likes quiet mornings.",
            "conversation_goals": ["build_empathy"],
            "values_and_beliefs": ["loyalty_trust"],
            "topics_to_avoid": ["politics"],
        },
        "behavior": {
            "social_energy": ["small_close_group"],
            "communication_style": ["open_direct"],
            "conflict_response": "avoidant",
            "support_style": "empathetic_listening",
            "assertiveness_level": 3,
            "decision_style": "adaptive",
        },
        "emotional": {
            "emotional_needs": ["availability_trust"],
            "maintenance_style": ["regular_deep_checkins"],
            "emotional_regulation": "calm",
            "empathy_depth": 4,
            "stress_tolerance": 2,
        },
        "interests": {
            "shared_lifestyle_type": ["relaxed_playful"],
            "interests": ["chess", "jazz"],
        },
    },
}


def profile(profile_id: str = "usr_aaaaaa", **changes: Any) -> dict[str, Any]:
    """
    Return a valid v1 document of its own.

    *changes* name members of any group (`user_name="Bo"`) or of the root (`created_at=…`).
    """
    made = copy.deepcopy(_V1)
    made["profile_id"] = profile_id
    for name, value in changes.items():
        groups = [group for group in made["profile"].values() if name in group]
        (groups[0] if groups else made)[name] = value
    return made


def profile_v2(profile_id: str = "usr_aaaaaa", **changes: Any) -> dict[str, Any]:
    """Return a valid v2 document of its own."""
    made = profile(profile_id, **changes)
    made["schema_version"] = "user_profile.v2"
    made["persona_settings"] = {
        "languages": ["de", "en"],
        "formality": "neutral",
        "traits": ["patient"],
        "tone": "warm",
    }
    return made


def encode(document: Any) -> bytes:
    """Return *document* as one compact line without its end."""
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()


def line(profile_id: str = "usr_aaaaaa", **changes: Any) -> bytes:
    """Return a valid v1 line without its end."""
    return encode(profile(profile_id, **changes))


def ndjson(lines: Iterable[bytes]) -> bytes:
    """Join *lines*, each with its end."""
    return b"".join(one + b"\n" for one in lines)


def ids(count: int) -> list[str]:
    """Return *count* ids in their order."""
    return [f"usr_{number:06d}" for number in range(count)]


def many(count: int) -> bytes:
    """Return the NDJSON of *count* valid profiles."""
    head, _, tail = line("usr_aaaaaa").partition(b"usr_aaaaaa")
    return ndjson(head + profile_id.encode() + tail for profile_id in ids(count))
