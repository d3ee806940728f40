"""
Everything that can go wrong with a backup, each with a sentence for a person and a stable code.

The codes stand in the test vectors (docs/vectors/backup-v1.json), so that a client in another
language can tell the same things apart. No text holds a password, a key or a contact.
"""
# ruff: noqa: N818 - each is named by what happened


class BackupError(Exception):
    """The root. *code* is stable, the text is for people."""

    code = "backup_error"


class BlobError(BackupError):
    """The bytes are no backup that can be opened."""


class HeaderDamaged(BlobError):
    """Not a backup at all, or its first 64 bytes were changed by accident."""

    code = "header_damaged"


class Unsupported(BlobError):
    """A format or schema that this client does not know: made by a newer one."""

    code = "unsupported"


class TooWeak(BlobError):
    """Argon2id parameters below the floor: nobody's client of ours made this."""

    code = "too_weak"


class TooCostly(BlobError):
    """Argon2id parameters that would hold this machine up: refused before they are tried."""

    code = "too_costly"


class WrongPassword(BlobError):
    """The key check of the header does not hold under this password."""

    code = "wrong_password"


class BodyDamaged(BlobError):
    """The password is right and the encrypted part is not what was written, or is cut off."""

    code = "body_damaged"


class PayloadInvalid(BlobError):
    """What was decrypted is authentic and breaks the rules of the schema."""

    code = "payload_invalid"


class TooLarge(BackupError):
    """More than a backup may hold (2 MiB)."""

    code = "too_large"


class WeakPassword(BackupError):
    """A new password that is too short or cannot be used."""

    code = "weak_password"


class InvalidContact(BackupError):
    """A contact, a profile or an identity that the schema has no room for."""

    code = "invalid_contact"


class IdentityMismatch(BackupError):
    """The backup holds another identity than this machine; somebody has to decide."""

    code = "identity_mismatch"


class ChangedElsewhere(BackupError):
    """The backup was written by another machine meanwhile, under another password."""

    code = "changed_elsewhere"


class NoBackup(BackupError):
    """The server has no backup for this account."""

    code = "no_backup"


class NotSetUp(BackupError):
    """The folder holds no machine yet."""

    code = "not_set_up"


class StateDamaged(BackupError):
    """The local state cannot be read or written."""

    code = "state_damaged"


class StateBusy(BackupError):
    """Another process uses the local state."""

    code = "state_busy"


class Unreachable(BackupError):
    """The server does not answer, or fails, also after several tries."""

    code = "unreachable"


class Refused(BackupError):
    """The server understood and said no. *status* is the HTTP status."""

    code = "refused"

    def __init__(self, sentence: str, status: int) -> None:
        super().__init__(sentence)
        self.status = status


class Conflict(Refused):
    """409: the backup is at another version. *version* is the current one when the server says."""

    code = "conflict"

    def __init__(self, sentence: str, version: int | None = None) -> None:
        super().__init__(sentence, 409)
        self.version = version
