"""The preflight report as text: lengths as bars, the loss mask in brackets and colour, problems with hints."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from o1lab.format import byte_size, number
from o1lab.text import one_line, visible
from o1lab.train.preflight.report import Bin, Preflight, Problem, SampleToken
from o1lab.train.recipes.recipe import Recipe

BAR_CELLS = 40
_EIGHTHS = " ▏▎▍▌▋▊▉█"
# Trained tokens are coloured and between these marks; the others are dim.
LEARNED = ("⟦", "⟧")


def report_text(found: Preflight, recipe: Recipe) -> Text:
    """Format the whole report: problems, then the content of the tensors, then the command."""
    text = Text()
    for problem in found.problems:
        text.append_text(_problem("✗", "bold red", problem))
    for warning in found.warnings:
        text.append_text(_problem("!", "bold yellow", warning))
    for title, lines in (
        ("Checks", _checks(found, recipe)),
        ("Rows", _rows(found, recipe)),
        ("Memory", _memory(found)),
        ("What fits this device", Text("\n".join(found.plan_lines()))),
        ("Tokens per row", histogram(found.histogram, recipe.max_length)),
        ("A row as the trainer sees it", mask(found)),
        ("Command for this run", Text(visible(found.command))),
    ):
        if lines:
            text.append(f"\n{title}\n" if text else f"{title}\n", "bold").append_text(lines).append("\n")
    return text


def _problem(sign: str, style: str, problem: Problem) -> Text:
    text = Text.assemble((f"{sign} {visible(problem.message)}", style), "\n")
    if problem.hint:
        text.append(f"  {visible(problem.hint)}\n")
    return text


def _checks(found: Preflight, recipe: Recipe) -> Text:
    if not found.tokens.total:  # the base could not be read, so nothing was measured
        return Text()
    over = "refused, never cut silently" if recipe.over_length == "refuse" else f"they are set to {recipe.over_length}"
    checks: list[tuple[bool | None, str]] = [
        (not found.over_length, f"rows over {recipe.max_length:,} tokens: {found.over_length:,} ({over})"),
        (found.thought_survives, "the thought is trained in full"),
        (found.end_of_turn_trained, f"the end of the turn {visible(found.end_of_turn)} is learned in every row"),
    ]
    lines = []
    for passed, words in checks:
        sign, style = {True: ("✓", "green"), False: ("✗", "bold red"), None: ("·", "dim")}[passed]
        note = "  (nothing to check)" if passed is None else ""
        lines.append(Text.assemble((sign, style), f" {words}", (note, "dim")))
    return Text("\n").join(lines)


def _rows(found: Preflight, recipe: Recipe) -> Text:
    if not found.tokens.total:
        return Text(f"{found.rows:,} in the dataset")
    rows = f"{found.rows:,} in the dataset; {found.train_rows:,} learned"
    if found.eval_rows:
        rows += f", {found.eval_rows:,} held out for eval_loss"
    if found.dropped_rows:
        rows += f", {found.dropped_rows:,} dropped"
    if found.truncated_rows:
        rows += f", {found.truncated_rows:,} cut (a cut row teaches no ending)"
    tokens = found.tokens
    share = f" ({found.trained_tokens / tokens.total:.0%} of {tokens.total:,})" if tokens.total else ""
    parameters = number(found.trainable_parameters / 1e6)
    adapter = ", ".join(target.name for target in found.targets)
    batch = f"{recipe.rows_per_step:,} rows"
    if recipe.world_size > 1:
        batch += f" in {recipe.world_size} processes"
    return Text(
        f"{rows}\n"
        f"tokens per row: median {tokens.p50:,}, 95 % below {tokens.p95:,}, longest {tokens.max:,}\n"
        f"{found.trained_tokens:,} tokens carry the loss{share}\n"
        f"{_replay(found)}{_reference(found)}{_batches(found)}"
        f"{found.total_steps:,} steps of {batch}; {parameters} M trainable parameters, on {found.device}"
        + (f" in {found.dtype}" if found.dtype else "")
        + _system(found)
        + (f"\nadapter on {adapter}" if adapter else "")
    )


def _batches(found: Preflight) -> str:
    """Return a line on padding or packing; empty where rows are neither padded nor packed."""
    words = found.batches.words(found.train_rows)
    return f"{words}\n" if words else ""


def _replay(found: Preflight) -> str:
    """Return a line on the rows that the base answered; empty without replay."""
    if not found.replay_rows:
        return ""
    rows = f"{found.replay_rows:,} rows ({found.replay_rows / found.train_rows:.0%})"
    tokens = f"{found.replay_tokens:,} trained tokens ({found.replay_tokens / max(found.trained_tokens, 1):.0%})"
    return f"of these, answers of the base itself (replay): {rows}, {tokens}\n"


def _reference(found: Preflight) -> str:
    """Return a line with the reference of preference training; empty for another objective."""
    return f"the student is compared with its reference: {one_line(found.reference, 60)}\n" if found.reference else ""


def _system(found: Preflight) -> str:
    """Return a line with the system message, of the run or of the chat template."""
    whose = "system message" if found.system_prompt else "system message of the chat template"
    text = found.system_prompt or found.template_system
    return f"\n{whose}: {one_line(text, 60)}" if text else ""


def _memory(found: Preflight) -> Text:
    memory = found.memory
    if not found.memory_bytes:
        return Text()
    parts = ", ".join(
        f"{name} {byte_size(value)}"
        for name, value in (
            ("weights", memory.weights),
            ("adapter and optimizer" if found.targets else "gradients and optimizer", memory.adapter),
            ("activations", memory.activations),
            ("the rest", memory.overhead),
        )
        if value
    )
    free = f" of {byte_size(memory.available)} free" if memory.available else ""
    return Text(f"about {byte_size(found.memory_bytes)}{free}: {parts}")


def histogram(bins: Sequence[Bin], max_length: int) -> Text:
    """Draw one bar per bin of lengths; bins beyond ``max_length`` have a sign and a colour."""
    most = max((item.count for item in bins), default=0)
    lines = []
    for item in bins:
        beyond = item.high - 1 > max_length
        eighths = round(item.count / most * BAR_CELLS * 8) if most else 0
        bar = "█" * (eighths // 8) + (_EIGHTHS[eighths % 8] if eighths % 8 else "")
        lines.append(
            Text.assemble(
                (f"{item.low:>7,}–{item.high - 1:<7,} ", "dim"),
                (bar or ("▏" if item.count else ""), "red" if beyond else "cyan"),
                f" {item.count:,}",
                (" ! over the limit" if beyond and item.count else "", "bold red"),
            )
        )
    return Text("\n").join(lines)


def mask(found: Preflight) -> Text:
    """Format the tokens of the sample: trained ones coloured and in brackets, the others dim."""
    if not found.sample:
        return Text()
    opening, closing = LEARNED
    text = Text.assemble(("dim is read only; ", "dim"), (f"{opening}between brackets is learned{closing}", "green"))
    text.append(f"  trace {visible(found.sample_trace_id)}\n\n" if found.sample_trace_id else "\n\n", "dim")
    for learned, tokens in _stretches(found.sample):
        words = visible("".join(token.text for token in tokens))
        text.append(f"{opening}{words}{closing}" if learned else words, "green" if learned else "dim")
    return text


def _stretches(tokens: Sequence[SampleToken]) -> list[tuple[bool, list[SampleToken]]]:
    found: list[tuple[bool, list[SampleToken]]] = []
    for token in tokens:
        if not found or found[-1][0] != token.trained:
            found.append((token.trained, []))
        found[-1][1].append(token)
    return found
