"""The `edgekeep` command, run as a process."""
