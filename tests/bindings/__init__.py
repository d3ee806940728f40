"""Conformance: one suite per contract, run on every adapter."""
