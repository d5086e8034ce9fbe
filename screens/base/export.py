"""Writing a file from a screen: where it goes, which format, and a question before another file is replaced."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from o1lab.errors import LabError, UsageError
from o1lab.files import atomic_write
from o1lab.paths import Lab
from o1lab.text import visible
from o1lab.widgets.dialogs import ConfirmDialog
from screens.base.screen import LabScreen


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
