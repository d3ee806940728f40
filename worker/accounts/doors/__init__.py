"""The doors of accounts, a file for each subject."""
