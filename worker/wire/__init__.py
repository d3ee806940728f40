"""What HTTP carries for every slice: bodies in pieces, problem documents, headers for browsers."""
