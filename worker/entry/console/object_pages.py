"""Durable Objects: classes, instances, storage, alarms, sockets."""

from typing import Any

PAGES: tuple[tuple[str, str, Any], ...] = ()
