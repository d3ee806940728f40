"""The key store: public keys with which others begin to write; it does not know the inboxes."""
