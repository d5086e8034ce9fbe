"""The recipe of a training run: its settings, its files, and what they mean. Does not import torch."""
