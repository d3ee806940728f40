"""What the test bundle adds to the portable modules. Never part of a deployment."""
