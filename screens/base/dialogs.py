"""Dialogs of more than one screen: models, similar chains, and files to write."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from o1lab.errors import LabError, UsageError
from o1lab.files import write_text
from o1lab.paths import Lab
from o1lab.serve.registry import ModelRef, list_models
from o1lab.text import one_line, visible
from o1lab.widgets.dialogs import Choice, ConfirmDialog, PickDialog, PromptDialog, among
from screens.base.screen import LabScreen

if TYPE_CHECKING:
    from o1lab.chat.nearest import SimilarRow


async def pick_model(
    screen: LabScreen,
    title: str,
    usable: Callable[[ModelRef], bool],
    detail: Callable[[ModelRef], str] = lambda _: "",
) -> ModelRef | None:
    """Ask for a model of the lab.

    Args:
        screen: The screen that opens the dialog.
        title: The title of the dialog.
        usable: Whether a model is offered. Called in a thread.
        detail: Returns the dimmed text after the name of a model.

    Returns:
        The model; None if the dialog was cancelled.
    """
    refs = await screen.in_thread(lambda: [ref for ref in list_models(screen.context.lab) if usable(ref)])
    choices = [Choice(ref.id, one_line(ref.label, 60), detail(ref)) for ref in refs]
    chosen = await screen.app.push_screen_wait(PickDialog(title, among(choices), empty="No model matches."))
    return next((ref for ref in refs if ref.id == chosen), None)


NEAREST = 12
"""Number of training chains to list."""


def nearest_chains_dialog(run: str, chains: Sequence[SimilarRow]) -> PickDialog:
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


async def export_file(
    screen: LabScreen, what: str, names: Sequence[str], forms: Mapping[str, str], content: Callable[[str], str]
) -> None:
    """Ask where to write something, by default in the exports of the lab, and write it there.

    Args:
        screen: The screen for questions and messages.
        what: What is written, for the title of the dialog.
        names: File names to complete; the first is proposed.
        forms: The formats by file ending.
        content: Makes the text of a format.
    """
    title = f"Write the {what} to ({' '.join(forms)})"
    typed = await screen.app.push_screen_wait(PromptDialog(title, value=names[0], completions=names))
    if typed and typed.strip():
        await write_file(screen, export_path(screen.context.lab, typed), forms, content)


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
        await screen.in_thread(lambda: write_export(path, content(form)))
    except Exception as error:
        screen.report(error)
        return
    screen.app.notify(visible(f"written to {path}"), markup=False, timeout=8)


def export_path(lab: Lab, typed: str) -> Path:
    """Return the path of a file: in the exports of the lab unless it is absolute."""
    path = Path(typed.strip()).expanduser()
    return path if path.is_absolute() else lab.exports / path


def write_export(path: Path, text: str) -> None:
    """Write a file in a thread.

    Raises:
        LabError: It cannot be written.
    """
    try:
        write_text(path, text, durable=False)
    except OSError as error:
        raise LabError(f"Cannot write {path}: {error.strerror}.", "Choose another place.") from error
