"""The builder of the edge bundle, its lint, and the tools that check and deploy it."""
