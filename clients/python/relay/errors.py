"""What can go wrong in the relay's demo, each with a sentence for a person."""
# ruff: noqa: N818 - each is named by what happened


class RelayError(Exception):
    """The root."""


class HomeError(RelayError):
    """The folder of the account cannot be used."""


class SealError(RelayError):
    """A bundle or a message is not what it should be."""


class Refused(RelayError):
    """The server said no, or the demo did, to protect its person."""


class Unreachable(RelayError):
    """The server failed, or ended the connection."""
