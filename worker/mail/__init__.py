"""Mail: the port that platforms fill in, and sending behind an answer."""
