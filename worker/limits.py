"""Every size limit of the Worker, with unit and reason. (What may be tuned is a setting.)"""

KIB = 1024
MIB = 1024 * KIB

# One page of a list (facts/seeds.md X23).
LIST_DEFAULT = 100
LIST_MAX = 1000

# The prototype's line limit, in bytes without the line end.
IMPORT_LINE_BYTES = 128 * KIB

# gzip: past the first megabyte a body may not unfold to more than this many times its size.
# Real profile files reach about 15 : 1; deflate's ceiling, and a bomb's ratio, is about 1030 : 1.
INFLATE_RATIO = 200
INFLATE_FREE_BYTES = 1 * MIB

# Errors shown in an answer (as the prototype did) and kept in a report (an actor's values end at
# 2 MB; one error takes up to 250 bytes).
ERRORS_IN_ANSWER = 200
ERRORS_IN_REPORT = 5_000
ERRORS_PER_LINE = 20

IDEMPOTENCY_KEY_CHARS = 255

# Linking another way in, changing a password: facts/seeds.md §3.2.
RECENT_SIGN_IN_SECONDS = 10 * 60
# A ticket for a WebSocket: long enough to open it, and it holds once (facts/seeds.md §3.3).
TICKET_SECONDS = 30

# Backups: less would be an accident, more is for the setting BACKUP_MAX_BYTES (seed §4.3; X16).
BACKUP_MIN_BYTES = 32
BACKUP_DEFAULT_MAX_BYTES = 2 * MIB
# Attachments that one backup may refer to.
BACKUP_KEEPS = 16
# An upload gives a sign of life this often; one that was silent for longer is over.
BACKUP_TOUCH_SECONDS = 5
BACKUP_SILENCE_SECONDS = 20
# An upload may take a minute, and as long as its bytes need on a slow line.
UPLOAD_SECONDS = 60
UPLOAD_BYTES_PER_SECOND = 64 * KIB
# Older than the longest upload: what then belongs to nothing is an orphan.
ORPHAN_SECONDS = 3600

ATTACHMENT_MAX_BYTES = 50 * MIB
ATTACHMENT_SECONDS = 30 * 24 * 3600
