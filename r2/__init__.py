"""
Objects by key: Cloudflare's R2 binding in Python.

`contract.py` is the promise (every check, limit and rule, so that a wrong call
fails alike everywhere), `embedded.py` keeps a bucket in a folder on a laptop.
"""
