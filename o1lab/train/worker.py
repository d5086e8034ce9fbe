"""The training worker: ``python -P -m o1lab.train.worker RUN_DIR [--resume]``.

A separate process that uses nothing but its run directory: it reads the recipe and the rows there, waits for its
device, trains with TRL and PEFT, and writes status and metrics. Its output goes to the run's log.txt. torchrun starts
several such processes for one run (:mod:`o1lab.train.trainer.distributed`): the first one decides for all.
"""

from __future__ import annotations

import argparse
import errno
import logging
import os
import shutil
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path

from o1lab.config import name_of
from o1lab.errors import LabError, O1LabError
from o1lab.jobs.device_queue import (
    Device,
    Ticket,
    acquire_all,
    acquire_first,
    allowed_devices,
    environment_of,
    places_words,
    resolve_devices,
)
from o1lab.jobs.heartbeat import Heartbeat, StopSignal
from o1lab.jobs.hook import HookCaller
from o1lab.models.library_errors import explain as explain_text
from o1lab.models.library_errors import first_line
from o1lab.train.launcher import after_signal, forget_end, goes_on
from o1lab.train.parent_run import wait_for_origin
from o1lab.train.recipes.recipe import Recipe
from o1lab.train.recipes.recipe_file import load
from o1lab.train.runs.directory import RunDir, RunStatus
from o1lab.train.trainer import rank_errors
from o1lab.train.trainer.distributed import Process, World
from o1lab.train.training import Session, names, train

