"""The errors that end a command with a message, those of :mod:`store.errors`, and the exit statuses of commands."""

from __future__ import annotations

from store.errors import LabError, NotFoundError, O1LabError, RefusedError, UsageError

__all__ = [
    "EXIT_STATUSES",
    "Interrupted",
    "LabError",
    "NotFoundError",
    "O1LabError",
    "RefusedError",
    "UsageError",
    "internal_reason",
    "signal_status",
]

EXIT_STATUSES = {
    "0": "done",
    "1": "done with failures",
    "2": "usage",
    "3": "lab or environment",
    "4": "no such id",
    "5": "refused by preflight or budget",
    "128 + N": "ended by signal N (130 for Ctrl-C)",
}
"""What each exit status means, for ``--help`` and the documentation."""


def internal_reason(error: Exception) -> str:
    """Return an error of o1lab itself as the reason of a sample that failed."""
    return f"internal: {type(error).__name__}: {error}"[:200]


class Interrupted(SystemExit):
    """A signal ends the command. typer would turn a KeyboardInterrupt into the status of SIGINT.

    Args:
        number: the signal.
    """

    def __init__(self, number: int) -> None:
        self.status = signal_status(number)
        super().__init__(self.status)


def signal_status(number: int) -> int:
    """Return the exit status of a command that a signal ended, as shells have it."""
    return 128 + number
