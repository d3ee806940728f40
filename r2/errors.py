"""
What a bucket answers when it refuses: verb, text and code, as R2 words them.

Source of codes and texts: measured answers (golden/r2.jsonl) and the limits page
https://developers.cloudflare.com/r2/platform/limits/. A wrong *argument* is not an
`R2Error`: it is a `TypeError` (wrong kind of value) or a `ValueError` (JavaScript's
RangeError and the unreadable conditional header), raised before anything is touched.
"""

from __future__ import annotations

from typing import Final

INTERNAL: Final = 10001
TOO_SMALL: Final = 10011
METADATA_TOO_LARGE: Final = 10012
BAD_NAME: Final = 10020
BAD_MAX_KEYS: Final = 10022
NO_SUCH_UPLOAD: Final = 10024
NO_SUCH_PART: Final = 10025
BAD_DIGEST: Final = 10037
BAD_RANGE: Final = 10039
BAD_UPLOAD: Final = 10048
TOO_LARGE: Final = 100100

TEXTS: Final = {
    INTERNAL: "We encountered an internal error. Please try again.",
    TOO_SMALL: "Your proposed upload is smaller than the minimum allowed object size.",
    METADATA_TOO_LARGE: "Your metadata headers exceed the maximum allowed metadata size.",
    BAD_NAME: "The specified object name is not valid.",
    BAD_MAX_KEYS: "MaxKeys params must be positive integer <= 1000.",
    NO_SUCH_UPLOAD: "The specified multipart upload does not exist.",
    NO_SUCH_PART: "One or more of the specified parts could not be found.",
    BAD_RANGE: "The requested range is not satisfiable",
    BAD_UPLOAD: "There was a problem with the multipart upload.",
    TOO_LARGE: "Your proposed upload exceeds the maximum allowed object size.",
}


class R2Error(Exception):
    """
    The bucket refused an operation.

    `verb` is Cloudflare's name of the operation ("put", "completeMultipartUpload"),
    `text` its sentence, `code` its number; `str(e)` is "<verb>: <text> (<code>)".
    """

    def __init__(self, verb: str, text: str, code: int) -> None:
        # All three parts are `args`: so it can be made anew behind a pickle or an object's call.
        super().__init__(verb, text, code)
        self.verb = verb
        self.text = text
        self.code = code

    def __str__(self) -> str:
        return f"{self.verb}: {self.text} ({self.code})"

    @property
    def passing(self) -> bool:
        """Whether the same call may succeed soon: the store itself has failed."""
        return self.code == INTERNAL


class R2Unavailable(R2Error):  # noqa: N818 - a state of the store
    """The store does not answer now; whether a write of that moment was kept is not known."""

    def __init__(self, verb: str) -> None:
        super().__init__(verb, "The store is not available.", INTERNAL)
        self.args = (verb,)


class R2BodyLost(R2Error):  # noqa: N818 - a state of the object
    """The object is listed, and its bytes are not there, or not all: no second try finds them."""

    def __init__(self, verb: str) -> None:
        super().__init__(verb, "The body of the object is lost.", INTERNAL)
        self.args = (verb,)

    @property
    def passing(self) -> bool:
        """Whether the same call may succeed soon: never."""
        return False


def refusal(verb: str, code: int) -> R2Error:
    """Return the error R2 gives for *code* in operation *verb* (a key of `TEXTS`)."""
    return R2Error(verb, TEXTS[code], code)
