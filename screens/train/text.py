"""A training run as text: state, header, figures and answers. Pure functions without widgets."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.text import Text

from o1lab.format import byte_size, duration, number
from o1lab.small_files import open_file, read_object
from o1lab.text import one_line, visible
from o1lab.train.group_figures import Comparison
from screens.jobs.text import doing, sign
from screens.train.poller import Detail, RunLine, TrainSnapshot
from store.schema.migrations import MOVE_KINDS

if TYPE_CHECKING:
    from o1lab.train.recipes.recipe import Recipe

METRICS = {
    "loss": "loss",
    "eval_loss": "eval loss",
    "learning_rate": "learning rate",
    "grad_norm": "gradient norm",
    "mean_token_accuracy": "token accuracy",
    "tokens_per_second": "tokens/s",
}
HELD_OUT_METRICS = {
    "eval_loss_thought": "loss of held-out thoughts",
    "eval_loss_solution": "loss of held-out solutions",
    **{f"eval_loss_{kind}": f"loss of held-out moves: {kind}" for kind in MOVE_KINDS},
}
"""What a run with ``lens_traces`` has in addition."""
PREFERENCE_METRICS = {
    "loss": "loss",
    "reward_margin": "reward margin",
    "reward_accuracy": "reward accuracy",
    "reward_chosen": "reward of better answers",
    "reward_rejected": "reward of worse answers",
    "logps_chosen": "log-probability of better answers",
    "logps_rejected": "log-probability of worse answers",
    "eval_reward_margin": "eval reward margin",
    "kl": "divergence from the reference",
}
"""What a run of preference training has in addition; the first is that of all runs."""


def metrics_of(last: Mapping[str, float]) -> dict[str, str]:
    """Return the metrics to draw of a run, with their titles, from the last value of each that it has."""
    first = {name: title for name, title in PREFERENCE_METRICS.items() if name in last and "reward_margin" in last}
    held_out = {name: title for name, title in HELD_OUT_METRICS.items() if name in last}
    return first | METRICS | held_out


def next_action(snapshot: TrainSnapshot) -> str:
    """Say what to do in a lab without runs."""
    if not snapshot.datasets:
        return "Press ctrl+n to set one up. It needs a dataset: accept traces (f2) and press d."
    number, newest = len(snapshot.datasets), one_line(snapshot.datasets[-1], 40)
    return f"Press ctrl+n to train a student on {newest}" + (
        f", or another of {number} datasets." if number > 1 else "."
    )


def filter_values(snapshot: TrainSnapshot) -> dict[str, list[str]]:
    """Return the values of all runs, listed or not, for the completion and the check of a filter."""
    found: dict[str, set[str]] = {name: set() for name in ("group", "dataset", "base", "device", "name", "tag")}
    for line in snapshot.every:
        for name in ("group", "dataset", "base", "device", "name"):
            if value := line.figures[name]:
                found[name].add(value)
        found["tag"].update(line.info.tags)
    return {name: sorted(values) for name, values in found.items()}


_WARNINGS = 3
"""Warnings of a run below its header."""


def state_words(line: RunLine) -> Text:
    """Format the sign and the name of a run's state, with what an active one is doing."""
    symbol, style = sign(line.state)
    silent = " (silent)" if line.info.stale and line.active else ""
    return Text.assemble((f"{symbol} {line.state}{silent}{doing(line.info)}", style))


