"""kill -9 during uploads of a backup; a hundred rounds: `python -m tests.crash.backup_kills`."""

from pathlib import Path

from tests.crash.backup_kills import kill_rounds


async def test_a_kill_leaves_the_old_backup_or_the_new_one(tmp_path: Path) -> None:
    """
    Whatever the moment: the last acknowledged blob, or the one that was being acknowledged; the
    next upload need not wait; after the sweep one object is left.
    """
    kills = await kill_rounds(tmp_path, 8, seed=7)

    assert kills.where.total() == 8
    assert kills.objects_after_sweep == 1
    assert kills.longest_wait < 5
