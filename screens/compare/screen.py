"""Compare: one prompt to several models side by side, votes, and the training chains similar to an answer."""

from __future__ import annotations

import importlib
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, ClassVar

from rich.text import Text
from textual import events, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.command import Provider
from textual.containers import Horizontal
from textual.css.query import NoMatches
from textual.widgets import Static

from o1lab.chat import ranking
from o1lab.chat.panes import AnswerVerifier
from o1lab.errors import O1LabError
from o1lab.paths import assets_dir
from o1lab.serve.registry import ModelRef, find_model, list_models
from o1lab.text import one_line
from o1lab.widgets.stream_pane import StreamPane
from screens.base.context import LabContext
from screens.base.screen import LabScreen, reported, task
from screens.compare import votes
from screens.compare.actions import ConversationActions
from screens.compare.branches import Branching
from screens.compare.controller import CompareController
from screens.compare.dialogs import ModelsDialog, default_models, model_choices
from screens.compare.keys import KEYS, POSSIBLE
from screens.compare.panes import Panes
from screens.compare.prompt_sets import LetterKeys, PromptInput, PromptSets
from screens.compare.status import describe

STATUS_EVERY_S = 0.25
Action = Callable[[], Awaitable[None]]


class CompareScreen(LabScreen):
    """Panes above, the prompt below. Letters are keys while the prompt does not have the focus."""

    TITLE = "COMPARE"
    CSS_PATH: ClassVar[list[Any]] = [assets_dir() / "styles" / "compare.tcss"]
    COMMANDS: ClassVar[set[type[Provider] | Callable[[], type[Provider]]]] = {LetterKeys}
    BINDINGS: ClassVar[list[BindingType]] = KEYS

    def __init__(self, context: LabContext) -> None:
        super().__init__(context)
        self.notice = ""
        self.votes_line = ""
        self.panes = Panes(id="panes")
        self.verifier = AnswerVerifier(context.store)
        self.prompt = PromptInput(placeholder="Ask all of them: enter sends, ctrl+j breaks the line", id="prompt")
        self.controller = CompareController(self.panes, context, changed=self.refresh_state, verifier=self.verifier)
        self.prompt_sets = PromptSets(self, self.controller, self.prompt)
        self.actions = actions = ConversationActions(self, self.controller, self.prompt)
        self.branching = Branching(self, self.controller, self.prompt)
        self.prompt.earlier = self.earlier_questions
        self.dialogs: dict[str, Action] = {
            "settings": actions.change_settings,
            "pane_settings": actions.change_pane,
            "double": actions.double,
            "blind": actions.toggle_blind,
            "conversations": actions.open_saved,
            "tree": self.branching.tree,
            "chains": actions.show_chains,
            "show_prompt": actions.show_prompt,
            "tally": partial(votes.show_tally, self),
            "dataset": partial(votes.make_pairs_dataset, self),
            "prompt_tags": actions.tags,
            "prompt_sets": self.prompt_sets.choose,
            "save_prompt": self.prompt_sets.save_prompt,
        }
        """Actions that may open a dialog, so that only one of them runs at a time."""
        self.tasks: dict[str, Action] = {
            "export": actions.export,
            "add_trace": actions.add_trace,
            "together": actions.scroll_together,
            "word_diff": actions.word_diff,
            "rounds": actions.rounds,
        }

    # Layout and state.

    def compose_body(self) -> ComposeResult:
        yield self.panes
        yield Static(id="hint", markup=False)
        with Horizontal(id="prompt-row"):
            yield Static(">", id="prompt-sign", markup=False)
            yield self.prompt

    def on_mount(self) -> None:
        self.clock = self.set_interval(STATUS_EVERY_S, self.tick, pause=True)
        self.prompt.focus()
        self.start(())

    async def on_unmount(self) -> None:
        await self.controller.shut_down()
        self.verifier.close()

    def on_resize(self, event: events.Resize) -> None:
        self.call_after_refresh(self.controller.name_panes)
        self.refresh_state()

    def on_screen_resume(self) -> None:
        self.refresh_notices()

    def tick(self) -> None:
        """Update times and counts while a pane is answering."""
        self.controller.name_panes()
        if not self.controller.busy:
            self.clock.pause()

    def refresh_state(self) -> None:
        """Update heading, hint, footer and clock after the state changed."""
        self.set_heading(describe(self.controller.settings))
        self.draw_hint()
        if self.controller.busy:
            self.clock.resume()
        self.refresh_bindings()

    def draw_hint(self) -> None:
        """Draw the line above the prompt: hints on the left, the votes on the right."""
        try:
            line = self.query_one("#hint", Static)
        except NoMatches:  # the screen is closing
            return
        parts = [self.notice] if self.notice else []
        if (prompts := self.prompt_sets.current) is not None:
            position = f"{prompts.at + 1}/{len(prompts.prompts)}"
            parts.append(f"{prompts.name} {position} (n next, p previous, each in a new conversation)")
        if self.controller.votable and self.controller.ballot is None and not self.controller.busy:
            numbers = " ".join(str(n + 1) for n in range(len(self.controller.refs)))
            writing = "esc, then " if self.prompt.has_focus else ""
            parts.append(f"{writing}{numbers} vote · 0 tie · - none good")
        session = self.controller.session
        if session is not None and (version := session.version(None)).count > 1:
            parts.append(f"prompt {version}: H shows the branches")
        if self.prompt.recalled is not None:
            parts.append("an earlier prompt: enter asks it next · ctrl+b asks it instead, on a branch")
        if not parts and not self.controller.turn:
            parts.append("esc, then & models · L prompt sets · o settings · ctrl+o saved conversations")
        left = " · ".join(parts)
        room = max(self.app.size.width - 2, 10)
        right = one_line(self.votes_line, max(room - len(left) - 2, room // 3))
        left = one_line(left, room - len(right) - 2)
        line.update(Text(left + " " * (room - len(left) - len(right)) + right, no_wrap=True))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        controller = self.controller
        match parameters[0] if action == "run" else action:
            case "leave_prompt":
                return bool(self.prompt.has_focus)
            case "vote":
                place = parameters[0]
                return isinstance(place, int) and controller.votable and place <= len(controller.refs)
            case "step":
                return self.prompt_sets.current is not None
            case name if name in POSSIBLE:
                return POSSIBLE[name](controller)
        return super().check_action(action, parameters)

    def on_descendant_focus(self) -> None:
        self.draw_hint()
        self.refresh_bindings()

    def action_run(self, name: str) -> None:
        """Run one of the actions on the conversation or the prompt sets."""
        if name in self.dialogs:
            self.open_dialog(self.dialogs[name])
        else:
            self.run_task(self.tasks[name])

    @task(exclusive=True, group="dialog", dialog=True)
    async def open_dialog(self, action: Action) -> None:
        """Run an action that may open a dialog."""
        await action()

    @task(exclusive=True, group="task")
    async def run_task(self, action: Action) -> None:
        """Run another action."""
        await action()

    def action_step(self, steps: int) -> None:
        self.prompt_sets.step(steps)

    # Models.

    def open(self, models: tuple[str, ...], prompt: str) -> None:
        """Open a conversation with these models, or with the default ones, and fill in the prompt."""
        if models or not self.controller.refs:
            self.start(models)
        if prompt:
            self.prompt.write(prompt)
        self.prompt.focus()

    @task(exclusive=True, group="models")
    async def start(self, models: tuple[str, ...]) -> None:
        """Start a conversation with models by name, or with the default ones."""
        lab, config = self.context.lab, self.context.config
        refs: list[ModelRef] = []
        try:
            refs = await self.in_thread(lambda: [find_model(lab, name, config) for name in models])
        except O1LabError as error:
            self.report(error)
        if not refs:
            refs = await self.in_thread(lambda: default_models(lab, list_models(lab, config)))
        await self.controller.begin(refs)
        self.refresh_notices()
        # openai takes a second to import: do it in a thread, while the user types the first prompt.
        await self.in_thread(importlib.import_module, "o1lab.inference.chat_client")

    @task(exclusive=True, group="models", dialog=True)
    async def action_models(self) -> None:
        """Choose the models; a change starts a new conversation."""
        refs = await self.in_thread(list_models, self.context.lab, self.context.config)
        known = {ref.id: ref for ref in [*self.controller.refs, *refs]}
        chosen = await self.app.push_screen_wait(
            ModelsDialog(model_choices(list(known.values())), [ref.id for ref in self.controller.refs])
        )
        if chosen is not None and list(chosen) != [ref.id for ref in self.controller.refs]:
            await self.with_models([known[name] for name in chosen])

    @work(exclusive=True, group="models")
    async def action_close_pane(self) -> None:
        """Close the current pane."""
        closed, settings = self.controller.current_pane, self.controller.settings
        kept = [(ref, settings.own(pane)) for pane, ref in enumerate(self.controller.refs) if pane != closed]
        await self.with_models([ref for ref, _ in kept], [own for _, own in kept])

    async def with_models(self, refs: Sequence[ModelRef], own: Sequence[dict[str, Any]] | None = None) -> None:
        """Start a conversation with other models, with the last question in the prompt."""
        question = self.controller.session.question() if self.controller.session is not None else ""
        await self.controller.begin(refs, own)
        self.actions.ask_again(question)

    # Asking.

    def on_prompt_input_sent(self, event: PromptInput.Sent) -> None:
        self.ask(event.text, event.instead_of)

    def action_send(self) -> None:
        self.ask(self.prompt.text)

    @task(group="ask")
    async def ask(self, text: str, instead_of: int | None = None) -> None:
        """Send a question to all panes; the prompt is cleared once the question is saved."""
        if not text.strip():
            return
        prompts = self.prompt_sets.current
        if prompts is not None and text == prompts.prompt and self.controller.turn and not self.controller.busy:
            await self.controller.begin(self.controller.refs)
        await self.controller.send(text, instead_of=instead_of)
        if self.prompt.text == text:
            self.prompt.clear()
        self.refresh_notices()

    def earlier_questions(self) -> list[tuple[int, str]]:
        """Return turn and text of the questions on the branch that is shown."""
        session = self.controller.session
        return [(turn, session.question(turn)) for turn in session.path] if session is not None else []

    @task(exclusive=True, group="dialog", dialog=True)
    async def continue_chain(self, trace_id: str, at: int | None) -> None:
        """Open a recorded chain, so that a model continues from inside it. Called for another screen."""
        await self.branching.continue_chain(trace_id, at)

    def action_edit_answer(self) -> None:
        self.branching.edit_current()

    @task(exclusive=True, group="walk")
    async def action_version(self, steps: int) -> None:
        """Show another version of the current pane's answer, or of the question."""
        await self.branching.step(steps)

    def on_text_area_changed(self) -> None:
        self.draw_hint()

    def action_regenerate(self) -> None:
        self.answer_again(self.controller.current_pane)

    def action_retry(self) -> None:
        pane = self.controller.failed_pane()
        if pane is not None:
            self.answer_again(pane)

    def on_stream_pane_retry_requested(self, event: StreamPane.RetryRequested) -> None:
        self.answer_again(self.controller.order[self.panes.places.index(event.pane)])

    def answer_again(self, pane: int) -> None:
        """Ask one pane the last question again."""
        try:
            self.controller.regenerate(pane)
        except O1LabError as error:
            self.report(error)

    async def action_stop(self) -> None:
        await self.controller.stop(self.controller.current_pane)

    async def action_stop_all(self) -> None:
        await self.controller.stop()

    @work(exclusive=True, group="models")
    async def action_new(self) -> None:
        """Start a new conversation with the same models."""
        await self.controller.begin(self.controller.refs)
        self.prompt.focus()

    # Voting.

    async def action_vote(self, place: int) -> None:
        await self.vote(place - 1)

    async def action_tie(self) -> None:
        await self.vote(None, tie=True)

    async def action_none_good(self) -> None:
        await self.vote(None)

    @reported
    async def vote(self, place: int | None, *, tie: bool = False) -> None:
        """Record a preference, then show the names of the models."""
        await self.controller.vote(place, tie=tie)
        self.refresh_notices()

    @task(group="vote")
    async def action_undo(self) -> None:
        """Withdraw your vote on this turn."""
        if await self.controller.withdraw():
            shown = (
                " The names were shown, so a new vote on this turn is not blind."
                if self.controller.settings.blind
                else ""
            )
            self.notify(f"Your vote is withdrawn.{shown}")
            self.refresh_notices()

    @task(exclusive=True, group="around")
    async def refresh_notices(self) -> None:
        """Read the tally of votes, and whether a training run is using this machine."""
        from o1lab.serve.manager import training_notice

        self.notice = await self.in_thread(lambda: training_notice(self.context.lab) or "")
        found = await self.read(ranking.read)
        self.votes_line = ranking.my_line(found.votes, [ref.id for ref in self.controller.refs])
        self.refresh_state()

    # Focus.

    def would_lose(self) -> str:
        lost = ["The rest of the answers that are arriving."] if self.controller.busy else []
        return " ".join([*lost, *(["The prompt that was not sent."] if self.prompt.text.strip() else [])])

    def action_write(self) -> None:
        self.set_focus(self.prompt)  # at once: the next key may have been typed already

    def action_leave_prompt(self) -> None:
        self.panes.focus_current()

    def action_walk(self, steps: int) -> None:
        """Move the focus through the panes and the prompt, in a circle."""
        count = len(self.panes.places)
        place = self.panes.place_of_focus()
        self.go_to(((count if place is None else place) + steps) % (count + 1))

    def action_turn_to(self, steps: int) -> None:
        self.panes.turn(steps)

    def go_to(self, place: int) -> None:
        """Focus the pane in ``place``, or the prompt after the last place."""
        if place >= len(self.panes.places):
            self.set_focus(self.prompt)
        else:
            self.panes.show_place(place)
            self.panes.places[place].focus()
