"""What the Compare screen does besides talking: settings, prompt sets, saved conversations, and where answers lead."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from textual import work

from o1lab.errors import LabError, O1LabError
from o1lab.files import write_text
from o1lab.serve.registry import ModelRef, open_model
from o1lab.text import one_line, visible
from screens.base.messages import OpenTraces
from screens.base.screen import LabScreen
from store import conversations, problems
from store.errors import StoreError

if TYPE_CHECKING:
    from o1lab.chat.nearest import ChainIndex, Near
    from screens.compare.controller import CompareController
    from screens.compare.panes import Panes
    from screens.compare.prompt import PromptInput

NEAREST = 12
CONVERSATIONS = 200
SET_LIMIT = 1000
FAULTS = (O1LabError, StoreError, OSError)


@dataclass(frozen=True)
class PromptSet:
    """A set of prompts that is stepped through, and the place in it."""

    name: str
    prompts: tuple[str, ...]
    at: int = 0

    @property
    def prompt(self) -> str:
        return self.prompts[self.at]


class ConversationActions(LabScreen):
    """The actions around a conversation; the screen itself brings the panes and the talk."""

    talk: CompareController
    panes: Panes
    prompt_set: PromptSet | None = None
    _chains: tuple[str, ChainIndex] | None = None

    @property
    def prompt(self) -> PromptInput:
        raise NotImplementedError

    def refresh_state(self) -> None:
        raise NotImplementedError

    async def begin(self, refs: Sequence[ModelRef]) -> None:
        raise NotImplementedError

    # Settings.

    @work(exclusive=True, group="dialog")
    async def action_settings(self) -> None:
        """Change what all panes are asked with, from the next question on."""
        from screens.compare.dialogs import SettingsDialog

        chosen = await self.app.push_screen_wait(SettingsDialog(self.talk.settings))
        if chosen is None:
            return
        blind, self.talk.settings = chosen.blind, replace(chosen, blind=self.talk.settings.blind)
        await self.set_blind(blind)

    @work(exclusive=True, group="dialog")
    async def action_blind(self) -> None:
        """Hide who answers until the vote, or stop hiding it."""
        await self.set_blind(not self.talk.settings.blind)

    async def set_blind(self, blind: bool) -> None:
        """Blind or not is for a whole conversation: what was seen with its name cannot be judged blindly."""
        if blind != self.talk.settings.blind:
            asked = self.talk.turn > 0
            await self.talk.close()
            self.talk.settings = replace(self.talk.settings, blind=blind)
            await self.begin(self.talk.refs)
            if asked:
                self.notify(f"Blind is {'on' if blind else 'off'}, in a new conversation; the one before is saved.")
        self.refresh_state()

    # Prompt sets.

    def use_prompt(self, text: str) -> None:
        """Put a prompt into the prompt line, ready to be sent."""
        self.prompt.text = text
        self.prompt.move_cursor(self.prompt.document.end)

    def action_step(self, steps: int) -> None:
        """The next or previous prompt of the set."""
        held = self.prompt_set
        if held is None:
            return
        at = held.at + steps
        if not 0 <= at < len(held.prompts):
            self.notify("That was the last prompt of the set." if steps > 0 else "This is its first prompt.")
            return
        self.prompt_set = replace(held, at=at)
        self.use_prompt(self.prompt_set.prompt)
        self.refresh_state()

    @work(exclusive=True, group="dialog")
    async def action_prompt_sets(self) -> None:
        """Choose a set to step through: a saved one, or the lab's own problems."""
        from screens.compare.dialogs import Choice, PickDialog, among

        db = self.context.store

        def read() -> tuple[dict[str, list[str]], list[tuple[str, int]]]:
            return conversations.prompt_sets(db.db), problems.sources(db.db)

        try:
            saved, sources = await self.in_thread(read)
        except FAULTS as error:
            self.report(error)
            return
        choices = [Choice(f"set:{name}", name, _prompts(len(prompts))) for name, prompts in saved.items()]
        choices += [Choice(f"source:{name}", f"problems of {name}", _prompts(n)) for name, n in sources]
        if self.prompt_set is not None:
            choices.append(Choice("", "no set", f"leave {self.prompt_set.name}"))
        dialog = PickDialog("Prompt sets", among(choices), empty="No set yet: w saves the prompt to one.")
        picked = await self.app.push_screen_wait(dialog)
        if picked is None:
            return
        kind, _, name = picked.partition(":")
        if kind == "source":
            page = await self.in_thread(lambda: problems.page(db.db, source=name, limit=SET_LIMIT))
            prompts = tuple(problem.statement for problem in page)
            name = f"problems of {name}"
        else:
            prompts = tuple(saved.get(name, ()))
        self.prompt_set = PromptSet(name, prompts) if prompts else None
        if self.prompt_set is not None:
            self.use_prompt(self.prompt_set.prompt)
            self.action_leave_prompt()
        self.refresh_state()

    def action_leave_prompt(self) -> None:
        raise NotImplementedError

    @work(exclusive=True, group="dialog")
    async def action_save_prompt(self) -> None:
        """Put the prompt being written, or the last question, at the end of a saved set."""
        from o1lab.widgets.dialogs import PromptDialog

        text = self.prompt.text.strip() or (self.talk.session.question() if self.talk.session is not None else "")
        if not text:
            self.notify("There is no prompt to save: write one, or ask something first.")
            return
        db = self.context.store
        sets = await self.in_thread(lambda: conversations.prompt_sets(db.db))
        held = self.prompt_set.name if self.prompt_set is not None else ""
        name = await self.app.push_screen_wait(
            PromptDialog(
                "Save the prompt to which set?", value=held if held in sets else "prompts", completions=list(sets)
            )
        )
        if not name or not name.strip():
            return
        name = name.strip()
        prompts = [*sets.get(name, []), text]
        if text in prompts[:-1]:
            self.notify(f"{visible(name)} has this prompt already.", markup=False)
            return
        try:
            await self.in_thread(lambda: conversations.save_prompt_set(db.db, name, prompts))
        except FAULTS as error:
            self.report(error)
            return
        if self.prompt_set is not None and self.prompt_set.name == name:
            self.prompt_set = replace(self.prompt_set, prompts=tuple(prompts))
        self.notify(f"Saved to {visible(name)}, now {_prompts(len(prompts))}.", markup=False)
        self.refresh_state()

    # Conversations.

    @work(exclusive=True, group="dialog")
    async def action_conversations(self) -> None:
        """Search the saved conversations and go on with one."""
        from screens.compare.dialogs import Choice, PickDialog

        db = self.context.store

        async def search(text: str) -> list[Choice]:
            found = await self.in_thread(lambda: conversations.page(db.db, text=text.strip(), limit=CONVERSATIONS))
            return [
                Choice(
                    one.id,
                    f"{one.created_at[:16].replace('T', ' ')}  {one_line(one.title, 60)}",
                    ", ".join(pane.model for pane in one.panes),
                )
                for one in found
            ]

        picked = await self.app.push_screen_wait(
            PickDialog("Conversations", search, empty="None says that.", hint="searches title, questions and answers")
        )
        if picked is None:
            return
        try:
            await self.talk.reopen(picked)
        except FAULTS as error:
            self.report(error)
        self.refresh_state()

    @work(exclusive=True, group="export")
    async def action_export(self) -> None:
        """Write the conversation as Markdown into the lab's exports."""
        from o1lab.chat.export import export_markdown

        session = self.talk.session
        if session is None:
            return
        record, db = session.record, self.context.store

        def write() -> Path:
            said = conversations.messages(db.db, record.id)
            page = export_markdown(record, said, conversations.votes(db.db, conversation_id=record.id))
            slug = re.sub(r"[^a-z0-9]+", "-", record.title.lower()).strip("-")[:40] or "conversation"
            path = self.context.lab.exports / f"{record.created_at[:10]}-{slug}-{record.id[:6]}.md"
            write_text(path, page)
            return path

        try:
            path = await self.in_thread(write)
        except OSError as error:
            self.report(LabError(f"The conversation cannot be written: {error.strerror}.", "Make room, or its folder."))
            return
        except FAULTS as error:
            self.report(error)
            return
        self.notify(f"Exported to {visible(str(path))}", markup=False)

    # Where an answer leads.

    @work(exclusive=True, group="export")
    async def action_add_trace(self) -> None:
        """Keep the current pane's answer as a trace of its question."""
        from o1lab.chat.export import add_to_traces

        chosen, session = self.talk.selected(), self.talk.session
        if chosen is None or session is None:
            return
        store, record = self.context.store, session.record
        try:
            trace, added = await self.in_thread(lambda: add_to_traces(store, record, chosen.message, chosen.ref))
        except FAULTS as error:
            self.report(error)
            return
        self.notify(
            f"Added to the traces as {trace[:8]}." if added else f"It is among the traces already: {trace[:8]}."
        )

    @work(exclusive=True, group="dialog")
    async def action_chains(self) -> None:
        """The training chains most like this student's answer; enter opens one in Traces."""
        from screens.compare.dialogs import Choice, PickDialog, among

        chosen = self.talk.selected()
        if chosen is None or chosen.ref.run_id is None:
            return
        run = chosen.ref.run_id

        def look() -> list[Near]:
            message = chosen.message
            return self._index(run).nearest(chosen.question, message.thought, message.content, limit=NEAREST)

        try:
            near = await self.in_thread(look)
        except FAULTS as error:
            self.report(error)
            return
        choices = [
            Choice(one.trace_id, f"{one.score:5.1f}  {one_line(one.prompt, 60)}", one_line(one.thought, 200))
            for one in near
        ]
        picked = await self.app.push_screen_wait(
            PickDialog(
                f"Chains that taught {run}, the nearest first",
                among(choices),
                empty="None of its chains is like this.",
                hint="Score: how much of the words agree, 100 is all. Alike is not caused by: it says where to look.",
            )
        )
        if picked is not None:
            self.post_message(OpenTraces(trace_id=picked))

    def _index(self, run: str) -> ChainIndex:
        from o1lab.chat.nearest import ChainIndex

        if self._chains is None or self._chains[0] != run:
            self._chains = (run, ChainIndex(self.context.lab.runs / run))
        return self._chains[1]

    @work(exclusive=True, group="dialog")
    async def action_show_prompt(self) -> None:
        """The prompt of the last question as the current pane's model sees it, its template applied."""
        from o1lab.inference.chat_client import rendered_prompt
        from o1lab.widgets.dialogs import PreviewDialog

        pane, session = self.talk.current_pane, self.talk.session
        ref = self.talk.refs[pane]
        if session is not None and session.turn:
            messages = session.messages_for(pane)
        else:
            system = self.talk.settings.system
            messages = [{"role": "system", "content": system}] if system else []
            messages.append({"role": "user", "content": self.prompt.text})
        remote = ref.endpoint is not None or ref.record is not None
        try:
            opened = await open_model(ref, None if remote else self.context.servers)
            rendered = await rendered_prompt(opened, messages)
        except FAULTS as error:
            self.report(error)
            return
        if rendered is None:
            title = f"{ref.label} does not tell its template; these messages are sent"
            rendered = "\n\n".join(f"[{message['role']}]\n{message['content']}" for message in messages)
        else:
            title = f"The prompt as {ref.label} sees it"
        await self.app.push_screen_wait(PreviewDialog(title, rendered))

    @work(exclusive=True, group="dialog")
    async def action_tally(self) -> None:
        """Every model that was voted on in this lab."""
        from o1lab.chat.votes import tally
        from o1lab.widgets.dialogs import PreviewDialog

        votes = await self.talk.tally()
        rows = [f"{'wins':>6}{'losses':>8}{'ties':>6}{'none good':>11}{'shown':>7}  model"]
        rows += [f"{s.wins:>6}{s.losses:>8}{s.ties:>6}{s.none:>11}{s.shown:>7}  {s.model}" for s in tally(votes)]
        blind = sum(vote.blind for vote in votes)
        rows += ["", f"{len(votes)} votes, {blind} of them blind. The last vote of each annotator on a turn counts."]
        await self.app.push_screen_wait(PreviewDialog("Preference votes", "\n".join(rows)))


def _prompts(count: int) -> str:
    return f"{count:,} prompt{'' if count == 1 else 's'}"
