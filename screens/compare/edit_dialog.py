"""Put the cursor into an answer, change its text, and let a model continue from there."""

from __future__ import annotations

import shutil
from collections.abc import Awaitable, Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import ClassVar, cast

from rich.text import Text
from textual import work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.document._document import Document
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from o1lab.chains import parse
from o1lab.chains.segmentation.moves import segment
from o1lab.chat.answering import cannot_continue
from o1lab.chat.prefixes import Prefix, changed, cut, snapped
from o1lab.errors import O1LabError
from o1lab.serve.registry import ModelRef
from o1lab.text import one_line
from o1lab.widgets.dialogs import ConfirmDialog, Dialog
from o1lab.widgets.keys import Binding
from o1lab.widgets.line_input import PlainArea
from screens.base.editor import edit_draft, write_draft
from screens.base.screen import LabScreen, words_of

Go = Callable[[Prefix, ModelRef], Awaitable[None]]
More = Callable[[], Awaitable[tuple[Prefix, list[ModelRef]]]]


class AnswerArea(PlainArea):
    """The text of an answer. Its model continues from the cursor."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+e", "screen.editor", "$EDITOR", id="edit_answer", tooltip="Change the text in $EDITOR"),
        Binding("ctrl+down", "screen.move(1)", "Next move", id="cursor_to_next_move",
                tooltip="Put the cursor at the end of the move"),
        Binding("ctrl+up", "screen.move(-1)", "Previous move", id="cursor_to_previous_move",
                tooltip="Put the cursor at the start of the move"),
        Binding("ctrl+underscore", "undo", "Undo", id="undo_typing", show=False, tooltip="Undo the last change"),
    ]  # fmt: skip


class EditDialog(Dialog[bool]):
    """Returns True once a model continues from the cursor; the text after it is left out."""

    DEFAULT_CSS = """
    EditDialog {
        .dialog { height: 95%; max-width: 100%; }
        AnswerArea, AnswerArea:focus { height: 1fr; min-height: 3; border: none; padding: 0; }
        OptionList { height: auto; max-height: 5; border: none; padding: 0; background: $surface; }
        OptionList:focus { background: $boost; }
        #model-title { text-style: bold; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+r", "go", "Continue from the cursor", priority=True,
                tooltip="Leave out what is after the cursor, and let the model continue from there"),
        Binding("tab", "app.focus_next", "Text or models", show=False, tooltip="Go to the text or to the models"),
    ]  # fmt: skip

    def __init__(
        self,
        prefix: Prefix,
        models: Sequence[ModelRef],
        chosen: str,
        *,
        person: str,
        more: More,
        go: Go,
        at: int | None = None,
    ) -> None:
        """Create the dialog.

        Args:
            prefix: The whole answer with its writers.
            models: Models that may continue.
            chosen: The id of the one that is chosen first.
            person: Who changes the text.
            more: Reads the answer with its tokens, and all models of the lab.
            go: Called with the beginning and the model; the text is saved when it returns.
            at: The initial position of the cursor; None for the end.
        """
        super().__init__("Continue from the cursor", "ctrl+r continue · ctrl+e $EDITOR · tab models · esc back")
        self.prefix = prefix
        self._source = prefix.text  # what was last put into the area, with its line ends
        self.models = list(models)
        self.person = person
        self._chosen = chosen
        self._more = more
        self._go = go
        self._at = at
        self._drafts: list[Path] = []
        self._said = ""

    def compose_dialog(self) -> ComposeResult:
        yield AnswerArea(self.prefix.text, soft_wrap=True, show_line_numbers=False, id="answer")
        yield Static("", classes="hint", id="cursor-place", markup=False)
        yield Static("", classes="warning", id="message", markup=False)
        yield Static("", id="model-title", markup=False)
        yield OptionList(id="model")

    def _line(self, ref: ModelRef) -> Text:
        why = cannot_continue(ref)
        words = one_line(why[0], 70) if why else ""
        return Text(f"{one_line(ref.label, 40)}  {words}".rstrip(), "dim" if why else "", no_wrap=True)

    def on_mount(self) -> None:
        self.list_models(self.models)
        self.put_cursor(len(self.text) if self._at is None else min(self._at, len(self.text)))
        self.query_one(AnswerArea).focus()
        self.draw_place()
        self.read_more()

    @work(group="more")
    async def read_more(self) -> None:
        """Read the tokens and the other models in the background."""
        try:
            self.prefix, known = await self._more()
        except O1LabError as error:
            self.say(words_of(error))
            return
        self.list_models([*self.models, *(ref for ref in known if ref.id not in {one.id for one in self.models})])
        self.draw_place()

    def list_models(self, models: Sequence[ModelRef]) -> None:
        """Show the models, those that cannot continue at the end; the chosen one stays chosen."""
        listed = self.query_one(OptionList)
        if listed.highlighted is not None:
            self._chosen = self.models[listed.highlighted].id
        self.models = sorted(models, key=lambda ref: bool(cannot_continue(ref)))
        able = [ref.id for ref in self.models if not cannot_continue(ref)]
        wanted = self._chosen if self._chosen in able else next(iter(able), self._chosen)
        listed.set_options(Option(self._line(ref), ref.id) for ref in self.models)
        listed.highlighted = next((at for at, ref in enumerate(self.models) if ref.id == wanted), None)

    # The place of the cursor.

    @property
    def text(self) -> str:
        """The text with its own line ends; the area's text has one kind for all of them."""
        return "".join(self._lines)

    @property
    def at(self) -> int:
        """The offset of the cursor in the text."""
        lines, (row, column) = self._lines, self.query_one(AnswerArea).cursor_location
        if row == len(lines) - 1 and column == len(self._document.get_line(row)):
            return sum(map(len, lines))
        return sum(map(len, lines[:row])) + column

    @property
    def _lines(self) -> tuple[str, ...]:
        return with_line_ends(self._source, tuple(self._document.lines))

    @property
    def _document(self) -> Document:
        return cast(Document, self.query_one(AnswerArea).document)

    def on_text_area_changed(self) -> None:
        self.say("")
        self.draw_place()

    def on_text_area_selection_changed(self) -> None:
        self.draw_place()

    def draw_place(self) -> None:
        """Say where the model continues, and from what."""
        text, at = self.text, self.at
        bounds = boundaries(text)
        passed = sum(1 for one in bounds if one <= at) - 1
        begun = text[:at]
        parts = [f"from character {at:,} of {len(text):,}"]
        if len(bounds) > 1:
            parts.append(f"after move {max(passed, 0)} of {len(bounds) - 1}")
        if at < len(text):
            parts.append(f"{len(text) - at:,} characters after it are left out")
        if not self.prefix.text.startswith(begun):
            parts.append("changed")
        elif self.prefix.tokens is not None:
            known = self.prefix.tokens.up_to(at) is not None
            parts.append("from the recorded tokens" if known else "not between recorded tokens: tokenised again")
        self.query_one("#cursor-place", Static).update(" · ".join(parts))

    def say(self, text: str) -> None:
        self.query_one("#message", Static).update(one_line(text, 300))

    def action_move(self, steps: int) -> None:
        """Put the cursor on the next or the previous boundary between moves."""
        at, bounds = self.at, boundaries(self.text)
        after, before = [one for one in bounds if one > at], [one for one in bounds if one < at]
        target = (after[0] if after else len(self.text)) if steps > 0 else (before[-1] if before else 0)
        self.put_cursor(target)

    def put_cursor(self, offset: int) -> None:
        lines, row = self._lines, 0
        while row < len(lines) - 1 and offset >= len(lines[row]):
            offset -= len(lines[row])
            row += 1
        column = min(offset, len(self._document.get_line(row)))
        self.query_one(AnswerArea).move_cursor((row, column), center=True)

    # Actions.

    @work(exclusive=True, group="editor")
    async def action_editor(self) -> None:
        """Change the text in $EDITOR; the draft is kept until a model continues."""
        screen = next(one for one in reversed(self.app.screen_stack) if isinstance(one, LabScreen))
        before = self.text
        try:
            draft = await screen.in_thread(write_draft, "answer", before)
            self._drafts.append(draft)
            edited = await edit_draft(screen, draft, before)
        except (O1LabError, OSError) as error:
            self.say(words_of(error))
            return
        if edited is not None:
            self._source = self.query_one(AnswerArea).text = edited
            shorter = min(len(before), len(edited))
            after = next((n for n in range(shorter) if before[-1 - n] != edited[-1 - n]), shorter)
            self.put_cursor(len(edited) - after)  # behind the last change

    def on_option_list_option_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        name = one_line(self.models[event.option_index].label, 60)
        self.query_one("#model-title", Static).update(f"The model that continues: {name} (tab: choose another)")

    def on_option_list_option_selected(self) -> None:
        self.action_go()

    @work(exclusive=True, group="go")
    async def action_go(self) -> None:
        """Let the model continue from the cursor."""
        text, (at, inside) = self.text, snapped(self.text, self.at)
        if inside and self._said != text:
            self._said = text
            self.put_cursor(at)
            self.say(f"The cursor was inside {inside} and is at its start now: ctrl+r again continues from there.")
            return
        marked = self.query_one(OptionList).highlighted
        if marked is None:
            self.say("There is no model that could continue.")
            return
        ref = self.models[marked]
        try:
            if why := cannot_continue(ref):
                self.say(f"{why[0]} Choose another one: tab goes to the models. Your text stays here.")
                return
            screen = next(one for one in reversed(self.app.screen_stack) if isinstance(one, LabScreen))
            prefix = await screen.in_thread(begun, self.prefix, text, at, self.person)
            if not prefix.text.strip():
                self.say("There is no text before the cursor: move it into the text.")
                return
            await self._go(prefix, ref)
        except O1LabError as error:
            self.say(words_of(error))
            return
        self.drop_drafts()
        self.dismiss(True)

    def action_cancel(self) -> None:
        """Close the dialog; ask first if the text was changed."""
        self.close_asking()

    @work(exclusive=True, group="go")
    async def close_asking(self) -> None:
        if self.text != self.prefix.text and not await self.app.push_screen_wait(
            ConfirmDialog("Discard the changed text?", yes="Discard", no="Keep editing", danger=True)
        ):
            return
        self.drop_drafts()
        self.dismiss(False)

    def drop_drafts(self) -> None:
        for draft in self._drafts:
            shutil.rmtree(draft.parent, ignore_errors=True)
        self._drafts.clear()


