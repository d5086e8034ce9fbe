"""Which pictures of a screen are taken at which size of the terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest

SMALL, LARGE = (80, 24), (120, 40)
Size = tuple[int, int]


def sizes(*, large: Size = LARGE, named: bool = True) -> pytest.MarkDecorator:
    """Parametrise ``size``: the small terminal by default, the large one with ``--exhaustive``.

    Args:
        large: Columns and lines of the large terminal.
        named: Whether the ids of the cases are the sizes; otherwise ``size0`` and ``size1``.
    """
    cases = [SMALL, pytest.param(large, marks=pytest.mark.exhaustive)]
    return pytest.mark.parametrize("size", cases, ids=[_name(SMALL), _name(large)] if named else None)


def pictures(
    shown: Iterable[Callable[..., Any]], *, at_both: Iterable[Callable[..., Any]], large: Size = LARGE
) -> pytest.MarkDecorator:
    """Parametrise ``picture`` and ``size``.

    Args:
        shown: The functions that bring the screen to what a picture shows.
        at_both: Those whose picture is taken at both sizes by default: the layouts that the screen has. The large
            picture of the others is taken with ``--exhaustive``.
        large: Columns and lines of the large terminal.
    """
    both = set(at_both)
    cases = []
    for picture in shown:
        for size in (SMALL, large):
            marks = pytest.mark.exhaustive if size == large and picture not in both else ()
            cases.append(pytest.param(picture, size, id=f"{picture.__name__}-{_name(size)}", marks=marks))
    return pytest.mark.parametrize(("picture", "size"), cases)


def _name(size: Size) -> str:
    return f"{size[0]}x{size[1]}"
