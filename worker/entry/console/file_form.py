"""
A form that carries one file, read as it arrives: its fields first, then the file in chunks.

The fields stand before the file in our pages, the token first of all; so a form from elsewhere is
refused before a byte of its file is read. Nothing holds the file.
"""

from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Final

from aiohttp import BodyPartReader, ClientError, web
from aiohttp.http_exceptions import HttpProcessingError

if TYPE_CHECKING:
    from aiohttp import MultipartReader

    from worker.entry.console.frame import Console

_CHUNK_BYTES: Final = 256 * 1024
_FIELD_BYTES: Final = 8 * 1024
_FIELDS: Final = 10
# What aiohttp raises for a body that is no form, or ends too early.
_BROKEN: Final = (ValueError, AssertionError, LookupError, RuntimeError, HttpProcessingError)


class FileForm:
    """The *fields* of a form, and its file: iterate `chunks` once."""

    def __init__(self, fields: Mapping[str, str], part: BodyPartReader) -> None:
        self.fields = fields
        self.filename = part.filename or ""
        self.content_type = part.headers.get("Content-Type", "")
        self._part = part

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the file as it arrives; raises `web.HTTPBadRequest` when it breaks off."""
        part = self._part
        while not part.at_eof():
            chunk = await _read(part)
            if chunk:
                yield chunk


async def open_file_form(console: "Console", request: web.Request) -> FileForm:
    """
    Read the form of *request* up to its file, and check its token.

    Raises `web.HTTPForbidden` (token), `web.HTTPBadRequest` (no file, not a form) and
    `web.HTTPUnsupportedMediaType`.
    """
    if request.content_type != "multipart/form-data":
        raise web.HTTPUnsupportedMediaType(text="Send the form as multipart/form-data.")
    fields: dict[str, str] = {}
    try:
        reader = await request.multipart()
        while (part := await _next(reader)) is not None:
            if part.filename is not None:
                console.check_csrf(request, fields.get("csrf", ""))
                return _with_file(FileForm(fields, part))
            if len(fields) >= _FIELDS:
                raise web.HTTPBadRequest(text="The form has too many fields.")
            fields[part.name or ""] = await _field(part)
    except _BROKEN:
        raise _broken() from None
    console.check_csrf(request, fields.get("csrf", ""))
    raise _no_file()


def _with_file(form: FileForm) -> FileForm:
    # A browser sends an empty name for a file that was not chosen.
    if not form.filename:
        raise _no_file()
    return form


def _no_file() -> web.HTTPBadRequest:
    return web.HTTPBadRequest(text="Choose a file first.")


def _broken() -> web.HTTPBadRequest:
    return web.HTTPBadRequest(text="The form broke off, or is not one that this page made.")


async def _next(reader: "MultipartReader") -> BodyPartReader | None:
    part = await reader.next()
    if part is not None and not isinstance(part, BodyPartReader):
        raise web.HTTPBadRequest(text="The form holds another form.")
    return part


async def _field(part: BodyPartReader) -> str:
    value = bytearray()
    while not part.at_eof():
        value += await _read(part)
        if len(value) > _FIELD_BYTES:
            raise web.HTTPBadRequest(text="A field of the form is too long.")
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise _broken() from None


async def _read(part: BodyPartReader) -> bytes:
    try:
        return await part.read_chunk(_CHUNK_BYTES)
    except (ClientError, ConnectionError, *_BROKEN):
        raise _broken() from None


def answer_change(
    console: "Console", request: web.Request, path: str, notice: str, kind: str = "good"
) -> web.Response:
    """
    Answer a file that was taken: 303, or the address as JSON for the page's own script.

    A script that follows a redirect would see the notice in the place of the person.
    """
    answer = console.redirect(request, path, notice, kind)
    if request.headers.get("Accept") != "application/json":
        return answer
    return web.json_response({"location": answer.headers["Location"]})
