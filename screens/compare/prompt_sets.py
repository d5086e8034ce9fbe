"""Prompt sets: choosing one, stepping through it, saving prompts to one."""

from __future__ import annotations

from dataclasses import dataclass, replace

from o1lab.text import visible
from o1lab.widgets.dialogs import Choice, PickDialog, PromptDialog, among
from screens.base.screen import LabScreen
from screens.compare.controller import CompareController
from screens.compare.prompt import PromptInput
from store import conversations, problems
from store.sqlite import Database

SET_LIMIT = 1000
"""Maximum number of prompts of a set made of the lab's problems."""


@dataclass(frozen=True)
class PromptSet:
    """The prompts of a set, and the current position."""

    name: str
    prompts: tuple[str, ...]
    at: int = 0

    @property
    def prompt(self) -> str:
        return self.prompts[self.at]


class PromptSets:
    """The lab's prompt sets, and the current one."""

    def __init__(self, screen: LabScreen, controller: CompareController, prompt: PromptInput) -> None:
        self.screen = screen
        self.controller = controller
        self.prompt = prompt
        self.current: PromptSet | None = None

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
        saved = await self.screen.read(conversations.prompt_sets)
        sources = await self.screen.read(problems.sources)
        choices = [Choice(f"set:{name}", name, _prompts(len(prompts))) for name, prompts in saved.items()]
        choices += [Choice(f"source:{name}", f"problems of {name}", _prompts(n)) for name, n in sources]
        if self.current is not None:
            choices.append(Choice("", "no set", f"leave {self.current.name}"))
        dialog = PickDialog("Prompt sets", among(choices), empty="No prompt set yet: w saves the prompt to one.")
        picked = await self.screen.app.push_screen_wait(dialog)
        if picked is None:
            return
        kind, _, name = picked.partition(":")
        if kind == "source":
            prompts = await self.screen.read(_statements, name)
            name = f"problems of {name}"
        else:
            prompts = saved.get(name, [])
        if prompts:
            self._use(PromptSet(name, tuple(prompts)))
            self.controller.panes.focus_current()
        else:
            self.current = None
            self.controller.changed()

    async def save_prompt(self) -> None:
        """Append the typed prompt, or the last question, to a saved set."""
        session = self.controller.session
        text = self.prompt.text.strip() or (session.question() if session is not None else "")
        if not text:
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
        self.screen.notify(f"Saved to {visible(name)}, now {_prompts(len(prompts))}.", markup=False)
        self.controller.changed()


def _statements(db: Database, source: str) -> list[str]:
    return [problem.statement for problem in problems.page(db, source=source, limit=SET_LIMIT)]


def _prompts(count: int) -> str:
    return f"{count:,} prompt{'' if count == 1 else 's'}"
