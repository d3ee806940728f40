"""The clients in Python. `edgekeep backup` and `edgekeep relay` call them and do no more."""
