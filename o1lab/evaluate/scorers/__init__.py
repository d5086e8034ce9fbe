"""The scorers, by the names that suites use."""
