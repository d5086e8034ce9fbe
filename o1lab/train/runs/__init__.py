"""A training run on disk: its directory, status, metrics and their curves. Does not import torch."""
