"""Actions of the Compare screen besides asking: settings, saved conversations, export, training chains, tally."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from o1lab.errors import UsageError
from o1lab.jobs.about import valid_tags
from o1lab.serve.registry import open_model
from o1lab.text import one_line, visible
from o1lab.widgets.dialogs import PreviewDialog, PromptDialog
from o1lab.widgets.typed_ahead import post_held
from screens.base.dialogs import NEAREST, nearest_chains_dialog, write_export
from screens.base.messages import OpenTraces
from screens.compare.dialogs import SettingsDialog
from screens.compare.panes import Selected
from screens.compare.picking import pick_conversation
from screens.compare.prompt_sets import CompareActions
from screens.compare.rounds import RoundsScreen
from screens.compare.together import differences
from store import conversations, prompt_tags
from store.conversations import Conversation
from store.sqlite import Database

if TYPE_CHECKING:
    from o1lab.chat.nearest import ChainIndex, SimilarRow


@dataclass
class ConversationActions(CompareActions):
    """Actions on the conversation and its answers."""

    _chains: tuple[str, ChainIndex] | None = None

    # Settings.

    async def change_settings(self) -> None:
        """Change the settings of all panes; they apply from the next question on."""
        controller = self.controller
        chosen = await self.screen.app.push_screen_wait(SettingsDialog(controller.settings))
        if chosen is not None:
            await controller.change(replace(chosen, blind=controller.settings.blind, panes=controller.settings.panes))
            await self._set_blind(chosen.blind)

    async def change_pane(self) -> None:
        """Change the settings of the current pane alone; they apply from the next answer on."""
        controller, pane = self.controller, self.controller.current_pane
        place = controller.order.index(pane) + 1
        dialog = SettingsDialog(controller.settings.of(pane), f"Settings of pane {place} alone", one_pane=True)
        chosen = await self.screen.app.push_screen_wait(dialog)
        if chosen is not None:
            await controller.change(controller.settings.with_pane(pane, chosen))

    async def double(self) -> None:
        """Add a pane with the current pane's model, and ask for the settings of the new pane."""
        controller, pane = self.controller, self.controller.current_pane
        refs, settings = controller.refs, controller.settings
        dialog = SettingsDialog(settings.of(pane), f"{refs[pane].label} again, with other settings", one_pane=True)
        chosen = await self.screen.app.push_screen_wait(dialog)
        if chosen is None:
            return
        question = controller.session.question() if controller.session is not None else ""
        own = [settings.own(at) for at in range(len(refs))]
        mine = settings.with_pane(len(refs), chosen).own(len(refs))
        await controller.begin([*refs, refs[pane]], [*own, mine])
        self.ask_again(question)

    def ask_again(self, question: str) -> None:
        """Fill in the last question of the conversation before, if nothing is typed."""
        if question and not self.prompt.text:
            self.prompt.text = question
            self.screen.notify("A new conversation; the previous one is saved. Enter asks its last question again.")
        self.prompt.focus()

    async def toggle_blind(self) -> None:
        """Turn blind on or off: the names of the models are hidden until the vote."""
        await self._set_blind(not self.controller.settings.blind)

    async def _set_blind(self, blind: bool) -> None:
        """Start a new conversation, since an answer seen with its model's name cannot be judged blindly."""
        controller = self.controller
        if blind != controller.settings.blind:
            asked = controller.turn > 0
            await controller.close()
            controller.settings = replace(controller.settings, blind=blind)
            await controller.begin(controller.refs)
            if asked:
                self.screen.notify(
                    f"Blind is {'on' if blind else 'off'}, in a new conversation; the previous one is saved."
                )
        controller.changed()

    # Conversations.

    async def open_saved(self) -> None:
        """Search the saved conversations and continue one."""
        if (picked := await pick_conversation(self.screen)) is not None:
            await self.controller.reopen(picked)
            self.controller.changed()

    async def export(self) -> None:
        """Write the conversation as Markdown to the lab's exports."""
        session = self.controller.session
        if session is None:
            return
        page = await self.screen.read(_markdown, session.record)
        path = self.screen.context.lab.exports / _file_name(session.record)
        await self.screen.in_thread(write_export, path, page)
        self.screen.notify(f"Exported to {visible(str(path))}", markup=False)

    # Actions on an answer.

    async def add_trace(self) -> None:
        """Add the current pane's answer to the traces."""
        from o1lab.chat.export import add_to_traces

        chosen, session = self.controller.selected(), self.controller.session
        if chosen is None or session is None:
            return
        store = self.screen.context.store
        trace, added = await self.screen.in_thread(add_to_traces, store, session.record, chosen.message, chosen.ref)
        self.screen.notify(
            f"Added to the traces as {trace[:8]}." if added else f"The trace exists already: {trace[:8]}."
        )

    async def show_chains(self) -> None:
        """List the training chains most similar to this student's answer; enter opens one in Traces."""
        chosen = self.controller.selected()
        if chosen is None or chosen.ref.run_id is None:
            return
        near = await self.screen.in_thread(self._nearest, chosen.ref.run_id, chosen)
        picked = await self.screen.app.push_screen_wait(nearest_chains_dialog(chosen.ref.run_id, near))
        if picked is not None:
            post_held(self.screen, OpenTraces(trace_id=picked))

    def _nearest(self, run: str, chosen: Selected) -> list[SimilarRow]:
        from o1lab.chat.nearest import ChainIndex

        if self._chains is None or self._chains[0] != run:
            self._chains = (run, ChainIndex(self.screen.context.lab.runs / run))
        message = chosen.message
        return self._chains[1].nearest(chosen.question, message.thought, message.content, limit=NEAREST)

    async def show_prompt(self) -> None:
        """Show the prompt of the last question as the current pane's model gets it, with the chat template applied."""
        from o1lab.inference.chat_client import rendered_prompt

        pane, session = self.controller.current_pane, self.controller.session
        ref = self.controller.refs[pane]
        if session is not None and session.turn:
            messages = session.messages_for(pane)
        else:
            question = {"role": "user", "content": self.prompt.text}
            messages = ref.prompt.conversation([question], system=self.controller.settings.of(pane).system)
        remote = ref.endpoint is not None or ref.record is not None
        opened = await open_model(ref, None if remote else self.screen.context.servers)
        rendered = await rendered_prompt(opened, messages)
        title = f"The prompt as {ref.label} sees it"
        if rendered is None:
            title = f"{ref.label} does not report its template; these messages are sent"
            rendered = "\n\n".join(f"[{message['role']}]\n{message['content']}" for message in messages)
        await self.screen.app.push_screen_wait(PreviewDialog(title, rendered))

    # The answers of a turn together, and the tags of its prompt.

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
        if not (prompt := self.prompt_text):
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


def _markdown(db: Database, record: Conversation) -> str:
    from o1lab.chat.export import export_markdown

    votes = conversations.votes(db, conversation_id=record.id)
    return export_markdown(record, conversations.messages(db, record.id, branches=True), votes)


def _file_name(record: Conversation) -> str:
    slug = re.sub(r"[^a-z0-9]+", "-", record.title.lower()).strip("-")[:40] or "conversation"
    return f"{record.created_at[:10]}-{slug}-{record.id[:6]}.md"
