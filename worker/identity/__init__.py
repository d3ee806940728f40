"""Who is calling: sessions, tokens, cookies, usernames, mailboxes, and the guard of sign-ins."""
