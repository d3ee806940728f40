"""The address that checks from outside know (shared/faults/prekeys.py); home: clients/python."""

from clients.python.relay.sealing import IdentityKey as Identity

__all__ = ["Identity"]
