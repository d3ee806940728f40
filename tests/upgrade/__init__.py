"""States that landed versions made, opened by today's."""
