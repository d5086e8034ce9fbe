"""The controller of a conversation: it draws the events of the session on the panes, with names hidden if blind."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from o1lab.chat.conversation import ConversationSession
from o1lab.chat.panes import TITLE_LENGTH, PaneEvent, Saved, Settings, Verifier
from o1lab.chat.prefixes import by_others
from o1lab.chat.votes import last_vote, seen_turns
from o1lab.inference.calls import RequestError
from o1lab.inference.events import Delta, Done, Failed, Noted, Recast, Started
from o1lab.serve.endpoints import ModelAddress
from o1lab.serve.registry import ModelRef, find_model, open_model
from o1lab.text import one_line
from o1lab.widgets.stream_pane import StreamPane
from screens.base.context import LabContext
from screens.compare.panes import Panes, Selected, draw_answer, draw_failure, draw_notes, draw_turns
from screens.compare.status import PaneState, draw_titles, own_settings
from store import conversations

if TYPE_CHECKING:
    from o1lab.inference.chat_client import ChatClient


class CompareController:
    """Owns the session and draws it.

    Panes have the numbers of the session; places count from the left. They differ if the conversation is blind.
    """

    def __init__(
        self, panes: Panes, context: LabContext, *, changed: Callable[[], None], verifier: Verifier | None
    ) -> None:
        """Create the controller.

        Args:
            panes: The panes.
            context: The lab.
            changed: Called after the state changed, since other actions may be possible then.
            verifier: Verifies answers to problems of the lab.
        """
        self.panes = panes
        self.context = context
        self.refs: list[ModelRef] = []
        self.settings = Settings()
        self._own: Settings | None = None
        """The settings to restore after a conversation that has the system prompt of a recorded chain."""
        self.session: ConversationSession | None = None
        self.states: list[PaneState] = []
        self.seen_turns: set[int] = set()
        """The turns that were shown with the names of the models, so that no vote on them is blind."""
        self.ballot: conversations.Vote | None = None
        """Your vote on this turn."""
        self.changed = changed
        self._verifier = verifier
        self._client: ChatClient | None = None

    # State.

    @property
    def turn(self) -> int:
        return self.session.turn if self.session is not None else 0

    @property
    def busy(self) -> bool:
        return any(state.busy for state in self.states)

    @property
    def seen(self) -> bool:
        return self.turn in self.seen_turns

    @property
    def hidden(self) -> bool:
        """Whether names and figures are hidden: blind, and no vote on this turn until now, not even a withdrawn one."""
        return self.settings.blind and not self.seen and self.turn > 0

    @property
    def order(self) -> list[int]:
        """The pane in each place."""
        return self.session.order() if self.session is not None else list(range(len(self.refs)))

    @property
    def current_pane(self) -> int:
        return self.order[min(self.panes.current, len(self.refs) - 1)]

    @property
    def votable(self) -> bool:
        session = self.session
        return session is not None and sum(session.answer(pane) is not None for pane in self.order) > 1

    def stream(self, pane: int) -> StreamPane:
        return self.panes.places[self.order.index(pane)]

    def selected(self) -> Selected | None:
        """Return the last answer of the current pane; None if it is not saved yet."""
        if self.session is None or not self.refs:
            return None
        pane = self.current_pane
        message = self.session.answer(pane)
        if message is None or self.states[pane].busy:
            return None
        return Selected(self.refs[pane], self.session.question(), message)

    # The conversation.

    async def begin(self, refs: Sequence[ModelRef], own: Sequence[dict[str, Any]] | None = None) -> None:
        """Start a conversation with these models; it is saved with its first question.

        Args:
            refs: The model of each pane.
            own: The settings in which each pane differs from the others; None: a model keeps those it had.
        """
        await self.close()
        panes = own_settings(self.refs, self.settings, refs) if own is None else own
        self.settings = replace(self.settings, panes=tuple(panes))
        self.refs = list(refs)
        await self._set_up()

    async def reopen(self, identity: str) -> None:
        """Continue a saved conversation.

        Raises:
            NotFoundError: There is no such conversation.
        """
        session = await ConversationSession.resume(
            self.context.store,
            identity,
            lambda model: find_model(self.context.lab, model, self.context.config),
            opener=self._open,
            listener=self._on_event,
            client=self._connections(),
            verifier=self._verifier,
        )
        store, me = self.context.store, self.context.annotator
        seen = await asyncio.to_thread(seen_turns, store, session.record.id, session.history, me)
        await self.close()
        self.session, self.refs, self.settings, self.seen_turns = session, session.refs, session.settings, seen
        await self._set_up()
        await self.show_branch()

    async def show_branch(self) -> None:
        """Draw the branch that the session shows now, with your vote on its last turn."""
        session = self.session
        if session is None:
            return
        for pane, state in enumerate(self.states):
            state.message, state.unsaved = session.answer(pane), False
            state.phase = "ended" if state.message is not None else "idle"
        store, me = self.context.store, self.context.annotator
        self.ballot = await asyncio.to_thread(last_vote, store, session.record.id, session.turn, me)
        self.draw()
        self.changed()

    async def _set_up(self) -> None:
        self.states = [PaneState() for _ in self.refs]
        await self.panes.set_count(len(self.refs))
        self.name_panes()
        self.panes.call_after_refresh(self.name_panes)  # when their widths are known
        self.changed()

    async def change(self, settings: Settings) -> None:
        """Change the settings; they are saved with the conversation, and apply from the next answer on."""
        if self.session is not None:
            await self.session.change(settings)
        if self._own is not None:
            system = self._own.system if settings.system == self.settings.system else settings.system
            self._own = replace(settings, system=system)
        self.settings = settings
        self.name_panes()
        self.changed()

    def borrow(self, settings: Settings) -> None:
        """Take over the settings of a recorded chain, for this conversation only."""
        self._own, self.settings = self.settings, settings

    async def created(self, question: str) -> ConversationSession:
        """Return the conversation; it is created with its first question."""
        if self.session is None:
            self.session = await ConversationSession.begin(
                self.context.store,
                self.refs,
                self.settings,
                opener=self._open,
                listener=self._on_event,
                title=one_line(question, TITLE_LENGTH),
                client=self._connections(),
                verifier=self._verifier,
            )
        return self.session

    async def send(self, text: str, *, instead_of: int | None = None) -> None:
        """Ask all panes. The question is shown after it is saved.

        Args:
            text: The question.
            instead_of: The turn of a question that it is another version of; None: it follows the last answers.

        Raises:
            UsageError: An answer is still arriving, or the text is empty.
            StoreError: The question could not be saved; nothing was asked.
        """
        session = await self.created(text)
        await session.send(text, instead_of=instead_of)
        self.ballot = None
        self.panes.hide_diff()
        for pane in range(len(self.refs)):
            stream = self.stream(pane)
            if instead_of is not None:
                stream.clear()
                draw_turns(stream, session, pane, session.path[:-1], hidden=self.hidden)
            if self.settings.blind:
                stream.clear()  # earlier answers would reveal the model
            stream.add_user(text)
            self.expect(pane)
        self.name_panes()
        self.changed()

    def regenerate(self, pane: int) -> None:
        """Ask one pane the last question again.

        Raises:
            UsageError: Nothing was asked yet, or an answer is still arriving in this pane.
        """
        if self.session is None:
            return
        self.session.settings = self.settings
        self.session.regenerate(pane)
        self.stream(pane).drop_last_assistant()
        self.expect(pane)
        self.changed()

    def failed_pane(self) -> int | None:
        """Return the current pane if its answer failed, else the first pane whose answer failed."""
        failed = [pane for pane in self.order if self.states[pane].failed]
        return self.current_pane if self.refs and self.current_pane in failed else next(iter(failed), None)

    async def stop(self, pane: int | None = None) -> None:
        """Stop one pane or all; partial answers are kept."""
        if self.session is None:
            return
        await self.session.stop(pane)
        for stopped in self.order if pane is None else [pane]:
            if self.states[stopped].busy:  # nothing was received, so nothing was saved: show the previous answer again
                self._settle(stopped)
        self.changed()

    async def vote(self, place: int | None, *, tie: bool = False) -> None:
        """Vote for the answer in ``place``; None is a tie, or none good.

        Raises:
            UsageError: There are fewer than two answers.
        """
        session = self.session
        if session is None:
            return
        winner: int | Literal["tie", "none"] = self.order[place] if place is not None else "tie" if tie else "none"
        hidden = self.settings.blind and not self.seen
        self.ballot = await session.vote(winner, self.context.annotator, blind=hidden)
        self.seen_turns.update(session.path)
        self.draw()
        self.changed()

    async def withdraw(self) -> bool:
        """Withdraw your last vote on this turn; return whether there was one. A new vote on the turn is not blind."""
        session, ballot, me = self.session, self.ballot, self.context.annotator
        if session is None or ballot is None or ballot.turn != session.turn:
            return False
        await self.context.store.in_thread(conversations.withdraw, ballot.id)
        self.ballot = await asyncio.to_thread(last_vote, self.context.store, session.record.id, session.turn, me)
        self.changed()
        return True

    async def close(self) -> None:
        """Stop all panes (partial answers are kept) and leave the conversation."""
        session, self.session, self.ballot, self.seen_turns = self.session, None, None, set()
        self.settings, self._own = self._own or self.settings, None
        if session is not None:
            await session.close()

    async def shut_down(self) -> None:
        await self.close()
        if self._client is not None:
            await self._client.close()
            self._client = None

    # Drawing.

    def name_panes(self) -> None:
        """Update titles and status lines of all panes."""
        draw_titles(
            self.panes, self.order, self.refs, self.states, self.settings,
            session=self.session, hidden=self.hidden, seen=self.seen,
        )  # fmt: skip

    def draw(self) -> None:
        """Draw the whole conversation; if names are hidden, only the last turn."""
        session = self.session
        if session is None or self.busy:
            self.name_panes()
            return
        for pane in range(len(self.refs)):
            stream = self.stream(pane)
            stream.clear()
            draw_turns(stream, session, pane, session.path[-1:] if self.hidden else session.path, hidden=self.hidden)
        self.name_panes()

    def _settle(self, pane: int) -> None:
        assert self.session is not None  # noqa: S101 - only panes of a session are busy
        state, stream = self.states[pane], self.stream(pane)
        state.message = self.session.answer(pane)
        state.enter("ended")
        stream.finish()
        stream.drop_last_assistant()
        draw_answer(stream, state.message, self.refs[pane].id, hidden=self.hidden)
        self.name_panes()

    def _end_unsaved(self, pane: int, error: RequestError) -> None:
        if self.session is None or not self.states[pane].busy:
            return
        self.states[pane].unsaved = True
        if self.session.answer(pane) is None:
            self.states[pane].enter("ended")
            self.name_panes()
        else:
            self._settle(pane)
            sentence = f"{error.sentence} The previous answer is kept."
            draw_failure(self.stream(pane), sentence, error.hint, hidden=self.hidden)
        self.changed()

    def expect(self, pane: int) -> None:
        self.states[pane] = PaneState()
        self.states[pane].enter("opening")
        self.stream(pane).begin_assistant()

    # Events of the session.

    async def _open(self, ref: ModelRef) -> ModelAddress:
        states = [self.states[pane] for pane, one in enumerate(self.refs) if one == ref]
        servers = self.context.servers if ref.endpoint is None and ref.record is None else None
        opened = await open_model(ref, servers)
        for state in states:
            if state.phase == "opening":
                state.enter("waiting")
        return opened

    def _on_event(self, event: PaneEvent) -> None:
        if not self.panes.is_attached or self.session is None:
            return
        state, stream = self.states[event.pane], self.stream(event.pane)
        match event.event:
            case Started(ttft_s=ttft):
                state.ttft_s = ttft
                self.name_panes()
            case Delta(kind="thought", text=text):
                state.received("thinking")
                stream.append_thought(text)
            case Delta(text=text):
                state.received("answering")
                stream.append_answer(text)
            case Recast(answer=answer, thought=thought):
                thought = "\n\n".join(filter(None, (stream.last_thought, thought)))
                stream.drop_last_assistant()
                stream.begin_assistant()
                draw_notes(stream, state.notes, hidden=self.hidden)
                stream.append_thought(thought)
                stream.append_answer(answer)
            case Noted(text=text):
                state.notes.append(text)
                draw_notes(stream, [text], hidden=self.hidden)
            case Done(thought_tokens=tokens):
                stream.set_thought_tokens(tokens)
                stream.finish()
            case Failed(error=error):
                draw_failure(stream, error.sentence, error.hint, hidden=self.hidden)
                # No Saved event follows if a retry received nothing, since it replaces nothing.
                self.panes.call_later(self._end_unsaved, event.pane, error)
            case Saved(message=message):
                if stream.streaming:  # stopped
                    stream.finish()
                state.message = message
                state.enter("ended")
                if by_others(message.spans, self.refs[event.pane].id):
                    self._settle(event.pane)  # with a note of who wrote what
                self.name_panes()
                self.changed()

    def _connections(self) -> ChatClient:
        from o1lab.inference.chat_client import ChatClient

        if self._client is None:
            self._client = ChatClient(self.context.config.chat)
        return self._client
