"""What several tests share: a running host, a child host, profile lines, the problem shape."""
