"""What runs, for people and scripts: `o1lab status`, `o1lab hardware` and the verb `wait` of jobs of any kind."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any

import typer

from o1lab.cli.base.command import Verbs
from o1lab.cli.base.listing import Column, emit_list
from o1lab.cli.base.naming import completing
from o1lab.cli.base.output import current_lab, emit, lab_if_any, say, wants_json
from o1lab.errors import Interrupted
from o1lab.format import aligned, byte_size, duration
from o1lab.text import one_line

if TYPE_CHECKING:
    from o1lab.activity import Folder
    from o1lab.jobs.directory import JobInfo
    from o1lab.jobs.hardware import GpuReading, Reading
    from o1lab.paths import Lab

TIMED_OUT = 124
"""The exit status of `wait` when the time is over, that of timeout(1)."""

verbs = Verbs()


def wait(
    jobs: Annotated[
        list[str],
        typer.Argument(
            metavar="JOB",
            help="Training runs, teacher runs, evaluations, rounds, or groups of runs.",
            autocompletion=completing("run", "teacher run", "evaluation", "round"),
        ),
    ],
    any_one: Annotated[bool, typer.Option("--any", help="Return as soon as one of them has ended.")] = False,
    timeout: Annotated[
        float | None, typer.Option(metavar="SECONDS", min=0, help="Return after this time in any case.")
    ] = None,
) -> None:
    """Wait until these jobs have ended, or with --any, until one has.

    Jobs of any kind can be named by id, the beginning of an id, or name. The end of each job is printed.

    The exit status is 0 if those that ended have finished, 1 if one of them failed, died or was stopped, 124 if the
    time ran out first, 4 if there is no such job. Interrupting `wait` does not stop the jobs.

    Example: o1lab runs wait 7f3a && o1lab eval run math500 -m 7f3a

    Example: o1lab runs wait sums-seed 9e00 --any --timeout 3600 --json
    """
    from o1lab.jobs.spawn import follow_all

    lab = current_lab()
    chosen = {folder.path: folder for identity in jobs for folder in _named(lab, identity)}
    left, ended = dict(chosen), []
    try:
        for folder, info in follow_all(list(chosen.values()), timeout_s=timeout):
            ended.append(info)
            del left[folder.path]
            if not wants_json():
                say(_end(folder, info))
            if any_one:
                break
    except (KeyboardInterrupt, Interrupted):
        with suppress(OSError):  # the terminal may be closed
            say("The jobs continue in the background. See them: o1lab status")
        raise
    timed_out = not ended if any_one else bool(left)
    items = [_item(folder) for folder in chosen.values()]
    if timed_out and not wants_json():
        say(f"{len(left)} of {len(chosen)} still active: {', '.join(folder.id for folder in left.values())}.")
    emit({"items": items, "total": len(items), "timed_out": timed_out}, text="")
    if any(info.state != "finished" for info in ended):
        raise typer.Exit(1)
    if timed_out:
        raise typer.Exit(TIMED_OUT)


def _named(lab: Lab, identity: str) -> list[Folder]:
    """Return the job with this id or name, or the runs of the group."""
    from o1lab.activity import find
    from o1lab.cli.train_group import members

    group = members(lab, identity)
    return [*group] if group else [find(lab, identity)]


def _item(folder: Folder) -> dict[str, Any]:
    from o1lab.activity import activity_of

    values = activity_of(folder).as_json()
    return {name: values[name] for name in ("id", "kind", "name", "state", "done", "total", "message")} | {
        "step": values["done"]
    }


def _end(folder: Folder, info: JobInfo[Any, Any]) -> str:
    words = [f"{folder.noun.capitalize()} {folder.id} is {info.state}.", info.status.message, info.status.hint]
    return " ".join(word for word in words if word)


_COLUMNS = (
    Column("kind", "kind"),
    Column("id", "id"),
    Column("name", lambda item: one_line(item["name"], 24), optional=True),
    Column("state", "state"),
    Column("done", lambda item: f"{item['done']:,}/{item['total']:,}" if item["total"] else "-", right=True),
    Column("left", lambda item: "-" if item["seconds_left"] is None else duration(item["seconds_left"]), right=True),
    Column("doing", lambda item: one_line(item["message"], 60), optional=True),
)


@verbs.command("status", lists=True)
def status() -> None:
    """List the jobs that are active in the lab: training runs, teacher runs, evaluations and rounds, with time left.

    Example: o1lab status --json
    """
    from o1lab.activity import running

    emit_list([one.as_json() for one in running(current_lab())], _COLUMNS, empty="Nothing runs in this lab.")


_MEASURE_S = 0.3
"""Seconds over which the use of the CPU is measured."""


@verbs.command("hardware")
def hardware() -> None:
    """Show the load of this machine: use, memory, power, temperature and processes of each GPU; CPU and memory.

    In a lab, also the processes of its jobs. A figure that a GPU does not report is null, or `-`.

    Example: o1lab hardware --json
    """
    from o1lab.activity import running
    from o1lab.jobs.hardware import Hardware, processes_here

    lab = lab_if_any()
    jobs: dict[int, str] = {}
    for one in running(lab) if lab is not None else ():
        jobs |= processes_here([one.info], one.folder.noun)
    machine = Hardware()
    machine.read(jobs)
    time.sleep(_MEASURE_S)
    found = machine.read(jobs)
    emit(found.as_json(), text=lambda: "\n".join(_hardware_lines(found)))


def _hardware_lines(found: Reading) -> list[str]:
    lines = []
    if found.gpus:
        table = [("GPU", "NAME", "USE", "MEMORY", "POWER", "TEMP", "USED BY"), *map(_gpu_cells, found.gpus)]
        lines = [*aligned(table, right=range(2, 6)), ""]
    if found.fault:
        lines.append(f"The GPUs cannot be read: {found.fault}")
    memory = f"{byte_size(found.memory_bytes)} of {byte_size(found.memory_total_bytes)}"
    lines.append(f"CPU {_percent(found.cpu)} of {found.cores} cores, memory {memory}")
    lines += [f"{one.job}  CPU {_percent(one.cpu)}  RSS {byte_size(one.rss_bytes)}" for one in found.processes]
    return lines


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f} %"


def _gpu_cells(gpu: GpuReading) -> tuple[str, ...]:
    def words(value: float | None, unit: str) -> str:
        return "-" if value is None else f"{value:.0f}{unit}"

    memory = "-"
    if gpu.memory_bytes is not None and gpu.memory_total_bytes is not None:
        memory = f"{gpu.memory_bytes / 1e9:.1f}/{gpu.memory_total_bytes / 1e9:.0f} GB"
    power = words(gpu.power_w, "") + (f"/{words(gpu.power_limit_w, ' W')}" if gpu.power_limit_w else " W")
    return (
        str(gpu.index), one_line(gpu.name, 30), words(gpu.use, " %"), memory,
        "-" if gpu.power_w is None else power, words(gpu.temperature_c, " °C"), ", ".join(gpu.users) or "free",
    )  # fmt: skip
