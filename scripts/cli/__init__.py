"""The `edgekeep` command line, one module per group of verbs."""
