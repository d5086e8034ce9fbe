"""The forms of settings on a screen: opened by a key, and their fields written."""

from __future__ import annotations

from typing import Any, TypeVar

from textual.pilot import Pilot

from o1lab.widgets.form import FieldRow
from screens.forms.settings_form import SettingsForm
from tests.support.compare_lab import until

FormT = TypeVar("FormT", bound=SettingsForm[Any])


async def form_of(pilot: Pilot[int], kind: type[FormT], key: str = "ctrl+n") -> FormT:
    """Return the form that ``key`` opens, drawn and with a focus."""
    await pilot.press(key)
    await until(pilot, lambda: isinstance(pilot.app.screen, kind) and pilot.app.screen.query("#go"), "the form")
    form = pilot.app.screen
    assert isinstance(form, kind)
    await until(pilot, lambda: form.focused is not None, "the focus")
    return form


def field(form: SettingsForm[Any], name: str) -> FieldRow:
    return form.query_one(f"#row-{name}", FieldRow)


async def write(pilot: Pilot[int], form: SettingsForm[Any], name: str, text: str) -> None:
    """Type into a field in place of its text."""
    field(form, name).editor.focus()
    await pilot.press("end", "ctrl+u", *text)
    await until(pilot, lambda: field(form, name).text == text, f"{name} written")
