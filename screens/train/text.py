"""A training run as text: state, header, figures and answers. Pure functions without widgets."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from rich.text import Text

from o1lab.format import byte_size, duration, number
from o1lab.small_files import open_file, read_object
from o1lab.text import one_line, visible
from screens.jobs.text import sign
from screens.train.poller import Detail, RunLine

METRICS = {
    "loss": "loss",
    "eval_loss": "eval loss",
    "learning_rate": "learning rate",
    "grad_norm": "gradient norm",
    "mean_token_accuracy": "token accuracy",
    "tokens_per_second": "tokens/s",
}


def state_words(line: RunLine) -> Text:
    """Format the sign and the name of a run's state."""
    symbol, style = sign(line.state)
    silent = " (silent)" if line.info.stale and line.active else ""
    return Text.assemble((f"{symbol} {line.state}{silent}", style))


def list_cell(line: RunLine, *, marked: bool) -> Text:
    """Format a run for the list in two lines: sign, mark, id, steps and loss; state and dataset."""
    status = line.status
    steps = f"{status.step}/{status.total_steps}" if status.total_steps else "-"
    loss = "" if line.loss is None else number(line.loss)
    words = line.state + (f", place {line.place}" if line.place else "")
    words += f", after {one_line(status.after, 10)}" if status.after else ""
    symbol, style = sign(line.state)
    return Text.assemble(
        (f"{symbol} ", style),
        ("●" if marked else " ", "bold"),
        (f" {one_line(line.id, 10):<10}", "bold"),
        f"{steps:>10} {loss:>8}\n",
        (f"    {one_line(' · '.join(filter(None, (words, line.name, line.dataset))), 60)}", "dim"),
        no_wrap=True,
        overflow="ellipsis",
    )


def header(detail: Detail) -> Text:
    """Format two lines: the run with its state and progress; its base, dataset and device."""
    line, recipe, status = detail.line, detail.recipe, detail.line.status
    step = max(status.step, int(detail.last.get("step", 0)))  # a line of metrics is newer than a heartbeat
    parts = [state_words(line), Text(f"step {step:,}" + (f"/{status.total_steps:,}" if status.total_steps else ""))]
    if "epoch" in detail.last:
        parts.append(Text(f"epoch {detail.last['epoch']:.2f}"))
    if detail.seconds_left is not None:
        parts.append(Text(f"{duration(detail.seconds_left)} left", "bold"))
    elif "elapsed_s" in detail.last:
        parts.append(Text(f"took {duration(detail.last['elapsed_s'])}"))
    name = f" {one_line(line.name, 24)} " if line.name else " "
    first = Text.assemble(("run ", "dim"), (one_line(line.id, 24), "bold"), name, Text(" · ").join(parts))
    facts = [line.dataset]
    if recipe is not None:
        facts = [
            f"{one_line(recipe.base, 40)} + LoRA r{recipe.lora_r}",
            f"{one_line(recipe.dataset, 32)} ({recipe.dataset_hash[:8]})" if recipe.dataset_hash else recipe.dataset,
            f"phase {recipe.phase}",
        ]
        if recipe.init_from:
            facts.append(f"from {recipe.init_from}")
    facts.append(" ".join(part for part in (status.device, status.dtype) if part))
    if detail.checkpoints:
        facts.append(f"saved at {', '.join(map(str, detail.checkpoints[-3:]))}")
    second = Text(visible(" · ".join(fact for fact in facts if fact)), "dim")
    return Text("\n", no_wrap=True).join([first, second])


def notice(detail: Detail) -> Text:
    """Format a warning (a spike, a failure, a dead process) or what the run waits for; empty if there is neither."""
    line, status, info = detail.line, detail.line.status, detail.line.info
    if detail.unreadable:
        return Text(f"! unreadable: {one_line(detail.unreadable, 400)}", "bold yellow")
    if not status.message:
        if line.active and info.stale:
            return Text(f"! No heartbeat for {duration(info.heartbeat_age_s or 0)}: its host is silent.", "bold yellow")
        return Text()
    text = visible(" ".join(filter(None, (status.message, status.hint))))
    if line.state in ("failed", "dead"):
        return Text(f"✗ {text}", "bold red")
    if line.state == "running":
        return Text(f"! {text}", "bold yellow")
    return Text(f"· {text}", "dim")


