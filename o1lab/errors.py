"""The errors a person is meant to read: one sentence of what happened, one of what to do.

The exit statuses are a contract (see ``o1lab --help``): 0 done, 1 done with failures, 2 usage,
3 lab or environment, 4 no such id, 5 refused by preflight or budget, 130 interrupted.
"""

from __future__ import annotations

from store.errors import MissingError, NameTakenError, NothingChosenError, QueryError, StoreError


class O1LabError(Exception):
    """Anything that ends a command with a clear sentence instead of a traceback."""

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


class UsageError(O1LabError):
    """The command was asked for something it does not take."""

    exit_status = 2
    code = "usage"


class LabError(O1LabError):
    """The lab or the environment stands in the way: unwritable, too new, no torch, no key."""

    exit_status = 3
    code = "lab"


class NotFoundError(O1LabError):
    """No such trace, run, dataset, model or conversation."""

    exit_status = 4
    code = "not_found"


class RefusedError(O1LabError):
    """Preflight or a budget said no."""

    exit_status = 5
    code = "refused"


def from_store(error: StoreError) -> O1LabError:
    """The same error with the exit status it has on the command line."""
    kind: type[O1LabError] = LabError
    if isinstance(error, MissingError):
        kind = NotFoundError
    elif isinstance(error, QueryError | NameTakenError | NothingChosenError):
        kind = UsageError
    return kind(error.message, error.hint, code=error.code)
