"""What the backup alone refuses, beside `worker.errors`."""

from worker.errors import Conflict, NotFound


class BackupLost(NotFound):
    """There was a backup and its blob is gone; ETag names the version that an upload replaces."""

    code, title = "backup_lost", "The backup is lost"


class BackupChanged(Conflict):
    """The backup is not the version that the client replaces; ETag names the one there is."""

    code, title = "backup_changed", "The backup has changed"


class BackupInUse(Conflict):
    """Another upload of this backup is under way."""

    code, title = "backup_in_use", "Another upload is under way"
