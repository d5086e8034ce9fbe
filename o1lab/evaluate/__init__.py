"""Evaluation: a model on a suite, scored, with figures one can trust."""
