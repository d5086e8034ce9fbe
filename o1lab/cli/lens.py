"""The command ``lens``: how likely models find each token of recorded chains."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from o1lab.cli.base.asking import TraceIds, with_servers
from o1lab.cli.base.busy import advance
from o1lab.cli.base.command import Verbs
from o1lab.cli.base.options import model_option
from o1lab.cli.base.output import current_lab, emit, opened, say
from o1lab.cli.filters import read_filter
from o1lab.errors import UsageError
from o1lab.format import aligned
from o1lab.text import one_line, visible

if TYPE_CHECKING:
    from collections.abc import Sequence

    from o1lab.chains.segmentation.moves import Move
    from o1lab.lens.figures import ScoredToken
    from store import Store
    from store.records import TraceText
    from store.token_scores import TokenScores


verbs = Verbs()
_PARTS = ("thought", "solution")


@verbs.command("lens")
def lens(
    trace: TraceIds = None,
    model: Annotated[
        list[str] | None,
        model_option("A base, RUN/STEP, or a running server of o1lab; repeatable [default: the lab's base]."),
    ] = None,
    where: Annotated[str, typer.Option(help="Filter of traces, as on the Traces screen, instead of TRACE.")] = "",
    limit: Annotated[int, typer.Option(min=1, help="Maximum number of traces that the filter selects.")] = 20,
    again: Annotated[bool, typer.Option("--again", help="Score again what the model has scored before.")] = False,
    tokens: Annotated[bool, typer.Option("--tokens", help="Add every token to the JSON output.")] = False,
    surprises: Annotated[int, typer.Option(min=0, help="Number of surprising tokens to print.")] = 8,
) -> None:
    """Score each token of recorded chains: its log-probability, rank and entropy under each model.

    The chain is put into the student's format, as in training; losses are means over its tokens, in nats. Scores are
    stored in the lab, and a model scores a chain once.

    Examples: o1lab lens 3f9c --model smollm2-135m --model 7a1b/100; o1lab lens --where decision:accept --model 7a1b
    """
    from o1lab.config import load_config
    from o1lab.lens.scoring import score_traces
    from o1lab.serve.registry import find_model
    from store import traces
    from store.filters import TraceQuery

    if bool(trace) == bool(where):
        raise UsageError("Give traces, or a filter with --where.", "o1lab lens 3f9c --model BASE")
    lab = current_lab()
    refs = [find_model(lab, name) for name in dict.fromkeys(model or [load_config(lab).base])]
    with opened() as store:
        if trace:
            ids = list(dict.fromkeys(traces.get(store.db, one).id for one in trace))
        else:
            query = read_filter(TraceQuery, where)
            ids = [row.id for row in traces.page(store.db, query, limit=limit)]
            total = traces.count(store.db, query)
            if total > len(ids):
                say(f"The filter has {total:,} traces; the first {len(ids):,} are scored (--limit).")
        score = partial(score_traces, again=again, on_scored=partial(advance, "Scored"))
        done = with_servers(lab, lambda manager: score(lab, store, ids, refs, manager))
        found = [_Chain(store, one, done.models) for one in ids]
    failures = [{"trace": one.trace_id, "model": one.model, "error": one.error} for one in done.failures]
    lines = [line for one in found for line in one.lines(surprises)]
    lines += [f"{one.trace_id[:12]} {one.model}: {one.error}" for one in done.failures]
    kept = f"; {done.known:,} had been scored before" if done.known else ""
    lines.append(f"{done.scored:,} scored{kept}" + (f"; {len(failures):,} could not be" if failures else ""))
    data = {"scored": done.scored, "known": done.known, "failures": failures}
    emit({"traces": [one.as_item(with_tokens=tokens) for one in found], **data}, text=lines)
    if failures:
        raise typer.Exit(1)


class _Chain:
    """A trace with the scores of the models that were asked for."""

    def __init__(self, store: Store, trace_id: str, models: Sequence[str]) -> None:
        from o1lab.ingest.measuring import moves_of
        from o1lab.lens.figures import scored_tokens
        from store import token_scores, traces

        self.text: TraceText = traces.text(store.db, trace_id)
        self.moves: list[Move] = moves_of(self.text)
        by_model = {one.model: one for one in token_scores.of_trace(store.db, trace_id, models)}
        self.scores: list[TokenScores] = [by_model[key] for key in models if key in by_model]
        self.tokens: list[list[ScoredToken]] = [scored_tokens(one) for one in self.scores]
        self.part = "thought" if self.text.thought else "solution"

    def as_item(self, *, with_tokens: bool) -> dict[str, Any]:
        from o1lab.lens.figures import as_json, losses_by_kind, losses_by_move

        models = []
        for scores, tokens in zip(self.scores, self.tokens, strict=True):
            losses = losses_by_move(tokens, self.moves, self.part)
            moves = [
                {"kind": str(move.kind), "start": move.start, "end": move.end, "tokens": one.tokens, "loss": one.nats}
                for move, one in zip(self.moves, losses, strict=True)
            ]
            kinds = losses_by_kind(tokens, self.moves, self.part)
            item: dict[str, Any] = {"model": scores.name, "key": scores.model, "scored_at": scores.created_at}
            for part in _PARTS:
                number, loss = scores.losses.get(part, (0, None))
                item[part] = {"tokens": number, "loss": loss}
            item |= {"kinds": {kind: {"tokens": one.tokens, "loss": one.nats} for kind, one in kinds.items()}}
            models.append(item | {"moves": moves} | ({"tokens": [*map(as_json, tokens)]} if with_tokens else {}))
        return {"id": self.text.trace_id, "models": models}

    def lines(self, most: int) -> list[str]:
        from o1lab.chains.segmentation.moves import MoveKind
        from o1lab.lens.figures import losses_by_kind, rank_text, surprises

        if not self.scores:
            return []
        rows = [["model", "tokens", "thought", "solution", *(kind.letter for kind in MoveKind)]]
        for scores, tokens in zip(self.scores, self.tokens, strict=True):
            kinds = losses_by_kind(tokens, self.moves, self.part)
            losses = [scores.losses.get(part) for part in _PARTS]
            cells = ["-" if one is None else f"{one[1]:.3f}" for one in losses]
            cells += [f"{kinds[kind].nats:.3f}" if kind in kinds else "-" for kind in MoveKind]
            rows.append([one_line(scores.name, 24), f"{len(tokens):,}", *cells])
        lines = [
            f"{self.text.trace_id[:12]}  mean loss in nats, by part and by kind of move",
            *aligned(rows, range(1, 11)),
        ]
        found = surprises(self.tokens[-1])
        worst = sorted(found, key=lambda token: -token.loss)[:most]
        if most and worst:
            lines.append(f"{one_line(self.scores[-1].name, 24)} is surprised {len(found):,} times, most by:")
            lines += [f"  {one.loss:6.2f}  {rank_text(one)}  {self._around(one)}" for one in worst]
        return [*lines, ""]

    def _around(self, token: ScoredToken) -> str:
        """Return the token in angle brackets with the text around it, and what the model expected instead."""
        text = self.text.thought if token.part == "thought" else self.text.solution
        before = one_line(text[max(token.start - 30, 0) : token.start], 30)
        after = one_line(text[token.end : token.end + 20], 20)
        expected = f"   expected {_shown(token.top[0][0])}" if token.top else ""
        return f"{before}⟨{_shown(text[token.start : token.end])}⟩{after}{expected}"


def _shown(text: str) -> str:
    """Return a token with its white space visible."""
    return visible(text[:24]).replace(" ", "␣").replace("\n", "⏎").replace("\t", "⇥")
