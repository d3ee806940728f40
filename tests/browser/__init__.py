"""The console in real Chromium."""