def begun(original: Prefix, text: str, at: int, person: str) -> Prefix:
    """Return the text before the cursor as a beginning.

    The whole text is compared: the text after the cursor shows what was inserted before it.

    Args:
        original: The answer before the change.
        text: The whole text after it.
        at: The offset of the cursor.
        person: Who changed it.
    """
    return cut(original if original.text.startswith(text[:at]) else changed(original, text, person), at)


@lru_cache(maxsize=2)  # it is asked for at each movement of the cursor
def boundaries(text: str) -> tuple[int, ...]:
    """Return the offsets between the moves of a thought, its start and its end included; empty without a thought."""
    thought = parse.parse(text).thought
    if thought is None:
        return ()
    start, end = thought
    return (*(start + move.start for move in segment(text[start:end])), end)


@lru_cache(maxsize=2)
def with_line_ends(source: str, lines: tuple[str, ...]) -> tuple[str, ...]:
    """Return the lines of a changed text with their ends.

    An area splits its text at all line ends that Python knows, such as U+2028 and the form feed, and joins the lines
    with one kind. Lines before and after the change get their ends in the source back.

    Args:
        source: The text before the change.
        lines: The lines after it, without their ends.
    """
    old = source.splitlines()
    ends = [whole[len(line) :] for whole, line in zip(source.splitlines(keepends=True), old, strict=True)]
    if not source or source.endswith(("\n", "\r")):  # the area has an empty line then
        old, ends = [*old, ""], [*ends, ""]
    fewer = min(len(lines), len(old))
    head = next((n for n in range(fewer) if lines[n] != old[n]), fewer)
    tail = next((n for n in range(fewer - head) if lines[-1 - n] != old[-1 - n]), fewer - head)
    usual = next((end for end in ("\n", "\r\n", "\r") if end in ends), "\n")
    found = [usual] * len(lines)
    found[:head] = ends[:head]
    for n in range(2, tail + 2):  # the ends before the lines after the change
        if len(lines) - n >= head and len(old) - n >= head:
            found[-n] = ends[-n]
    found[-1] = ends[-1] if tail or len(lines) == len(old) == head else ""
    return tuple(line + end for line, end in zip(lines, found, strict=True))
