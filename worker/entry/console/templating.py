"""Templates and static files: loaded when the first page is asked for, off the event loop."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

if TYPE_CHECKING:
    import jinja2

_HERE: Final = Path(__file__).parent
_TYPES: Final = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


class Templates:
    """
    The jinja2 environment of the console, which aiohttp-jinja2 finds in the application.

    Importing jinja2 and compiling the templates takes 100 ms that a start need not wait for.
    """

    is_async: Final = False

    def __init__(self) -> None:
        self._environment: jinja2.Environment | None = None

    async def load(self) -> None:
        """Make everything ready for `get_template`."""
        self._environment = await asyncio.to_thread(_environment)

    def get_template(self, name: str) -> "jinja2.Template":
        """Return a template by its file's name."""
        assert self._environment is not None, "load() comes first"
        return self._environment.get_template(name)


KEY: Final = web.AppKey("edgekeep_console_templates", Templates)


def render(request: web.Request, name: str, status: int, context: dict[str, Any]) -> web.Response:
    """Render the template *name*; `Templates.load` has run."""
    import aiohttp_jinja2

    # aiohttp-jinja2 only asks its environment for templates, which ours loads late.
    key: Any = KEY
    return aiohttp_jinja2.render_template(name, request, context, app_key=key, status=status)


def _environment() -> "jinja2.Environment":
    import aiohttp_jinja2  # noqa: F401 - imported here, off the loop, for `render`
    import jinja2

    from worker.entry.console import shown

    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        loader=jinja2.FileSystemLoader(_HERE / "templates"),
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
        cache_size=-1,
    )
    environment.filters.update(
        shown=shown.shown,
        shown_lines=shown.shown_lines,
        byte_size=shown.byte_size,
        moment=shown.moment,
        from_now=shown.from_now,
        duration=shown.duration,
        counted=shown.counted,
        as_json=shown.as_json,
        ticked=shown.ticked,
        twice=lambda value: (value, value),
    )
    for name in environment.list_templates():
        environment.get_template(name)
    return environment


class StaticFiles:
    """The few files of static/, read once."""

    def __init__(self) -> None:
        self._files: dict[str, bytes] | None = None

    async def answer(self, name: str) -> web.Response | None:
        """Return the file *name*, or None when there is none."""
        if self._files is None:
            self._files = await asyncio.to_thread(_read_static)
        body = self._files.get(name)
        if body is None:
            return None
        kind = _TYPES[Path(name).suffix]
        return web.Response(body=body, content_type=kind, charset="utf-8")


def _read_static() -> dict[str, bytes]:
    return {
        path.name: path.read_bytes()
        for path in (_HERE / "static").iterdir()
        if path.suffix in _TYPES
    }
