"""What the commands of training print: the steps of a run, how it ended, and the report of preflight."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import typer

from o1lab.cli.base.output import print_text, say, wants_json
from o1lab.errors import Interrupted
from o1lab.format import byte_size, number
from o1lab.text import one_line, visible

if TYPE_CHECKING:
    from o1lab.train.preflight.report import Preflight
    from o1lab.train.runs.directory import RunDir, RunState
    from o1lab.train.runs.metrics_reader import Metrics


def follow_run(run: RunDir) -> RunState:
    """Print a line for each step until the run ends, unless JSON is wanted; return its final state."""
    from o1lab.jobs.spawn import follow
    from o1lab.train.runs.metrics_reader import Metrics

    metrics = Metrics(run.metrics)
    shown, generation, message = 0, 0, ""
    state = run.info()
    try:
        for state in follow(run):
            metrics.poll()
            if wants_json():
                continue
            if metrics.generation != generation:
                generation, shown = metrics.generation, min(shown, len(metrics))
            if state.active and state.status.message != message:
                message = state.status.message
                if message:
                    say(message)
            for at in range(shown, len(metrics)):
                print_text(_step_line(metrics, at, state.status.total_steps))
            shown = len(metrics)
    except (KeyboardInterrupt, Interrupted):
        with suppress(OSError):  # the terminal may be closed
            say(f"Run {run.id} continues in the background. Stop it: o1lab runs stop {run.id}")
        raise
    return state


def started_values(run: RunDir, pid: int | None) -> dict[str, Any]:
    """Return what started a run, for JSON: the process here, or the job, or the commands for people to start."""
    launch = run.launch()
    job = launch.job if launch is not None and launch.job else None
    return {"pid": pid, "job": job, "commands": list(launch.commands) if launch is not None else []}


def started_words(run: RunDir, pid: int | None) -> str:
    """Return the process or the job of a run that was started, for a sentence."""
    launch = run.launch()
    return f"pid {pid}" if launch is None else launch.words


def started_text(run: RunDir, pid: int | None) -> str:
    """Return what was started, with the commands for the user to start, one per line."""
    launch = run.launch()
    if launch is None or not launch.commands:
        return f"Run {run.id} started ({started_words(run, pid)})."
    return "\n".join([f"Run {run.id} waits until you start it, on each node:", *command_lines(launch.commands)])


def command_lines(commands: Sequence[str]) -> list[str]:
    """Return the command of each node with its number, as lines of output."""
    return [line for node, command in enumerate(commands) for line in (f"# node {node}", command)]


def launch_lines(run: RunDir) -> list[str]:
    """Return who started a run that is not a process of this machine, as lines of ``o1lab runs show``."""
    launch = run.launch()
    if launch is None:
        return []
    where = f" at {launch.where}" if launch.where else ""
    return [f"launcher     {launch.words}{where}", *command_lines(launch.commands)]


def _step_line(metrics: Metrics, at: int, total: int) -> str:
    def value(name: str) -> str:
        column = metrics.columns.get(name)
        return number(None if column is None or math.isnan(column[at]) else column[at])

    parts = [
        f"step {int(metrics.steps[at])}/{total}",
        f"loss {value('loss')}",
        f"lr {value('learning_rate')}",
        f"grad {value('grad_norm')}",
        f"{value('tokens_per_second')} tok/s",
    ]
    parts += [f"{name} {found}" for name in ("reward_margin", "eval_loss") if (found := value(name)) != number(None)]
    return "  ".join(parts)


def ended_text(run: RunDir, state: RunState) -> str:
    """Return the state of a run with its message and hint."""
    words = [f"Run {run.id} is {state.state}.", state.status.message, state.status.hint]
    return " ".join(word for word in words if word)


def exit_by(state: RunState) -> None:
    """Exit with status 1 if the run failed or died."""
    if state.state in ("failed", "dead"):
        raise typer.Exit(1)


def combined(found: Sequence[Preflight], command: str) -> dict[str, Any]:
    """Combine the preflight reports of several runs: each problem and warning once, and the largest memory."""

    def each_once(name: str) -> list[dict[str, Any]]:
        items = [item.model_dump() for seen in found for item in getattr(seen, name)]
        return list({str(item): item for item in items}.values())

    return {
        "ok": all(seen.ok for seen in found),
        "problems": each_once("problems"),
        "warnings": each_once("warnings"),
        "memory_bytes": max(seen.memory_bytes for seen in found),
        "command": command,
    }


def warn_or_refuse(found: Sequence[Preflight]) -> None:
    """Print each warning of preflight once, then refuse if there is a problem.

    Raises:
        RefusedError: preflight found a problem.
    """
    for words in dict.fromkeys(f"{one.message} {one.hint}".strip() for seen in found for one in seen.warnings):
        say(words)
    for seen in found:
        seen.refuse()


def _replay_lines(found: Preflight) -> list[str]:
    """Return the line on the rows that the base answered; none without replay."""
    if not found.replay_rows:
        return []
    rows = f"{found.replay_rows} rows ({found.replay_rows / found.train_rows:.0%})"
    tokens = f"{found.replay_tokens} trained tokens ({found.replay_tokens / max(found.trained_tokens, 1):.0%})"
    return [f"replay          {rows}, {tokens}"]


def preflight_text(found: Preflight) -> str:
    """Return the preflight report as lines of text."""
    tokens = found.tokens
    lines = [f"rows            {found.rows}"]
    if tokens.total:  # otherwise the base could not be read and nothing was measured
        lines = [
            f"rows            {found.rows} ({found.train_rows} for training, {found.eval_rows} held out)",
            f"tokens per row  median {tokens.p50}, 95 % below {tokens.p95}, maximum {tokens.max}, total {tokens.total}",
            f"over length     {found.over_length} ({found.dropped_rows} dropped, {found.truncated_rows} cut)",
            f"trained tokens  {found.trained_tokens}",
            *_replay_lines(found),
            *([f"reference       {visible(found.reference)}"] if found.reference else []),
            f"end of turn     {found.end_of_turn} {'is trained' if found.end_of_turn_trained else 'is not trained'}",
        ]
    if found.thought_survives is not None:
        lines.append(f"thought         {'is trained in full' if found.thought_survives else 'is changed'}")
    if system := found.system_prompt or found.template_system:
        whose = "" if found.system_prompt else " (of the chat template)"
        lines.append(f"system message  {one_line(system, 60)}{whose}")
    if found.trainable_parameters:
        of_base = f"{found.trainable_parameters / max(found.base_parameters, 1):.2%} of the base's"
        names = ", ".join(f"{target.name} ({target.layers})" for target in found.targets)
        lines += [
            f"adapter         on {names}" if names else "adapter         none: all weights are trained",
            f"trainable       {found.trainable_parameters:,} parameters, {of_base} {found.base_parameters:,}",
        ]
    if found.memory_bytes:
        available = byte_size(found.memory.available)
        lines.append(f"memory          about {byte_size(found.memory_bytes)} of {available} free")
    lines += [f"{'what fits' if at == 0 else '':16}{line}" for at, line in enumerate(found.plan_lines())]
    if words := found.batches.words(found.train_rows):
        lines.append(f"batches         {words}")
    if tokens.total:
        lines += [f"device          {found.device} {found.dtype}", f"steps           {found.total_steps}"]
    lines.append(f"command         {found.command}")
    for problem in (*found.problems, *found.warnings):
        lines += ["", f"{problem.code}: {problem.message}", f"  {problem.hint}"]
    return "\n".join(lines)