def figures(last: dict[str, float]) -> Text:
    """Format the latest metrics on one line."""
    text = Text(no_wrap=True, overflow="ellipsis")
    for key, label, shown in (
        ("loss", "loss", number),
        ("eval_loss", "eval", number),
        ("learning_rate", "lr", number),
        ("grad_norm", "grad", number),
        ("mean_token_accuracy", "acc", lambda value: f"{value:.3f}"),
        ("tokens_per_second", "tok/s", number),
        ("rss_bytes", "RSS", byte_size),
        ("gpu_memory_bytes", "GPU mem", byte_size),
        ("gpu_util", "GPU", lambda value: f"{value:.0f} %"),
    ):
        if key in last:
            value = last[key]
            bad = not math.isfinite(value)
            text.append(f"{label} ", "dim").append(shown(value) if not bad else "NaN!", "bold red" if bad else "bold")
            text.append("  ")
    return text


def answers(detail: Detail) -> Text:
    """Format the student's answers to each probe by step, with signs for right and wrong."""
    if not detail.samples:
        if detail.recipe is not None and not detail.recipe.probes:
            return Text("This recipe has no probes. Add some in the form of the next run.", "dim")
        return Text("No answers yet: the probes are asked at every evaluation.", "dim")
    start = "start" if detail.recipe is not None and detail.recipe.init_from else "base"
    text = Text()
    for prompt, asked in _by_prompt(detail.samples).items():
        text.append(f"> {one_line(prompt, 300)}", "bold")
        gold = next((item["gold"] for item in asked if item.get("gold")), None)
        text.append(f"  gold {one_line(str(gold), 40)}\n" if gold is not None else "\n", "dim")
        for item in asked:
            step = item.get("step", 0)
            text.append(f"{start if step == 0 else step:>6} ", "dim")
            text.append(f"{_sign(item)} ", {"✓": "green", "✗": "red"}.get(_sign(item), ""))
            text.append(one_line(_final(item), 200))
            text.append(f"  {item['tokens']} tok\n" if "tokens" in item else "\n", "dim")
    text.rstrip()
    return text


def full_answers(detail: Detail) -> Text:
    """Format all answers to all probes with their thoughts."""
    text = Text()
    for prompt, asked in _by_prompt(detail.samples).items():
        text.append(f"> {visible(prompt)}\n", "bold")
        for item in asked:
            text.append(f"\nstep {item.get('step', 0)} {_sign(item)}\n", "dim").append(_full(item) + "\n")
        text.append("\n")
    return text or answers(detail)


def _by_prompt(samples: tuple[dict[str, Any], ...]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for item in samples:
        found.setdefault(str(item.get("prompt", "")), []).append(item)
    return found


def _sign(item: dict[str, Any]) -> str:
    correct = item.get("correct")
    return "✓" if correct is True else "✗" if correct is False else "·"


def _final(item: dict[str, Any]) -> str:
    """Return the answer that the verifier extracted, otherwise the text after the thought."""
    text = str(item.get("answer") or "")
    return str(item.get("final") or text.rpartition("</think>")[2].strip() or text)


def _full(item: dict[str, Any]) -> str:
    tokens = f"  ({item['tokens']} tokens)" if "tokens" in item else ""
    cut = "" if item.get("complete", True) else "  (cut off at probe_tokens)"
    return visible(str(item.get("answer") or "")) + tokens + cut


def facts(detail: Detail) -> Text:
    """Format the files of a run. Reads them, so call it in a thread."""
    run = detail.line.run
    dataset = read_object(run.dataset)
    dataset.pop("trace_ids", None)
    parts = (
        ("folder", str(run.path)),
        ("name", detail.line.name or "none"),
        ("notes", "\n".join(detail.line.info.notes) or "none"),
        ("checkpoints", ", ".join(f"step {step}" for step in detail.checkpoints) or "none yet"),
        ("command", _read(run.command)),
        ("dataset", "\n".join(f"{key}: {value}" for key, value in dataset.items())),
        ("recipe", _read(run.recipe)),
        ("environment", _read(run.env)),
    )
    text = Text()
    for title, body in parts:
        text.append(f"{title}\n", "bold").append(visible(body.strip()) + "\n\n")
    return text


def _read(path: Path) -> str:
    try:
        with open_file(path) as file:
            return file.read().decode("utf-8", "replace")
    except OSError as error:
        return f"cannot be read: {error.strerror}"
