"""The message relay: sockets and inboxes; it does not know the key store."""
