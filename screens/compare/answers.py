"""Actions of the Compare screen on the answers of a turn together, and on the tags of its prompt."""

from __future__ import annotations

from o1lab.errors import UsageError
from o1lab.jobs.about import valid_tags
from o1lab.text import one_line
from o1lab.widgets.dialogs import PromptDialog
from screens.base.screen import LabScreen
from screens.compare.controller import CompareController
from screens.compare.prompt_sets import PromptInput
from screens.compare.rounds import RoundsScreen
from screens.compare.together import differences
from store import prompt_tags


class AnswerActions:
    """Actions on what the panes of ``controller`` show. The screen that runs them reports their errors."""

    def __init__(self, screen: LabScreen, controller: CompareController, prompt: PromptInput) -> None:
        self.screen = screen
        self.controller = controller
        self.prompt = prompt

    async def scroll_together(self) -> None:
        """Scroll the panes together from now on, or each by itself."""
        panes = self.controller.panes
        panes.together = not panes.together
        how = "together: same turn, same part" if panes.together else "each by itself"
        self.screen.notify(f"The panes scroll {how}.")

    async def word_diff(self) -> None:
        """Show the word diff of the current pane's answer and that of the pane to the right, or the panes again."""
        controller, panes = self.controller, self.controller.panes
        if panes.diffing or controller.session is None:
            panes.hide_diff()
            return
        order = controller.order
        here = panes.current
        there = next(
            (
                place
                for step in range(1, len(order))
                if controller.session.answer(order[place := (here + step) % len(order)])
            ),
            None,
        )
        one = controller.session.answer(order[here])
        other = controller.session.answer(order[there]) if there is not None else None
        if one is None or other is None or there is None:
            raise UsageError("There are not two answers to compare.", "Wait until they are complete.")
        found = await self.screen.in_thread(differences, one, other)
        panes.show_diff((f"answer {here + 1}", f"answer {there + 1}"), found)

    async def rounds(self) -> None:
        """Open the rounds: prompt sets asked in the background."""
        self.screen.app.push_screen(
            RoundsScreen(self.screen.context, list(self.controller.refs), self.controller.settings)
        )

    async def tags(self) -> None:
        """Edit the tags of the last question, or of the typed prompt."""
        session = self.controller.session
        prompt = self.prompt.text.strip() or (session.question() if session is not None else "")
        if not prompt:
            self.screen.notify("There is no prompt to tag: type one first.")
            return
        given = await self.screen.read(prompt_tags.given, prompt)
        known = await self.screen.read(prompt_tags.known)
        typed = await self.screen.app.push_screen_wait(
            PromptDialog(
                f"Tags of: {one_line(prompt, 60)}",
                value=", ".join(given),
                completions=known,
                multiple=True,
                placeholder="with commas between them",
            )
        )
        if typed is None:
            return
        tags = valid_tags(list(filter(str.strip, typed.split(","))), reserved=prompt_tags.RESERVED)
        store = self.screen.context.store
        await self.screen.in_thread(lambda: prompt_tags.give(store.db, prompt, tags))
        self.screen.notify("Tags saved; # counts votes by tag." if tags else "Tags removed.")
