"""Training: recipes, preflight, launching, the run directory, and the worker (the only part that imports torch)."""
