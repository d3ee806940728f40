"""How long the local runtime waits for what, in seconds."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timing:
    """Cloudflare's times; tests hand in shorter ones."""

    idle_seconds: float = 10.0
    """An instance without events for this long leaves memory; its sockets stay."""
    section_seconds: float = 30.0
    """block_concurrency_while and transactions may take this long before the object is reset."""
    alarm_seconds: float = 900.0
    """An alarm handler may take this long; then it counts as failed."""
    retry_seconds: float = 2.0
    """The first retry of an alarm waits this long, each next one twice as long."""
    grace_seconds: float = 2.0
    """At shutdown, events may still take this long before they are cancelled."""
