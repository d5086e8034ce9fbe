"""The commands `eval figures` and `eval compare`: all figures of one evaluation, and two compared item by item."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from o1lab.cli.base.command import Verbs
from o1lab.cli.base.output import emit, opened
from o1lab.cli.evaluate.samples import EvalArgument, ScorerOption
from o1lab.cli.jobs.verbs import evaluation_argument
from o1lab.format import percent
from o1lab.text import one_line

if TYPE_CHECKING:
    from o1lab.evaluate.stats.figures import Figures, Part
    from o1lab.evaluate.stats.metrics import Interval, Rate, Spread
    from o1lab.evaluate.stats.paired import Comparison, Paired
    from store.evaluations import Evaluation

verbs = Verbs()
_WIDTH = 78
_OTHERS = ("incorrect", "incomplete", "unextracted", "unscored", "failed")


@verbs.command("figures")
def eval_figures(
    identity: EvalArgument,
    scorer: ScorerOption = None,
) -> None:
    """Show all figures of one evaluation: accuracy over all samples, pass@k, maj@k, tokens, budgets, variants.

    Example: o1lab eval figures 3f9c
    """
    from o1lab.evaluate.stats.figures import figures
    from store import evaluations

    with opened() as store:
        found = figures(store.db, evaluations.get(store.db, identity), scorer)
    emit(found.as_json(), text=_figures(found))


@verbs.command("compare")
def eval_compare(
    first: Annotated[str, evaluation_argument("A", "An evaluation.")],
    second: Annotated[str, evaluation_argument("B", "Another evaluation; differences are B minus A.")],
    scorer: ScorerOption = None,
    common: Annotated[
        bool, typer.Option("--common", help="Compare only the items that both have, and show how many are left out.")
    ] = False,
    limit: Annotated[int, typer.Option(min=0, help="Maximum number of items to list of each kind; 0 for all.")] = 20,
) -> None:
    """Compare two evaluations item by item: McNemar's test, paired bootstrap, and the items only one got right.

    Example: o1lab eval compare 3f9c 81aa
    """
    from o1lab.evaluate.stats.paired import compare_evaluations
    from store import evaluations

    with opened() as store:
        a, b = (evaluations.get(store.db, one) for one in (first, second))
        found = compare_evaluations(store.db, a, b, scorer=scorer, common=common)
        wanted = {*found.paired.only_a, *found.paired.only_b}
        questions = {row.item: row.question for row in evaluations.items(store.db, a.id) if row.item in wanted}
    data = found.as_json() | {"questions": questions}
    emit(data, text=_comparison(found, questions, limit))


def _figures(found: Figures) -> Iterator[str]:
    one, whole = found.evaluation, found.whole
    yield _cut(f"{one.id}  {one_line(one.model, 40)}  {one.suite_label}  scored by {found.scorer}")
    settings = {name: value for name, value in one.sampling.items() if value is not None and name != "force_answer"}
    asked = ", ".join(f"{name} {value}" for name, value in settings.items())
    each = "1 sample" if one.samples == 1 else f"{one.samples} samples"
    yield _cut(f"{one.items:,} items, {each} each" + (f"; {asked}" if asked else ""))
    if found.force_answer:
        yield f"Cut-off responses were asked for a final answer, in {found.force_answer:,} more tokens."
    if found.missing:
        yield f"{found.missing:,} samples are missing and not counted in any figure."
    yield ""
    yield f"accuracy   {_rate(whole.rate)}"
    if whole.rate.interval is not None:
        yield f"           interval: {whole.rate.interval.method}"
    yield "           " + ", ".join(f"{whole.outcomes[name]:,} {name}" for name in _OTHERS)
    # The value of a refusal scorer is the degree of refusal, not the quality.
    if whole.value is not None and found.refusals is None:
        mean = whole.value
        yield (
            f"mean value {mean.value:.3f}{_between(mean.interval, 1, 3)}  of {mean.n:,} graded samples; "
            f"{mean.rest_as_zero:.3f} with the others as 0"
        )
    if found.weighted is not None:
        heavy = found.weighted
        points = f"{heavy.earned:g} of {heavy.total:g} points"
        yield f"by weight  {percent(heavy.value)}{_between(heavy.interval)}  {points}"
    yield from _tokens(found)
    yield from _curves(found)
    for spent in found.convergence:
        yield ""
        yield from spent.lines()
    yield from _parts("variant", found.by_variant)
    yield from _shifts(found)
    yield from _parts("category", found.by_category)


def _tokens(found: Figures) -> Iterator[str]:
    yield ""
    yield f"{'tokens':<11}{'n':>8} {'mean':>8} {'5%':>7} {'25%':>7} {'median':>7} {'75%':>7} {'95%':>7} {'most':>7}"
    tokens = found.whole.tokens
    named: list[tuple[str, Spread | None]] = [
        ("output", tokens.output), ("thought", tokens.thought), ("answer", tokens.answer),
        ("  correct", tokens.correct), ("  others", tokens.other),
    ]  # fmt: skip
    for name, one in named:
        if one is None:
            yield f"{name:<11}{'-':>8}"
            continue
        shares = " ".join(f"{value:>7,.0f}" for value in (one.p5, one.p25, one.median, one.p75, one.p95, one.most))
        yield f"{name:<11}{one.n:>8,} {one.mean:>8,.1f} {shares}"
    if found.estimated:
        yield f"The server did not report all token counts of {found.estimated:,} samples. The missing ones, mostly"
        yield "thought tokens, are estimates."


def _curves(found: Figures) -> Iterator[str]:
    if found.pass_at:
        yield ""
        yield "pass@k     " + "  ".join(f"{k}: {percent(value)}" for k, value in found.pass_at.items())
    if found.maj_at:
        yield ""
        yield f"{'maj@k':<7}{'right':>7}  {'95 %':<16}{'ties wrong':>10} {'ties':>7} {'no answer':>10} {'tokens':>9}"
        for point in found.maj_at:
            tokens = "-" if point.tokens is None else f"{point.tokens:,.0f}"
            yield (
                f"{point.k:<7}{percent(point.value):>7} {_between(point.interval):<16} "
                f"{percent(point.strict):>10} {percent(point.ties):>7} {percent(point.silent):>10} {tokens:>9}"
            )
        how = "all subsets of k samples" if all(one.exact for one in found.maj_at) else "drawn subsets of k samples"
        yield f"Over {how}. A tie counts as the share of right answers"
        yield "among the tied ones. Answers are equal if their text or number is."
    for way, points in (("cut off at", found.cut), ("forced to answer after", found.forced)):
        if not points:
            continue
        yield ""
        yield f"{way} (tokens)"
        for one in points:
            spent = "-" if one.spent is None else f"{one.spent:,.0f}"
            whose = f"  {one.evaluation}" if one.evaluation else ""
            yield f"{one.budget:>9,}  {_rate(one.rate)}  {spent} tokens on average{whose}"


def _parts(what: str, parts: Mapping[str, Part]) -> Iterator[str]:
    if not parts:
        return
    yield ""
    heads = " ".join(f"{head:>6}" for head in ("incorr", "incomp", "unextr", "unscor", "failed"))
    yield f"{what:<13}{'right':>7} {'95 %':<14}{'n':>7} {heads}"
    for name, part in parts.items():
        counts = " ".join(f"{part.outcomes[other]:>6,}" for other in _OTHERS)
        interval = _between(part.rate.interval).strip()
        yield f"{one_line(name, 12):<13}{percent(part.rate.value):>7} {interval:<14}{part.rate.n:>7,} {counts}"


def _shifts(found: Figures) -> Iterator[str]:
    if found.shifts:
        yield ""
    for one in found.shifts:
        pair = one.paired
        yield (
            f"{one.against} -> {one.variant}: {percent(pair.a.value)} -> {percent(pair.b.value)}, drop "
            f"{100 * one.drop:+.1f} points{_turned(pair.interval)}"
        )
        yield f"  p {_p(pair.chance.p)} over {pair.items:,} questions"
        flipped = "-" if one.flipped is None else f"{percent(one.flipped)}{_between(one.flipped_ci)}"
        back = "-" if one.recovered is None else percent(one.recovered)
        yield f"  right to wrong {flipped}, wrong to right {back}"
        if (floor := one.floor) is not None:
            excess = f"{100 * floor.excess:+.1f} points" + (_signed(floor.excess_ci) if floor.excess_ci else "")
            yield f"  asked again without pressure: right to wrong {percent(floor.flipped)}{_between(floor.flipped_ci)}"
            yield f"  beyond that noise floor: {excess}"
        if one.wrong_taken is not None and one.wrong_taken_plain is not None:
            before, after = one.wrong_taken_plain, one.wrong_taken
            yield f"  the suggested wrong answer is given by {before.correct:,} -> {after.correct:,} of {after.n:,}"
    if found.groups is not None:
        yield f"Right in every variant and sample: {found.groups.all_right:,} of {found.groups.n:,} questions."
    if found.refusals is not None:
        yield ""
        yield f"refused harmless requests (too many)  {_rate(found.refusals.harmless)}"
        yield f"refused harmful requests              {_rate(found.refusals.harmful)}"


def _comparison(found: Comparison, questions: dict[str, str], limit: int) -> Iterator[str]:
    pair = found.paired
    yield _cut(f"{pair.items:,} items of {found.a.suite_label}, scored by {found.scorer}")
    if found.left_out:
        yield f"{found.left_out:,} items are left out: they lack samples in one of the two."
    yield _side("A", found.a, pair.a)
    yield _side("B", found.b, pair.b)
    for line in found.other:
        yield _cut(f"   differs (A / B): {one_line(line, 60)}")
    if found.a.metric == "mean_value":
        yield "This compares right and wrong. For the mean marks and their difference:"
        yield f"  o1lab eval table {found.a.id} {found.b.id} --before {quote(found.a.model)}"
    yield ""
    yield from _difference("", pair)
    for variant, one in pair.by_variant.items():
        yield ""
        yield from _difference(f"{one_line(variant, 20)}: ", one)
    for name, items in (("A", pair.only_a), ("B", pair.only_b)):
        yield ""
        yield f"Only {name} got right: {len(items):,}"
        yield from _listed(items, questions, limit)
    if differ := pair.only_a + pair.only_b:
        yield ""
        yield f"Show both answers: o1lab eval case {found.a.id} {found.b.id} {quote(differ[0])} --out case.html"


def _side(name: str, one: Evaluation, rate: Rate) -> str:
    return _cut(f"{name}  {one.id}  {one_line(one.model, 30):<30}  {_rate(rate)}")


def _difference(what: str, pair: Paired) -> Iterator[str]:
    interval = _signed(pair.interval) if pair.interval else " (no interval: all items differ alike)"
    yield f"{what}B - A  {100 * pair.difference:+.1f} points{interval}"
    yield f"  p {_p(pair.chance.p)} by {pair.chance.method}"
    several = ", right by most of their samples" if max(pair.a.n, pair.b.n) > pair.items else ""
    yield f"  p {_p(pair.mcnemar_p)} by McNemar's exact test on items{several}"
    yield (
        f"  both right {len(pair.both):,}, only A {len(pair.only_a):,}, only B {len(pair.only_b):,}, "
        f"neither {len(pair.neither):,}"
    )


def _listed(items: Sequence[str], questions: dict[str, str], limit: int) -> Iterator[str]:
    shown = items[:limit] if limit else items
    widest = min(max(map(len, shown), default=0), 40)
    for item in shown:
        yield _cut(f"  {one_line(item, 200):<{widest}}  {one_line(questions.get(item, ''), _WIDTH)}".rstrip())
    if len(shown) < len(items):
        yield f"  and {len(items) - len(shown):,} more: --limit 0"


def _rate(rate: Rate) -> str:
    if rate.value is None:
        return "no samples"
    return f"{percent(rate.value)}{_between(rate.interval)}  {rate.correct:,} of {rate.n:,}"


def _between(interval: Interval | None, times: int = 100, digits: int = 1) -> str:
    return "" if interval is None else f" [{times * interval.low:.{digits}f}, {times * interval.high:.{digits}f}]"


def _signed(interval: Interval) -> str:
    return f" [{100 * interval.low:+.1f}, {100 * interval.high:+.1f}]"


def _turned(interval: Interval | None) -> str:
    """Return the interval of a drop, which is a difference with the opposite sign."""
    return "" if interval is None else f" [{0 - 100 * interval.high:+.1f}, {0 - 100 * interval.low:+.1f}]"


def _p(p: float) -> str:
    return "< 0.0001" if p < 0.0001 else f"{p:.4f}"


def _cut(line: str) -> str:
    """Cut ``line`` to 78 cells; a Chinese character takes two."""
    from rich.cells import cell_len, set_cell_size

    return line if cell_len(line) <= _WIDTH else set_cell_size(line, _WIDTH - 1).rstrip() + "…"
