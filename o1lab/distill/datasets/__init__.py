"""Datasets: which traces they have, what their cards say, and sets made to compare with them."""
