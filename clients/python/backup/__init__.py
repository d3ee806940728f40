"""
The reference client of the encrypted backup (docs/backup.md, docs/backup-format.md).

A library: it knows nothing of the command line. The server sees what `sealing` makes and no more.
"""
