"""Speed measurements of Edgekeep beside plain references; never part of the timed tests."""
