"""The developer console: pages below /_console for whoever sits at this machine."""
