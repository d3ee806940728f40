"""What the accounts alone refuse, beside `worker.errors`."""

from worker.errors import Conflict, Forbidden, Unauthorized


class InvalidLink(Unauthorized):
    """A link of a mail was altered, has expired, or was used."""

    code, title = "invalid_link", "This link does not hold"


class OtherBrowser(Forbidden):
    """A link of a mail came from another browser than asked for it, and is not used up by that."""

    code, title = "other_browser", "Open the link in the browser that asked for it"


class UsernameTaken(Conflict):
    """The username, or one that folds to the same, belongs to somebody."""

    code, title = "username_taken", "This username is taken"


class IdentityTaken(Conflict):
    """The address or key is a way into another account."""

    code, title = "identity_taken", "This belongs to another account"


class LastIdentity(Conflict):
    """The only way into an account cannot be removed."""

    code, title = "last_identity", "This is the last way in"
