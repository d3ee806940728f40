"""The house rules: budgets, imports, documents that must match the code."""
