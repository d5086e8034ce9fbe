"""The prompt of Compare, and prompt sets: choosing one, stepping through it, saving prompts to one."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar, cast

from textual import events
from textual.actions import parse
from textual.binding import Binding as AnyBinding
from textual.binding import BindingType
from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.message import Message
from textual.widgets.text_area import EditResult

from o1lab.chat.rounds.control import LONGEST_SET, prompts_of
from o1lab.format import counted
from o1lab.text import visible
from o1lab.widgets.dialogs import Choice, PickDialog, PromptDialog, among
from o1lab.widgets.keys import Binding
from o1lab.widgets.line_input import PlainArea
from screens.base.screen import LabScreen
from screens.compare.controller import CompareController
from store import conversations, problems
from store.sqlite import Database

_NO_SET = " "
"""The choice of no set: names are not blank."""


class PromptInput(PlainArea):
    """A text area that grows with its text; pasted text keeps its line breaks."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "send", "Send", tooltip="Ask all models"),
        # ctrl+z suspends the app
        Binding("ctrl+underscore", "undo", "Undo", id="undo_typing", show=False, tooltip="Undo the last change"),
        Binding("ctrl+j", "break_line", "New line", key_display="^j", tooltip="Begin a new line of the prompt"),
        Binding("ctrl+b", "ask_instead", "Ask instead", key_display="^b",
                tooltip="Ask this instead of the earlier prompt, on a new branch"),
    ]  # fmt: skip

    @dataclass
    class Sent(Message):
        """Enter was pressed. The text stays until the receiver clears it."""

        text: str
        instead_of: int | None = None
        """The turn of the earlier question that it is asked instead of."""

    def __init__(self, text: str = "", *, placeholder: str = "", id: str | None = None) -> None:
        super().__init__(
            text, placeholder=placeholder, id=id, soft_wrap=True, show_line_numbers=False, compact=True,
            highlight_cursor_line=False,
        )  # fmt: skip
        self.earlier: Callable[[], Sequence[tuple[int, str]]] = list
        """Returns turn and text of the earlier questions, the latest last; the up key goes through them."""
        self.recalled: int | None = None
        """The turn of the question that was called back and is being changed."""
        self._typed = ""

    def write(self, text: str) -> None:
        """Replace the text and put the cursor at its end."""
        self.text = text
        self.move_cursor(self.document.end)

    def clear(self) -> EditResult:
        self.recalled = None
        return super().clear()

    # Earlier questions.

    def recall_turn(self, turn: int) -> None:
        """Write an earlier question, to be asked in other words."""
        found = next((text for known, text in self.earlier() if known == turn), None)
        if found is not None:
            if self.recalled is None:
                self._typed = self.text
            self.recalled = turn
            self.write(found)
            self.refresh_bindings()

    def _recall(self, steps: int) -> bool:
        """Write the question before or after the one that is called back; returns whether there is one."""
        turns = [turn for turn, _ in self.earlier()]
        at = turns.index(self.recalled) if self.recalled in turns else len(turns)
        if not 0 <= at + steps <= len(turns) or (steps > 0 and self.recalled is None):
            return False
        if at + steps < len(turns):
            self.recall_turn(turns[at + steps])
        else:
            self.recalled = None
            self.write(self._typed)
            self.refresh_bindings()
        return True

    def action_cursor_up(self, select: bool = False) -> None:
        if select or not self.cursor_at_first_line or not self._recall(-1):
            super().action_cursor_up(select)

    def action_cursor_down(self, select: bool = False) -> None:
        if select or not self.cursor_at_last_line or not self._recall(1):
            super().action_cursor_down(select)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "ask_instead":
            return self.recalled is not None
        return super().check_action(action, parameters)

    def action_ask_instead(self) -> None:
        self.post_message(self.Sent(self.text, self.recalled))

    async def _on_key(self, event: events.Key) -> None:
        """Handle enter and ctrl+j here: as priority bindings they would run before letters typed earlier."""
        if event.key in ("enter", "ctrl+j") and self.app.focused is self:
            event.stop()
            event.prevent_default()
            if event.key == "enter":
                self.action_send()
            else:
                self.action_break_line()

    def action_send(self) -> None:
        self.post_message(self.Sent(self.text))

    def action_break_line(self) -> None:
        self.insert("\n")


