"""What the tests of screens share."""

from tests.support.piloted import _piloted

__all__ = ["_piloted"]
