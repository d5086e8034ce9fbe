"""Moves: the segments of a thought, by rules and by a classifier."""