class LetterKeys(Provider):
    """Lists the letter keys that are not active in the prompt. The app itself lists the active keys."""

    def commands(self) -> Iterator[AnyBinding]:
        active, keys = self.screen.active_bindings, cast(LabScreen, self.screen).context.keys
        for default in AnyBinding.make_bindings(self.screen.BINDINGS):
            key = keys.get(default.id or "")
            binding = default if key is None else default.with_key(key)
            may = self.screen.check_action(*parse(binding.action)[1:])
            if binding.description and binding.key not in active and may:
                yield binding

    async def discover(self) -> Hits:
        for binding in self.commands():
            yield DiscoveryHit(self.title(binding), self.run(binding), help=binding.tooltip)

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for binding in self.commands():
            title = self.title(binding)
            if score := matcher.match(title):
                yield Hit(score, matcher.highlight(title), self.run(binding), help=binding.tooltip)

    def title(self, binding: AnyBinding) -> str:
        return f"{binding.description} (esc, then {self.app.get_key_display(binding)})"

    def run(self, binding: AnyBinding) -> partial[Coroutine[Any, Any, None]]:
        return partial(self.screen.run_action, binding.action)


@dataclass(frozen=True)
class PromptSet:
    """The prompts of a set, and the current position."""

    name: str
    prompts: tuple[str, ...]
    at: int = 0

    @property
    def prompt(self) -> str:
        return self.prompts[self.at]


@dataclass
class CompareActions:
    """The base of actions of the Compare screen, which runs them and reports their errors."""

    screen: LabScreen
    controller: CompareController
    prompt: PromptInput

    @property
    def prompt_text(self) -> str:
        """The typed prompt, or the last question; empty without any."""
        session = self.controller.session
        return self.prompt.text.strip() or (session.question() if session is not None else "")


@dataclass
class PromptSets(CompareActions):
    """The lab's prompt sets, and the current one."""

    current: PromptSet | None = None

    def step(self, steps: int) -> None:
        """Go to the next or previous prompt of the set."""
        if self.current is None:
            return
        at = self.current.at + steps
        if 0 <= at < len(self.current.prompts):
            self._use(replace(self.current, at=at))
        else:
            message = "This is the last prompt of the set." if steps > 0 else "This is the first prompt of the set."
            self.screen.notify(message)

    def _use(self, prompt_set: PromptSet) -> None:
        self.current = prompt_set
        self.prompt.write(prompt_set.prompt)
        self.controller.changed()

    async def choose(self) -> None:
        """Choose a set to step through: a saved one, or the problems of one source."""
        choices = await self.screen.read(set_choices)
        if self.current is not None:
            choices.append(Choice(_NO_SET, "no set", f"leave {self.current.name}"))
        dialog = PickDialog("Prompt sets", among(choices), empty="No prompt set yet: w saves the prompt to one.")
        picked = await self.screen.app.push_screen_wait(dialog)
        if picked == _NO_SET:
            self.current = None
            self.controller.changed()
        elif picked is not None:
            prompts = await self.screen.in_thread(prompts_of, self.screen.context.store, picked)
            title = next(one.title for one in choices if one.id == picked)
            self._use(PromptSet(title, tuple(prompts)))
            self.controller.panes.focus_current()

    async def save_prompt(self) -> None:
        """Append the typed prompt, or the last question, to a saved set."""
        if not (text := self.prompt_text):
            self.screen.notify("There is no prompt to save: type one first.")
            return
        sets = await self.screen.read(conversations.prompt_sets)
        proposed = self.current.name if self.current is not None and self.current.name in sets else "prompts"
        name = await self.screen.app.push_screen_wait(
            PromptDialog("Save the prompt to which set?", value=proposed, completions=list(sets))
        )
        name = (name or "").strip()
        if not name:
            return
        prompts = [*sets.get(name, []), text]
        if text in prompts[:-1]:
            self.screen.notify(f"{visible(name)} has this prompt already.", markup=False)
            return
        store = self.screen.context.store
        await self.screen.in_thread(lambda: conversations.save_prompt_set(store.db, name, prompts))
        if self.current is not None and self.current.name == name:
            self.current = replace(self.current, prompts=tuple(prompts))
        self.screen.notify(f"Saved to {visible(name)}, now {counted(len(prompts), 'prompt')}.", markup=False)
        self.controller.changed()


def set_choices(db: Database) -> list[Choice]:
    """Return the saved prompt sets, and the sources of problems; a set hides the source of the same name."""
    saved = conversations.prompt_sets(db)
    found = [Choice(name, name, counted(len(prompts), "prompt")) for name, prompts in saved.items()]
    return found + [
        Choice(name, f"problems of {name}", counted(min(number, LONGEST_SET), "prompt"))
        for name, number in problems.sources(db)
        if name not in saved
    ]
