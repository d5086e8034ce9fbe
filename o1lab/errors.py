"""Errors with a message for the user: one sentence that says what happened, one that says what to do.

The exit statuses (:data:`EXIT_STATUSES`) are a contract with scripts.
"""

from __future__ import annotations

from store.errors import (
    InvalidNameError,
    MissingError,
    NameTakenError,
    NothingChosenError,
    QueryError,
    StoreError,
    WrongKindError,
)

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


class O1LabError(Exception):
    """Base class of errors that end a command with a message instead of a traceback.

    Args:
        message: what happened, as a sentence.
        hint: what to do, as a sentence.
        code: the error code in JSON output; the default is that of the class.
    """

    exit_status = 3
    code = "environment"

    def __init__(self, message: str, hint: str = "", *, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        if code is not None:
            self.code = code

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()

    def as_json(self) -> dict[str, dict[str, str]]:
        return {"error": {"code": self.code, "message": self.message, "hint": self.hint}}


def internal_reason(error: Exception) -> str:
    """Return an error of o1lab itself as the reason of a sample that failed."""
    return f"internal: {type(error).__name__}: {error}"[:200]


class UsageError(O1LabError):
    """The command line or a value is invalid."""

    exit_status = 2
    code = "usage"


class LabError(O1LabError):
    """The lab or the environment is not usable: not writable, too new, no torch, no key."""

    exit_status = 3
    code = "lab"


class NotFoundError(O1LabError):
    """The trace, run, dataset, model or conversation does not exist."""

    exit_status = 4
    code = "not_found"


class RefusedError(O1LabError):
    """A preflight check or a budget forbids the operation."""

    exit_status = 5
    code = "refused"


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


def from_store(error: StoreError) -> O1LabError:
    """Convert a store error to the error with the matching exit status."""
    kind: type[O1LabError] = LabError
    if isinstance(error, MissingError):
        kind = NotFoundError
    elif isinstance(error, QueryError | NameTakenError | NothingChosenError | InvalidNameError):
        kind = UsageError
    elif isinstance(error, WrongKindError):
        kind = RefusedError
    return kind(error.message, error.hint, code=error.code)
