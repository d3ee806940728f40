"""What the profiles alone refuse, beside `worker.errors`."""

from worker.errors import Conflict, Unprocessable


class ImportIdTaken(Conflict):
    """The import id that the client chose was used before."""

    code, title = "import_id_taken", "This import id is taken"


class ChecksumMismatch(Unprocessable):
    """X-Checksum-Sha256 is not the SHA-256 of the body as it arrived."""

    code, title = "checksum_mismatch", "The checksum does not match the body"


class NothingImported(Unprocessable):
    """No line of an import was valid, or an atomic import held an invalid line."""

    code, title = "import_refused", "Nothing was imported"
