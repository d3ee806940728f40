"""The deployment itself: is it alive, are its stores, and the care of its database."""
