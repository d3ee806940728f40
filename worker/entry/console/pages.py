"""The modules with the pages of the console; imported when the first page is asked for."""

from types import ModuleType
from typing import Final

from worker.entry.console import (
    cron_pages,
    d1_pages,
    import_pages,
    kv_pages,
    log_pages,
    object_pages,
    overview,
    r2_pages,
    settings_page,
)

MODULES: Final[tuple[ModuleType, ...]] = (
    overview,
    kv_pages,
    d1_pages,
    r2_pages,
    object_pages,
    import_pages,
    log_pages,
    cron_pages,
    settings_page,
)