def header(detail: Detail) -> Text:
    """Format two lines: the run with its state and progress; its base, dataset and device."""
    line, recipe, status = detail.line, detail.recipe, detail.line.status
    step = status.step
    if line.state not in ("queued", "starting"):  # before a resume, metrics have steps that will be repeated
        step = max(step, int(detail.last.get("step", 0)))  # a line of metrics is newer than a heartbeat
    parts = [state_words(line), Text(f"step {step:,}" + (f"/{status.total_steps:,}" if status.total_steps else ""))]
    if "epoch" in detail.last and not doing(line.info):  # there is room for one of them
        parts.append(Text(f"epoch {detail.last['epoch']:.2f}"))
    if detail.seconds_left is not None:
        parts.append(Text(f"{duration(detail.seconds_left)} left", "bold"))
    elif "elapsed_s" in detail.last:
        parts.append(Text(f"{'elapsed' if line.active else 'took'} {duration(detail.last['elapsed_s'])}"))
    name = f" {one_line(line.name, 24)} " if line.name else " "
    first = Text.assemble(("run ", "dim"), (one_line(line.id, 24), "bold"), name, Text(" · ").join(parts))
    facts = [line.dataset]
    if recipe is not None:
        facts = [
            f"{one_line(recipe.base, 40)}{_trained(recipe)}",
            f"{one_line(recipe.dataset, 32)} ({recipe.dataset_hash[:8]})" if recipe.dataset_hash else recipe.dataset,
            f"phase {recipe.phase}",
        ]
        if recipe.init_from:
            facts.append(f"from {recipe.init_from}")
    facts.append(detail.launch.words if detail.launch is not None else "")
    facts.append(" ".join(part for part in (status.device, status.dtype) if part))
    if detail.checkpoints:
        facts.append(f"saved at {', '.join(map(str, detail.checkpoints[-3:]))}")
    second = Text(visible(" · ".join(fact for fact in facts if fact)), "dim")
    return Text("\n", no_wrap=True).join([first, second])


def _trained(recipe: Recipe) -> str:
    """Return what a run trains of its base, in words that follow the base's name."""
    names = {"lora": "LoRA", "rslora": "rsLoRA", "dora": "DoRA", "pissa": "PiSSA", "olora": "OLoRA"}
    return ", all weights" if recipe.adapter == "full" else f" + {names[recipe.adapter]} r{recipe.lora_r}"


def notice(detail: Detail) -> Text:
    """Return the remarks on a run, one per line: why it failed, what it waits for, its warnings."""
    first, message = _first_notice(detail), detail.line.status.message
    warnings = [one for one in detail.line.status.warnings if not (message and message in one)]
    if fault := detail.line.info.hook_fault:
        warnings.append(f"The hook failed: {fault}.")
    lines = [(one_line(f"! {one}", 300), "yellow") for one in warnings[-_WARNINGS:]]
    if (more := len(warnings) - _WARNINGS) > 0:
        lines.append((f"! {more} more: i shows all", "yellow"))
    for line, style in lines:
        first.append("\n" if first.plain else "").append(line, style)
    return first


def _first_notice(detail: Detail) -> Text:
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
    return Text() if doing(info) else Text(f"· {text}", "dim")


def figures(last: dict[str, float]) -> Text:
    """Format the latest metrics on one line."""
    text = Text(no_wrap=True, overflow="ellipsis")
    for key, label, shown in (
        ("loss", "loss", number),
        ("eval_loss", "eval", number),
        ("reward_margin", "margin", number),
        ("reward_accuracy", "pairs right", lambda value: f"{value:.0%}"),
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


def group(found: Comparison) -> Text:
    """Format the runs of a group side by side: a line for each setting, then a line for each run."""
    text = Text(f"{found.summary()}\n± is the standard deviation over the seeds\n\n", no_wrap=True)
    for head, *rows in found.tables():
        text.append(f"{visible(head)}\n", "bold").append("".join(f"{visible(row)}\n" for row in rows) + "\n")
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
    if isinstance(replay := dataset.get("replay"), dict):
        dataset["replay"] = f"{replay.get('rows')} rows of {replay.get('name')} ({replay.get('hash')})"
    parts = (
        ("folder", str(run.path)),
        ("name", detail.line.name or "none"),
        ("group", detail.line.group or "none"),
        ("tags", ", ".join(detail.line.info.tags) or "none"),
        ("notes", "\n".join(detail.line.info.notes) or "none"),
        ("warnings", "\n".join(detail.line.status.warnings) or "none"),
        ("launcher", _launcher(detail)),
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


def _launcher(detail: Detail) -> str:
    """Return who started a run, and the commands that people are to start."""
    launch = detail.launch
    if launch is None:
        return "a process of this machine"
    where = f"{launch.words} at {launch.where}" if launch.where else launch.words
    return "\n".join([where, *(f"node {node}: {command}" for node, command in enumerate(launch.commands))])


def _read(path: Path) -> str:
    try:
        with open_file(path) as file:
            return file.read().decode("utf-8", "replace")
    except OSError as error:
        return f"cannot be read: {error.strerror}"