_DISK_FULL_BYTES = 64 << 20
"""With less free space than this, a failed write is taken for a full disk."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--resume", action="store_true", help="continue from the last checkpoint")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for chatty in ("httpx", "httpcore", "urllib3"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    return work(RunDir(arguments.run.absolute()), resuming=arguments.resume)


def work(run: RunDir, *, resuming: bool) -> int:
    """Run the training to its end, in this process and the others that torchrun started with it.

    Args:
        run: the run.
        resuming: whether to continue from the last checkpoint. A run that a person starts by its command always does.

    Returns:
        The exit status: 0 if the run finished or was stopped.
    """
    world = World.of()
    resuming = resuming or goes_on(run)
    if not world.is_first:
        return _follow(run, world, resuming=resuming)
    with run.exclusive_lock() as ours:
        if ours:
            return _lead(run, world, resuming=resuming)
    print(run.locked("running"), file=sys.stderr, flush=True)
    return 1


def _lead(run: RunDir, world: World, *, resuming: bool) -> int:
    """Work as the first process, which has the lock, the status, the device queue, the metrics and the hook."""
    stop = StopSignal(run)
    _stop_on_signals(stop.set)
    forget_end(run)
    before = run.read_status()
    this = Process.this(0)
    status = RunStatus(
        "starting",
        pid=this.pid,
        host=this.host,
        pid_started=this.started,
        step=before.step,
        total_steps=before.total_steps,
        kind=before.kind,
        message="Loading.",
        warnings=before.warnings if resuming else (),
        processes=world.size,
    )
    heartbeat = Heartbeat(run, status)
    hook = HookCaller(run)
    watch = None
    if world.size > 1:
        rank_errors.forget_earlier(run, this.started or time.time())

        def failed(error: O1LabError) -> None:
            heartbeat.end(state="failed", after="", message=error.message, hint=error.hint)
            os._exit(1)  # the main thread may wait for the other process forever

        watch = rank_errors.Watch(run, failed)
    try:
        recipe, devices = _meet(run, world)
        end = _in_turn(Session(run, world, heartbeat, stop, hook, resuming), recipe, devices, stop)
        world.leave()
    except BaseException as error:
        _print_traceback()
        lost = rank_errors.explain_loss(run, world.members) if rank_errors.is_lost_connection(error) else None
        explained = lost or explain(error, run)
        if watch:
            watch.close()
        heartbeat.end(state="failed", after="", message=explained.message, hint=explained.hint)
        return 1
    else:
        if watch:
            watch.close()
        heartbeat.end(**after_signal(run, end, signalled=stop.signalled))
        return 0
    finally:
        hook.close()


def _follow(run: RunDir, world: World, *, resuming: bool) -> int:
    """Work as one of the other processes: train with the first one, and record an error for it."""
    try:
        _, devices = _meet(run, world)
        stop = threading.Event()
        _stop_on_signals(stop.set)
        if (recipe := world.from_first(None)) is not None:
            heartbeat = Heartbeat(run, RunStatus("starting"), silent=True)
            train(Session(run, world, heartbeat, stop.is_set, None, resuming), recipe, devices)
        world.leave()
    except BaseException as error:
        _print_traceback()
        rank_errors.leave(run, world, error, explain(error, run))
        return 1
    return 0


def _print_traceback() -> None:
    with suppress(OSError):  # the terminal or the pipe is closed; the status must still be written
        traceback.print_exc()


def _stop_on_signals(stop: Callable[[], None]) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop())


def _meet(run: RunDir, world: World) -> tuple[Recipe, list[Device]]:
    """Read the recipe, hide the devices of others, and meet the other processes.

    Returns:
        The recipe, and the devices of the processes on this node; those that a single process may choose from.
    """
    recipe = load(run.recipe)
    if world.size == 1:
        return recipe, allowed_devices(recipe.device)
    devices = resolve_devices(recipe.device, world.local_size)
    os.environ.update(environment_of(devices))
    world.meet(gpu=devices[0].is_gpu)
    return recipe, devices


def _in_turn(session: Session, recipe: Recipe, allowed: Sequence[Device], stop: StopSignal) -> dict[str, str]:
    """Wait for the run to start from and for the devices, then train; returns the final fields of status.json."""
    run, world, heartbeat = session.run, session.world, session.heartbeat
    settled = wait_for_origin(run, recipe, heartbeat, stop)
    if settled is None:
        world.from_first(None)
        return {"state": "stopped", "after": "", "message": f"Stopped while waiting for run {heartbeat.status.after}."}

    alone = world.size == 1

    def waiting(ahead: Sequence[Ticket]) -> None:
        message = places_words(allowed, ahead, every=not alone)
        if heartbeat.status.state != "queued" or heartbeat.status.message != message:
            heartbeat.update(state="queued", message=message)

    owner = Ticket(f"{run.noun} {run.id}", name_of(run.lab), str(run.path))
    turn: AbstractContextManager[Device | Sequence[Device] | None]
    if run.launch() is not None:  # a scheduler or a person has assigned this machine to the run
        turn = nullcontext(allowed[0] if alone else allowed)
    else:
        turn = (acquire_first if alone else acquire_all)(allowed, owner=owner, waiting=waiting, give_up=stop)
    with turn as found:
        world.from_first(settled if found else None)
        if not found:
            return {"state": "stopped", "message": "Stopped while waiting for its device."}
        devices = [found] if isinstance(found, Device) else found
        os.environ.update(environment_of(devices))
        heartbeat.update(state="starting", message="Loading.", device=names(devices))
        return train(session, settled, devices)


def explain(error: BaseException, run: RunDir) -> O1LabError:
    """Convert the error that ended a run to one with a message and a hint; the traceback is in the run's log."""
    if isinstance(error, O1LabError):
        return error
    text = str(error)
    if (isinstance(error, OSError) and error.errno == errno.ENOSPC) or _disk_is_full(run, text):
        return LabError(
            "The disk is full: the run could not write.",
            "Free some space, then resume: the last complete checkpoint is kept.",
            code="disk_full",
        )
    known = explain_text(f"{type(error).__name__}: {text}")
    return known or LabError(
        f"Training failed: {type(error).__name__}: {first_line(error)}.",
        "The traceback is in the run's log.txt.",
        code="failed",
    )


def _disk_is_full(run: RunDir, text: str) -> bool:
    if "No space left" in text:
        return True
    try:
        return "writing file" in text and shutil.disk_usage(run.path).free < _DISK_FULL_BYTES
    except OSError:
        return False


if __name__ == "__main__":
    sys.exit(main())
