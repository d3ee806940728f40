"""Tests inside real workerd: the portable modules where they are meant to run."""
