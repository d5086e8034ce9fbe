"""A dialog that asks for one line of text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.widgets import Input, OptionList

from o1lab.text import one_line, visible
from o1lab.widgets.dialogs.dialog import Dialog
from o1lab.widgets.keys import Binding
from o1lab.widgets.line_input import LineInput, caught_up


class PromptDialog(Dialog[str]):
    """Asks for one line; enter returns it, escape returns None.

    ``completions`` that contain the word being typed are listed under the line: down and up choose one, tab (or
    enter on a chosen one) accepts it. ``multiple`` completes the last of several words separated by commas.

    The keys of the dialog have priority over those of the line, so that keys typed after an enter go to the screen
    below; each action first waits until the line has handled the keys typed before.
    """

    DEFAULT_CSS = """
    PromptDialog {
        .dialog { max-width: 72; }
        Input { border: none; height: 1; padding: 0; }
        Input:focus { border: none; }
        OptionList { height: auto; max-height: 8; border: none; margin-top: 1; padding: 0; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down", "choose(1)", "Next completion", show=False, priority=True,
                tooltip="Choose the next completion"),
        Binding("up", "choose(-1)", "Previous completion", show=False, priority=True,
                tooltip="Choose the previous completion"),
        Binding("tab", "complete", "Complete", show=False, priority=True, tooltip="Complete the text"),
        Binding("enter", "enter", "OK", priority=True, tooltip="Use this text"),
    ]  # fmt: skip

    def __init__(
        self,
        title: str,
        *,
        value: str = "",
        placeholder: str = "",
        completions: Sequence[str] = (),
        multiple: bool = False,
    ) -> None:
        super().__init__(title, "enter ok · tab complete · esc cancel" if completions else "enter ok · esc cancel")
        self._value, self._placeholder = value, placeholder
        self._completions, self._multiple = list(dict.fromkeys(completions)), multiple
        self._offered: list[str] = []
        self._offered_for: str | None = None  # the line that ``_offered`` completes

    def compose_dialog(self) -> ComposeResult:
        yield LineInput(self._value, placeholder=visible(self._placeholder), compact=True, select_on_focus=False)
        offered = OptionList(markup=False, compact=True)
        offered.can_focus = False
        yield offered

    @property
    def _line(self) -> LineInput:
        return self.query_one(LineInput)

    def on_mount(self) -> None:
        self._line.focus()
        self._offer()

    def _split(self) -> tuple[str, str]:
        """Return the text before the word being typed, and that word."""
        value = self._line.value
        if not self._multiple:
            return "", value
        before, comma, word = value.rpartition(",")
        return before + comma + (" " if comma else ""), word.lstrip()

    @on(Input.Changed)
    def _offer(self) -> None:
        """List the completions that contain the word being typed, those that begin with it first."""
        if self._line.value == self._offered_for:
            return
        self._offered_for = self._line.value
        before, word = self._split()
        taken = {part.strip() for part in before.split(",")} if self._multiple else set()
        wanted = word.strip().casefold()
        found = [name for name in self._completions if wanted in name.casefold() and name not in taken and name != word]
        self._offered = sorted(found, key=lambda name: not name.casefold().startswith(wanted))[:50]
        offered = self.query_one(OptionList)
        offered.clear_options()
        offered.add_options([one_line(name, 66) for name in self._offered])
        offered.highlighted = None
        offered.display = bool(self._offered)

    async def _catch_up(self) -> None:
        """Wait until the line has handled the keys typed so far, and update the completions."""
        await caught_up(self._line)
        self._offer()

    async def action_choose(self, step: int) -> None:
        await self._catch_up()
        offered = self.query_one(OptionList)
        if self._offered:
            now = offered.highlighted
            start = -1 if step > 0 else 0
            offered.highlighted = ((start if now is None else now) + step) % len(self._offered)

    async def action_complete(self) -> None:
        await self._catch_up()
        self._complete()

    async def action_enter(self) -> None:
        await self._catch_up()
        if self.query_one(OptionList).highlighted is not None and self._offered:
            self._complete()
        else:
            self.dismiss(self._line.value)

    def _complete(self) -> None:
        if self._offered:
            before, _ = self._split()
            self._line.value = before + self._offered[self.query_one(OptionList).highlighted or 0]
            self._line.cursor_position = len(self._line.value)

    @on(OptionList.OptionSelected)
    def _clicked(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        self._complete()
        self._line.focus()
