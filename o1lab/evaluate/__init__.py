"""Evaluation of models: suites, scorers, runs, statistics, reports and human ratings."""
