"""Rate limits: counting in a process, and in an actor for a whole deployment."""
