"""What more than one screen asks: about similar chains, and before a file is written."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from o1lab.errors import LabError, UsageError
from o1lab.files import atomic_write
from o1lab.paths import Lab
from o1lab.text import one_line, visible
from o1lab.widgets.dialogs import Choice, ConfirmDialog, PickDialog, among
from screens.base.screen import LabScreen

if TYPE_CHECKING:
    from o1lab.chat.nearest import Near


NEAREST = 12
"""Number of training chains to list."""


def nearest_chains_dialog(run: str, chains: Sequence[Near]) -> PickDialog:
    """Create a dialog that returns the trace id of one of the training chains most similar to an answer.

    Args:
        run: The training run whose chains these are.
        chains: The chains, the most similar first.
    """
    choices = [
        Choice(one.trace_id, f"{one.score:5.1f}  {one_line(one.prompt, 60)}", one_line(one.thought, 200))
        for one in chains
    ]
    return PickDialog(
        f"Training chains of {run}, most similar first",
        among(choices),
        empty="No training chain is similar.",
        hint="Score: share of words in common, 100 is all. Similarity is not causation: use it to know where to look.",
    )


async def write_file(screen: LabScreen, path: Path, forms: Mapping[str, str], content: Callable[[str], str]) -> None:
    """Write a file in the format of its ending; ask before replacing one.

    Args:
        screen: The screen for questions and messages.
        path: The file.
        forms: The formats by file ending.
        content: Makes the text of a format.
    """
    form = forms.get(path.suffix.casefold())
    if form is None:
        screen.report(UsageError(f"'{path.name}' has no known file ending.", f"End it with {' or '.join(forms)}."))
        return
    exists = await screen.in_thread(path.exists)
    if exists and not await screen.app.push_screen_wait(
        ConfirmDialog(f"{visible(path.name)} already exists. Replace it?", str(path), yes="Replace", danger=True)
    ):
        return
    try:
        await screen.in_thread(_write, path, content(form))
    except Exception as error:
        screen.report(error)
        return
    screen.app.notify(visible(f"written to {path}"), markup=False, timeout=8)


def export_path(lab: Lab, typed: str) -> Path:
    """Return the path of a file: in the exports of the lab unless it is absolute."""
    path = Path(typed.strip()).expanduser()
    return path if path.is_absolute() else lab.exports / path


def _write(path: Path, text: str) -> None:
    try:
        with atomic_write(path, durable=False) as file:
            file.write(text)
    except OSError as error:
        raise LabError(f"Cannot write {path}: {error.strerror}.", "Choose another place.") from error
