"""The token lens: how likely models find each token of a chain, as heat behind its text."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import exp
from typing import ClassVar, cast

from rich.style import Style
from rich.text import Text
from textual.binding import BindingType

from o1lab.errors import RefusedError
from o1lab.lens.figures import (
    Place,
    ScoredToken,
    differences,
    losses_by_place,
    place_of,
    rank_text,
    scored_tokens,
    surprises,
)
from o1lab.lens.scorers import require_scores
from o1lab.lens.scoring import score_traces
from o1lab.serve.registry import ModelRef
from o1lab.text import one_line, visible
from o1lab.widgets.dialogs import Choice, PickDialog, among
from o1lab.widgets.keys import Binding
from o1lab.widgets.sections import Mark
from screens.base.context import LabContext
from screens.base.dialogs import pick_model
from screens.base.screen import task
from screens.traces.heat import HeatScreen, next_of
from screens.traces.reading import Chain, read_chain
from store import suitability, token_scores
from store.sqlite import Database
from store.token_scores import TokenScores

# Without colours, the lines and the reversed text remain.
_HOT = (
    (4.0, Style(color="black", bgcolor="#ff7a5c", bold=True)),
    (2.0, Style(color="black", bgcolor="#ffb35c", underline=True)),
    (0.7, Style(color="black", bgcolor="#ffe08a")),
)
_COLD = (
    (2.0, Style(color="black", bgcolor="#63c76a", bold=True)),
    (0.7, Style(color="black", bgcolor="#a8e6a1")),
)
_CURSOR = Style(reverse=True, bold=True, underline=True)
LEGEND = Text.assemble(
    "nats ", (" 0.7 ", _HOT[2][1]), (" 2 ", _HOT[1][1]), (" 4 ", _HOT[0][1]), "  likelier ", (" 0.7 ", _COLD[1][1])
)


@dataclass(frozen=True, slots=True)
class View:
    """What the heat shows: the losses of one model, or how those of two differ.

    Attributes:
        title: The name of the model, or of both.
        tokens: The tokens with loss or difference, by their place in the text.
        losses: The losses of the parts, for the line above the text.
        own: For a difference, the losses of both models at each token.
    """

    title: str
    tokens: list[ScoredToken]
    losses: str
    own: dict[Place, tuple[float, float]] | None = None

    @property
    def surprises(self) -> list[int]:
        """The indices of the tokens that stand out."""
        found = {id(one) for one in (surprises(self.tokens) if self.own is None else _largest(self.tokens))}
        return [at for at, token in enumerate(self.tokens) if id(token) in found]


def _largest(tokens: Sequence[ScoredToken]) -> list[ScoredToken]:
    """Return the tokens on which two models differ most: by 1 nat or more."""
    return [token for token in tokens if abs(token.loss) >= 1.0]


def views_of(scores: Sequence[TokenScores]) -> list[View]:
    """Return a view for each model, and the difference of the last model from the first."""
    tokens = [scored_tokens(one) for one in scores]
    found = [View(one_line(one.name, 30), some, _losses(one)) for one, some in zip(scores, tokens, strict=True)]
    if len(scores) > 1:
        changed = differences(tokens[-1], tokens[0])
        before, after = losses_by_place(tokens[0]), losses_by_place(tokens[-1])
        own = {place_of(one): (before[place_of(one)], after[place_of(one)]) for one in changed}
        title = f"{found[-1].title} against {found[0].title}"
        mean = sum(one.loss for one in changed) / len(changed) if changed else 0.0
        missing = len(after) - len(changed)
        left = f", {missing:,} places are not those of the other" if missing else ""
        found.append(View(title, changed, f"{mean:+.3f} nats a token{left}", own))
    return found


def _losses(scores: TokenScores) -> str:
    parts = (f"{part} {loss:.3f} ({number:,})" for part, (number, loss) in scores.losses.items() if part != "mark")
    return "loss: " + ", ".join(parts)


def read_lens(db: Database, trace_id: str) -> tuple[Chain, list[TokenScores]]:
    """Read a chain and its scores."""
    chain = read_chain(db, trace_id)
    return chain, token_scores.of_trace(db, chain.row.id)


class LensScreen(HeatScreen):
    """One chain with the scores of its tokens."""

    TITLE = "TOKEN LENS"
    STOPPED = "Stopped. Nothing was stored."
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ampersand", "models", "Add a model", key_display="&", tooltip="Let a model score this chain"),
        Binding("dollar_sign", "student", "Student", key_display="$",
                tooltip="Choose the student whose figures lists and filters of traces show"),
        Binding("tab", "part(1)", "Next view",
                tooltip="Show the next model, finally how the last differs from the first"),
        Binding("shift+tab", "part(-1)", "Previous view", show=False, tooltip="Show the previous model"),
        Binding("n", "step(1)", "Next surprise", tooltip="Go to the next token that the model finds unlikely"),
        Binding("p", "step(-1)", "Previous surprise", tooltip="Go to the previous one"),
        Binding("right", "turn_to(1)", "Next token", show=False, tooltip="Go to the next token"),
        Binding("left", "turn_to(-1)", "Previous token", show=False, tooltip="Go to the previous token"),
        Binding("s", "stop", "Stop scoring", show=False, tooltip="Stop the model that scores"),
        Binding("escape", "back", "Back", tooltip="Close the lens"),
        Binding("percent_sign", "back", "Back", key_display="%", id="lens", show=False,
                tooltip="Close the lens"),
    ]  # fmt: skip

    def __init__(self, context: LabContext, trace_id: str) -> None:
        super().__init__(context, trace_id)
        self.views: list[View] = []
        self.at = 0  # the view
        self._thought = True  # whether the chain has one: else the first section is its solution
        self._starts: dict[str, tuple[list[int], list[int]]] = {}

    @property
    def view(self) -> View | None:
        return self.views[self.at] if self.views else None

    @task(exclusive=True, group="lens")
    async def load(self) -> None:
        """Show the chain with its scores; without any, ask for a model."""
        chain, scores = await self.read(read_lens, self.trace_id)
        self._thought = bool(chain.text.thought)
        self.views = await self.in_thread(views_of, scores)
        opened = self.reader.document is None
        if opened:
            self.reader.load(chain.document)
        self._show(len(self.views) - 1 if self.views else 0)
        if opened and not self.views:
            self.action_models()

    def _show(self, at: int) -> None:
        """Show a view; the cursor stays at its place in the text."""
        place = self._place()
        self.at = at
        self.cursor = -1
        self._starts = {}
        if (view := self.view) is not None:
            for part in ("thought", "solution"):
                indices = [i for i, token in enumerate(view.tokens) if token.part == part]
                self._starts[part] = ([view.tokens[i].start for i in indices], indices)
            if place is not None:
                self.cursor = self._token_at(*place)
        self.describe()

    def _place(self) -> tuple[str, int] | None:
        if (view := self.view) is None or self.cursor < 0:
            return None
        token = view.tokens[self.cursor]
        return token.part, token.start

    def _token_at(self, part: str, offset: int) -> int:
        """Return the index of the token of a part that begins at an offset, or after it; -1 if there is none."""
        starts, indices = self._starts.get(part, ([], []))
        found = bisect_left(starts, offset)
        return indices[found] if found < len(indices) else -1

    # The heat.

    def heat(self, section: int, start: int, end: int) -> Iterable[Mark]:
        """Yield the marks of the tokens in [start, end) of a section of the reader."""
        if (view := self.view) is None:
            return
        part = "thought" if section == 0 and self._thought else "solution"
        starts, indices = self._starts.get(part, ([], []))
        for at in range(max(bisect_left(starts, start) - 1, 0), bisect_left(starts, end)):
            token = view.tokens[indices[at]]
            style = _style_of(token.loss)
            if style is not None:
                yield Mark(token.start, token.end, style)
            if indices[at] == self.cursor:
                yield Mark(token.start, token.end, _CURSOR)

    # The cursor.

    def action_turn_to(self, step: int) -> None:
        """Go to the next token or the previous one."""
        if (view := self.view) is not None and view.tokens:
            start = self._first_visible() if self.cursor < 0 else self.cursor + step
            self._go(max(0, min(start, len(view.tokens) - 1)))

    def action_step(self, step: int) -> None:
        """Go to the next token that stands out or the previous one."""
        if (view := self.view) is None:
            return
        here = self._first_visible() - 1 if self.cursor < 0 else self.cursor
        if (at := next_of(view.surprises, here, step)) is None:
            self.notify("There is no further surprise.", timeout=3)
        else:
            self._go(at)

    def _first_visible(self) -> int:
        section, offset = self.reader.body.top_place
        part = "thought" if section == 0 and self._thought else "solution"
        return max(self._token_at(part, offset), 0)

    def _go(self, at: int) -> None:
        token = cast(View, self.view).tokens[at]
        self.go_to(at, 0 if token.part == "thought" or not self._thought else 1, token.start)

    # The lines.

    def lines(self) -> tuple[Text, Text]:
        view, line = self.view, Text()
        if view is None:
            line.append(self.running or "No model has scored this chain yet: & chooses one.")
        else:
            line.append(f"{self.at + 1}/{len(self.views)} ", "dim").append(view.title, "bold")
            line.append(f"  {view.losses}  {len(view.surprises):,} stand out  ").append_text(LEGEND)
            if self.running:
                line = Text(self.running + "  ", "bold").append_text(line)
        return line, self._token_line()

    def _token_line(self) -> Text:
        line = Text()
        if (view := self.view) is None or self.cursor < 0:
            return line.append("n goes to the next surprise, right to the next token" if view else "", "dim")
        token = view.tokens[self.cursor]
        line.append(f"⟨{shown(token.text)}⟩ ", "bold")
        if view.own is not None:
            before, after = view.own[place_of(token)]
            return line.append(f"{token.loss:+.2f} nats: {before:.2f} before, {after:.2f} now")
        line.append(f"{token.loss:.2f} nats ({_percent(exp(-token.loss))})  {rank_text(token)}  ")
        line.append("entropy not known" if token.entropy is None else f"entropy {token.entropy:.2f}")
        if token.top:
            likely = "  ".join(f"{shown(text)} {_percent(exp(logprob))}" for text, logprob in token.top)
            line.append(f"  likely: {likely}", "dim")
        return line

    # Views and models.

    def action_part(self, step: int) -> None:
        """Show another view."""
        if self.views:
            self._show((self.at + step) % len(self.views))

    @task(exclusive=True, group="models", dialog=True)
    async def action_models(self) -> None:
        """Choose a model and let it score the chain."""
        if self.running:
            self.notify("A model is scoring; s stops it.", timeout=3)
            return
        done = {view.title for view in self.views}
        ref = await pick_model(
            self,
            "Which model scores this chain?",
            _can_score,
            lambda ref: "scored" if one_line(ref.id, 30) in done else "",
        )
        if ref is not None:
            self.score(ref)

    @task(exclusive=True, group="model")
    async def score(self, ref: ModelRef) -> None:
        """Let a model score the chain, and show what it found."""
        self.show_running(f"{one_line(ref.label, 40)} scores the chain; the first time, it is loaded. s stops.")
        try:
            done = await score_traces(
                self.context.lab, self.context.store, [self.trace_id], [ref], self.context.servers
            )
        finally:
            self.show_running("")
        for failure in done.failures:
            self.notify(visible(failure.error), severity="error", timeout=10, markup=False)
        self.load()

    @task(exclusive=True, group="student", dialog=True)
    async def action_student(self) -> None:
        """Choose the student whose figures lists and filters of traces show, of the models that have scored some."""
        found = await self.read(suitability.students)
        now = await self.read(suitability.chosen)
        marks = {one.model: "chosen" for one in (now,) if one is not None}
        choices = [Choice(one.model, one_line(one.name, 60), marks.get(one.model, "")) for one in found]
        chosen = await self.app.push_screen_wait(
            PickDialog("Which student do filters such as nll<1.2 ask?", among(choices), empty="No model matches.")
        )
        student = next((one for one in found if one.model == chosen), None)
        if student is not None:
            await self.in_thread(suitability.choose, self.context.store.db, student.model, student.name)
            name = visible(one_line(student.name, 40))
            self.notify(f"Filters and lists show the figures of {name}.", timeout=5, markup=False)


def _can_score(ref: ModelRef) -> bool:
    try:
        require_scores(ref)
    except RefusedError:
        return False
    return True


def shown(text: str) -> str:
    """Return a token with its white space visible."""
    return visible(text[:24]).replace(" ", "␣").replace("\n", "⏎").replace("\t", "⇥")


def _percent(share: float) -> str:
    return f"{share:.0%}" if share >= 0.1 else f"{share:.1%}" if share >= 0.001 else "<0.1%"


def _style_of(loss: float) -> Style | None:
    bands = _HOT if loss > 0 else _COLD
    return next((style for limit, style in bands if abs(loss) >= limit), None)
