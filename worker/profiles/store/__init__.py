"""All SQL and key names of the slice: profiles and reports, and what an import keeps meanwhile."""
