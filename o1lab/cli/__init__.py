"""The command line. Each verb is imported when it is asked for, so that `--help` stays quick."""

from __future__ import annotations

from o1lab.cli.main import main

__all__ = ["main"]
