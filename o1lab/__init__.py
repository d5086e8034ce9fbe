"""o1lab: a laboratory in the terminal for distilling long-thought chains into students."""

__version__ = "0.1.0"
