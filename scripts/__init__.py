"""What a developer runs: the shell verbs dev, test and check, and the `edgekeep` command line."""
