"""Small dialogs for the keyboard: confirm, ask for one line, preview; and the empty state of a screen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Center, Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widget import Widget
from textual.widgets import Button, Input, OptionList, Static

from o1lab.text import one_line, visible
from o1lab.widgets.line_input import LineInput, caught_up
from o1lab.widgets.line_view import LineView

_BOX = """
    align: center middle;
    .dialog {
        width: 72;
        max-width: 100%;
        height: auto;
        max-height: 100%;
        padding: 0 1;
        border: heavy $border;
        border-title-color: $foreground;
        border-subtitle-color: $foreground;
        background: $surface;
    }
"""


def _shown(text: str | Text) -> str | Text:
    return text if isinstance(text, Text) else visible(text)


class EmptyState(Vertical):
    """What a screen without content shows: what is missing and the next action, with its key."""

    DEFAULT_CSS = """
    EmptyState {
        align: center middle;
        height: 1fr;
        Static { width: auto; max-width: 100%; text-align: center; }
        .empty--title { text-style: bold; }
    }
    """

    def __init__(self, title: str, next_action: str = "", *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._title = Static(visible(title), markup=False, classes="empty--title")
        self._next = Static(visible(next_action), markup=False)

    def compose(self) -> ComposeResult:
        yield Center(self._title)
        yield Center(self._next)

    def set(self, title: str, next_action: str = "") -> None:
        """Say something else."""
        self._title.update(visible(title))
        self._next.update(visible(next_action))


class ConfirmDialog(ModalScreen[bool]):
    """A yes/no question. y: True; n or escape: False; enter takes the button in focus.

    That is yes, or no if the answer is a ``danger``.
    """

    DEFAULT_CSS = f"""
    ConfirmDialog {{
        {_BOX}
        .dialog--question {{ text-style: bold; }}
        VerticalScroll {{ height: auto; max-height: 12; }}
        Horizontal {{ height: auto; margin-top: 1; align-horizontal: center; }}
        Button {{ margin: 0 1; }}
        Button:focus {{ text-style: bold reverse; }}
    }}
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "answer(True)", "Yes"),
        Binding("n,escape", "answer(False)", "No"),
        Binding("left,h", "app.focus_previous", "Previous", show=False),
        Binding("right,l", "app.focus_next", "Next", show=False),
    ]

    def __init__(
        self, question: str, detail: str | Text = "", *, yes: str = "Yes", no: str = "No", danger: bool = False
    ) -> None:
        super().__init__()
        self._question, self._detail, self._danger = question, detail, danger
        self._labels = (yes, no)

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Static(visible(self._question), markup=False, classes="dialog--question")
            if self._detail:
                with VerticalScroll(can_focus=False):
                    yield Static(_shown(self._detail), markup=False)
            with Horizontal():
                for id_, key, label in zip(("yes", "no"), "yn", self._labels, strict=True):
                    yield Button(Content(f"{visible(label)} ({key})"), id=id_, compact=True)

    def on_mount(self) -> None:
        self.query_one("#no" if self._danger else "#yes").focus()

    def action_answer(self, answer: bool) -> None:
        self.dismiss(answer)

    def on_button_pressed(self, event: Button.Pressed) -> None:
        event.stop()
        self.dismiss(event.button.id == "yes")


class PromptDialog(ModalScreen[str | None]):
    """Asks for one line; enter gives it, escape None.

    ``completions`` that contain what is being written are listed under the line: down and up choose one, tab (or
    enter on a chosen one) takes it. ``multiple`` completes the last of several words separated by commas.

    Its own keys are read before the line's, so that what is typed behind an enter goes where the dialog was opened;
    each first lets the line take what was typed before.
    """

    DEFAULT_CSS = f"""
    PromptDialog {{
        {_BOX}
        Input {{ border: none; height: 1; padding: 0; }}
        Input:focus {{ border: none; }}
        OptionList {{ height: auto; max-height: 8; border: none; margin-top: 1; padding: 0; }}
    }}
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "give_up", "Cancel"),
        Binding("down", "choose(1)", "Next completion", show=False, priority=True),
        Binding("up", "choose(-1)", "Previous completion", show=False, priority=True),
        Binding("tab", "complete", "Complete", show=False, priority=True),
        Binding("enter", "enter", "OK", priority=True),
    ]

    def __init__(
        self,
        title: str,
        *,
        value: str = "",
        placeholder: str = "",
        completions: Sequence[str] = (),
        multiple: bool = False,
    ) -> None:
        super().__init__()
        self._title, self._value, self._placeholder = title, value, placeholder
        self._completions, self._multiple = list(dict.fromkeys(completions)), multiple
        self._offered: list[str] = []
        self._offered_for: str | None = None  # the line that ``_offered`` completes

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog") as box:
            box.border_title = Content(one_line(self._title, 66))
            hint = "enter ok · tab complete · esc cancel" if self._completions else "enter ok · esc cancel"
            box.border_subtitle = Content(hint)
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
        """What is before the word being written, and that word."""
        value = self._line.value
        if not self._multiple:
            return "", value
        before, comma, word = value.rpartition(",")
        return before + comma + (" " if comma else ""), word.lstrip()

    @on(Input.Changed)
    def _offer(self) -> None:
        """List the completions that hold the word being written, those that begin with it first."""
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
        """Bring the line, and what is offered for it, up to the key that is being read."""
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

    def action_give_up(self) -> None:
        self.dismiss(None)


class PreviewDialog(ModalScreen[bool]):
    """A text of any length to look at: enter True (if there is an ``action`` to confirm), escape or q False.

    A plain string is untrusted and shown literally; what a Text holds must have gone through ``visible``.
    """

    DEFAULT_CSS = f"""
    PreviewDialog {{
        {_BOX}
        .dialog {{ width: 90%; height: 90%; }}
        LineView, VerticalScroll {{ height: 1fr; background: $surface; }}
    }}
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "answer(True)", "Do it"),
        Binding("escape,q", "answer(False)", "Close"),
        Binding("j", "scroll_body(1)", "Down", show=False),
        Binding("k", "scroll_body(-1)", "Up", show=False),
    ]

    def __init__(self, title: str, body: str | Text, *, action: str = "") -> None:
        super().__init__()
        self._title, self._body, self._action = title, body, action

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog") as box:
            box.border_title = Content(one_line(self._title, 200))
            keys = f"enter {self._action} · esc close" if self._action else "esc close"
            box.border_subtitle = Content(one_line(keys, 200))
            if isinstance(self._body, Text):
                with VerticalScroll():
                    yield Static(self._body, markup=False)
            else:
                yield LineView()

    def on_mount(self) -> None:
        body = self._scroller
        body.focus()
        if isinstance(body, LineView) and isinstance(self._body, str):
            body.set_text(self._body)

    @property
    def _scroller(self) -> Widget:
        return self.query_one(LineView if isinstance(self._body, str) else VerticalScroll)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return not (action == "answer" and parameters == (True,) and not self._action)

    def action_answer(self, answer: bool) -> None:
        self.dismiss(answer)

    def action_scroll_body(self, rows: int) -> None:
        self._scroller.scroll_relative(y=rows, animate=False)
