"""The prompts for teachers: read them, and edit a new version of one in $EDITOR."""

from __future__ import annotations

from typing import Any, ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal
from textual.widgets import OptionList

from o1lab.inference.prompts import Prompt, all_prompts, begin_version, keep_version
from o1lab.paths import assets_dir
from o1lab.text import one_line, visible
from o1lab.widgets.cell_list import CellList
from o1lab.widgets.keys import Binding
from o1lab.widgets.text_pane import TextPane
from screens.base.context import LabContext
from screens.base.editor import run_suspended
from screens.base.screen import LabScreen, task


class PromptsScreen(LabScreen):
    """The list of prompts and the text of the selected one."""

    TITLE = "DISTILL  prompts"
    CSS_PATH: ClassVar[list[Any]] = [assets_dir() / "styles" / "distill.tcss"]
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("e", "edit", "Edit", tooltip="Edit a copy of it in $EDITOR: the next version, in this lab"),
        Binding("tab", "app.focus_next", "Next pane", show=False, tooltip="Go to the list or the text"),
        Binding("escape", "back", "Back", tooltip="Close the prompts"),
    ]

    def __init__(self, context: LabContext) -> None:
        super().__init__(context)
        self.prompts: dict[str, Prompt] = {}
        self.selected: str | None = None

    def compose_body(self) -> ComposeResult:
        with Horizontal():
            yield CellList(id="prompts")
            yield TextPane("prompt", id="prompt")

    def on_mount(self) -> None:
        self.query_one(CellList).focus()
        self.reload()

    @task(exclusive=True, group="read")
    async def reload(self, selected: str | None = None) -> None:
        """Read the prompts again."""
        found = await self.in_thread(all_prompts, self.context.lab)
        self.prompts = {prompt.label: prompt for prompt in found}
        self.selected = selected or self.selected or next(iter(self.prompts), None)
        own = self.context.lab.prompts
        cells = {label: _cell(prompt, own=prompt.path.parent == own) for label, prompt in self.prompts.items()}
        self.query_one(CellList).show(cells, self.selected)
        self._show()

    def _show(self) -> None:
        if (prompt := self.prompts.get(self.selected or "")) is not None:
            self.query_one(TextPane).show(_text(prompt))

    @on(OptionList.OptionHighlighted)
    def _highlighted(self, event: OptionList.OptionHighlighted) -> None:
        self.selected = event.option_id
        self._show()
        self.query_one(TextPane).scroll_home(animate=False)

    @on(OptionList.OptionSelected)
    def _chosen(self) -> None:
        self.query_one(TextPane).focus()

    def action_back(self) -> None:
        """Go from the text to the list, or from the list to the previous screen."""
        if self.query_one(TextPane).has_focus:
            self.query_one(CellList).focus()
        else:
            self.app.pop_screen()

    @task(exclusive=True, group="edit")
    async def action_edit(self) -> None:
        """Edit a copy and save it as a new version of the prompt in the lab if it is valid."""
        if (prompt := self.prompts.get(self.selected or "")) is None:
            return
        draft = await self.in_thread(begin_version, self.context.lab, prompt.label)
        try:
            run_suspended(self, draft)
            made = await self.in_thread(keep_version, draft, prompt)
        except Exception:
            if draft.exists():
                self.app.notify(visible(f"Your text is kept in {draft}."), markup=False, timeout=10)
            raise
        if made is None:
            self.app.notify("The text is unchanged, so there is no new version.", markup=False)
            return
        self.app.notify(visible(f"saved: {made.label} is at {made.path}"), markup=False)
        self.reload(made.label)


def _cell(prompt: Prompt, *, own: bool) -> Text:
    return Text.assemble(
        (one_line(prompt.label, 24), "bold"), "  ", ("this lab" if own else "built-in", "dim"),
        (f"\n  {prompt.method}", "dim"), no_wrap=True,
    )  # fmt: skip


def _text(prompt: Prompt) -> Text:
    text = Text.assemble(
        (visible(prompt.label), "bold"), f"  for {visible(prompt.method)}  ", (prompt.hash, "dim"), "\n"
    )
    text.append(visible(" ".join(prompt.about.split())) + "\n\n")
    for speaker, words in prompt.sections:
        text.append(f"# {visible(speaker)}\n", "bold").append(visible(words) + "\n\n")
    return text.append(visible("/".join(prompt.path.parts[-2:])), "dim")  # below the lab, or the built-in assets
