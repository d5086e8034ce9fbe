"""Branches of the conversation in Compare: other versions, the tree of all, and continuing from inside an answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

from textual.binding import BindingType

from o1lab.chat import prefixes
from o1lab.chat.chains import open_chain, read_chain
from o1lab.chat.conversation import ConversationSession
from o1lab.chat.prefixes import Prefix
from o1lab.serve.registry import ModelRef, list_models
from o1lab.text import one_line
from o1lab.widgets.dialogs import Choice, ListDialog, among
from o1lab.widgets.keys import Binding
from screens.compare.edit_dialog import EditDialog
from screens.compare.prompt_sets import CompareActions
from store import branches
from store.conversations import Message


class TreeDialog(ListDialog[tuple[str, str]]):
    """All questions and answers of a conversation; returns what to do (show or edit) and the id of the message."""

    KEYS = "enter show · ctrl+e edit and continue · esc back"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+e", "edit", "Edit and continue", id="edit_answer", priority=True,
                tooltip="Change this answer, or ask this question in other words"),
    ]  # fmt: skip

    def __init__(self, choices: Sequence[Choice]) -> None:
        super().__init__("Branches", among(choices), empty="No message matches.")

    def action_take(self) -> None:
        if (choice := self.current) is not None:
            self.dismiss(("show", choice.id))

    def action_edit(self) -> None:
        """Return the message, to edit it."""
        if (choice := self.current) is not None:
            self.dismiss(("edit", choice.id))


class Branching(CompareActions):
    """Actions on the branches of the conversation."""

    # Versions.

    async def step(self, steps: int) -> None:
        """Show another version of the current pane's last answer; of the last question if the answer has only one."""
        session = self.controller.session
        if session is None or self.controller.busy:
            return
        pane, turn = self.controller.current_pane, session.turn
        of_answer = session.version(pane, turn).count > 1
        to = session.other_answer(pane, turn, steps) if of_answer else session.other_question(turn, steps)
        if to is None:
            what = "answer" if of_answer else "question"
            only = session.version(pane if of_answer else None, turn).count < 2
            which = "only" if only else "last" if steps > 0 else "first"
            self.screen.notify(f"This is the {which} version of the {what}.")
        else:
            await self.show(to)

    async def show(self, message: Message) -> None:
        """Show the branch of a message."""
        session = self.controller.session
        if session is None or self.controller.busy:
            return
        await session.walk(message)
        await self.controller.show_branch()

    async def tree(self) -> None:
        """Choose a question or an answer of any branch; show it, or edit it and go on from there."""
        session = self.controller.session
        if session is None or self.controller.busy:
            return
        picked = await self.screen.app.push_screen_wait(TreeDialog(list(tree_choices(session))))
        message = next((one for one in session.history if picked is not None and one.id == picked[1]), None)
        if picked is None or message is None:
            return
        await self.show(message)
        if picked[0] == "edit" and message.pane is None:
            self.prompt.recall_turn(message.turn)
            self.screen.set_focus(self.prompt)
        elif picked[0] == "edit":
            self.edit(message)

    # Continuing from inside an answer.

    def edit_current(self) -> None:
        """Open the current pane's last answer: a model continues from the cursor."""
        selected = self.controller.selected()
        if selected is not None:
            self.edit(selected.message)

    def edit(self, message: Message) -> None:
        """Open an answer: a model continues from the cursor."""
        session = self.controller.session
        if session is None or message.pane is None:
            return
        pane, mine = message.pane, self.controller.refs[message.pane]

        async def more() -> tuple[Prefix, list[ModelRef]]:
            return await session.beginning(message, mine.id), await self._models()

        async def go(prefix: Prefix, ref: ModelRef) -> None:
            await self.continue_answer(pane, prefix, ref, turn=message.turn)

        self.screen.app.push_screen(
            EditDialog(
                prefixes.of_answer(message, mine.id),
                self.controller.refs,
                str(message.settings.get("model", mine.id)),
                person=self.screen.context.annotator,
                more=more,
                go=go,
            )
        )

    async def continue_chain(self, trace_id: str, at: int | None) -> None:
        """Open a recorded chain: a model continues from the cursor, in a new conversation.

        Args:
            trace_id: The trace.
            at: The initial position of the cursor in its raw text; None for the end.
        """
        chain = await self.screen.in_thread(read_chain, self.screen.context.store, trace_id)

        async def more() -> tuple[Prefix, list[ModelRef]]:
            return chain.whole, await self._models()

        async def go(prefix: Prefix, ref: ModelRef) -> None:
            await self.controller.begin([ref])
            session = await self.controller.created(chain.question)
            await open_chain(session, chain)
            self.controller.borrow(session.settings)
            await self.continue_answer(0, prefix, ref)

        refs, me = self.controller.refs, self.screen.context.annotator
        first = refs[-1].id if refs else ""
        self.screen.app.push_screen(EditDialog(chain.whole, refs, first, person=me, more=more, go=go, at=at))

    async def _models(self) -> list[ModelRef]:
        context = self.screen.context
        return await self.screen.in_thread(list_models, context.lab, context.config)

    async def continue_answer(self, pane: int, prefix: Prefix, ref: ModelRef, *, turn: int | None = None) -> None:
        """Save a beginning as another version of an answer, and show how a model continues from it."""
        controller, session = self.controller, self.controller.session
        if session is None:
            return
        session.settings = controller.settings
        await session.continue_from(pane, prefix, turn=turn, ref=ref)
        controller.ballot = None
        for at, state in enumerate(controller.states):
            state.message = session.answer(at)
        controller.draw()
        controller.stream(pane).drop_last_assistant()
        controller.expect(pane)
        controller.name_panes()
        controller.changed()


def tree_choices(session: ConversationSession) -> Iterator[Choice]:
    """Yield a line for each question and each version of its answers, in the order of the tree."""
    history, path = session.history, set(session.path)
    asked = [one for one in history if one.pane is None]

    def below(turn: int, depth: int) -> Iterator[Choice]:
        after = sorted((one for one in asked if one.before == turn), key=lambda one: one.turn)
        inner = depth + (len(after) > 1)
        for one in after:
            versions = branches.questions(history, one.turn)
            place = f" {versions.index(one) + 1}/{len(versions)}" if len(versions) > 1 else ""
            mark = "●" if one.turn in path else "○"
            yield Choice(one.id, f"{'  ' * inner}{mark} > {one_line(one.content, 60)}{place}")
            for pane, ref in enumerate(session.refs):
                known = branches.answers(history, pane, one.turn)
                for number, answer in enumerate(known, 1):
                    is_shown = "●" if one.turn in path and answer.shown else "○"
                    number_of = f" {number}/{len(known)}" if len(known) > 1 else ""
                    name = f"model {pane + 1}" if session.settings.blind else one_line(ref.label, 24)
                    text = one_line((answer.content or answer.thought).strip(), 50)
                    several = prefixes.described(answer.spans) if prefixes.by_others(answer.spans, ref.id) else ""
                    writers = "" if session.settings.blind else several
                    yield Choice(answer.id, f"{'  ' * inner}  {is_shown} {name}{number_of}: {text}", writers)
            yield from below(one.turn, inner)

    yield from below(0, 0)
