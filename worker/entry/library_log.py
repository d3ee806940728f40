"""
What libraries want to log, as events of ours: where and which kind, never the text.

aiohttp quotes what a client sent (the protocols of a WebSocket, for one), asyncio the text of an
exception; Python writes both to stderr when nobody asks for them.
"""

import logging
from typing import Final

from worker.log import Log

_LOGGERS: Final = ("asyncio", "aiohttp.server", "aiohttp.web", "aiohttp.websocket")


class LibraryLog(logging.Filter):
    """Stops the records of the libraries and tells *log* of each from a warning upwards."""

    def __init__(self, log: Log) -> None:
        super().__init__()
        self._log = log

    def attach(self) -> None:
        """Begin."""
        for name in _LOGGERS:
            logging.getLogger(name).addFilter(self)

    def detach(self) -> None:
        """End."""
        for name in _LOGGERS:
            logging.getLogger(name).removeFilter(self)

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell of *record* in our words; False stops it."""
        if record.levelno < logging.WARNING:
            return False
        place = f"{record.filename}:{record.lineno}"
        error = record.exc_info[1] if record.exc_info else None
        if error is not None:
            self._log.error("library_error", error, library=record.name, said_at=place)
        else:
            self._log.event("warning", "library_warning", library=record.name, said_at=place)
        return False
