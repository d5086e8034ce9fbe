"""Rounds: a whole prompt set asked in the background, to be voted through blind."""
