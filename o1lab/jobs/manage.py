"""Manage jobs: list, find, stop, pause, resume, rename, annotate, tag, archive and remove them.

Functions that are the same for every kind of job take its directory. What differs is declared once per kind in a
:class:`JobKind`: ``o1lab.train.launch.RUNS``, ``o1lab.distill.runs.TEACHER_RUNS`` and
``o1lab.evaluate.run.control.EVALUATIONS``. The command line (``o1lab.cli.jobs``) and the screens use both.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Generic

from o1lab.errors import LabError, UsageError
from o1lab.files import locked, write_json, writing
from o1lab.jobs import spawn
from o1lab.jobs.about import About, Note, valid_tags
from o1lab.jobs.directory import FolderT, JobFolder, JobInfo, SettingsT, StatusT, find_directory, list_directories
from o1lab.jobs.spawn import follow_all
from o1lab.paths import Lab
from store.records import require_name

_POLL_S = 0.2


@dataclass(frozen=True, slots=True)
class Resumed:
    """A resumed job. ``pid`` is the process id of its new worker; None if its worker continues or is elsewhere."""

    info: JobInfo[Any, Any]
    pid: int | None


@dataclass(frozen=True, slots=True)
class Removed:
    """A job that was removed: its last state, its directory, and how many bytes were freed."""

    info: JobInfo[Any, Any]
    path: Path
    freed_bytes: int


@dataclass(frozen=True)
class JobKind(Generic[FolderT]):
    """One kind of job.

    Args:
        directory: the class of its directories; it declares the noun and the group of commands.
        parent: returns the folder of a lab that contains the directories.
        prepare: prepares a job that is not active to continue, with new values of some settings. Raises
            ``UsageError`` or ``RefusedError`` if it cannot continue.
        launch: starts a detached worker for a prepared job, with further arguments of its command line, and returns its
            process id; None if it is not a process of this machine.
        forget: called before a directory is removed. Deletes the job's rows in the database, and returns the names of
            files that must stay in the directory because other data refer to them. Raises if the job is needed.
        can_pause: whether jobs of this kind can be paused.
        require_unneeded: raises ``RefusedError`` if other jobs need this one, so that it cannot be removed.
    """

    directory: type[FolderT]
    parent: Callable[[Lab], Path]
    prepare: Callable[[Lab, FolderT, Mapping[str, Any]], None]
    launch: Callable[..., int | None]
    forget: Callable[[Lab, FolderT], tuple[str, ...]] = field(default=lambda _lab, _folder: ())
    can_pause: bool = True
    require_unneeded: Callable[[Lab, FolderT], None] = field(default=lambda _lab, _folder: None)

    def directories(self, lab: Lab) -> list[FolderT]:
        """List the directories of all jobs of this kind, the newest first."""
        spawn.reap()
        return list_directories(self.parent(lab), self.directory)

    def infos(self, lab: Lab) -> list[JobInfo[Any, Any]]:
        """Return the state of all jobs of this kind, the newest first."""
        return [folder.info() for folder in self.directories(lab)]

    def find(self, lab: Lab, identity: str) -> FolderT:
        """Return the job with this id or name, or the only one whose id begins with ``identity``.

        Raises:
            NotFoundError: there is none, or there are several.
        """
        return find_directory(self.parent(lab), identity, self.directory)

    def resume(self, lab: Lab, folder: FolderT, changes: Mapping[str, Any] | None = None) -> Resumed:
        """Continue a job that is paused, stopped, failed or dead, with a detached worker if it needs a new one.

        Args:
            lab: the lab of the job.
            folder: the job.
            changes: new values of settings that may change, such as budgets and concurrency; None is no change.

        Raises:
            UsageError: it is running, it cannot continue, or a change is not possible.
            RefusedError: a training run has no checkpoint to continue from.
            LabError: its directory cannot be written, or the worker cannot be started.
        """
        if unpause(folder, changes):
            return Resumed(folder.info(), None)
        self.prepare(lab, folder, changes or {})
        pid = self.launch(folder)
        return Resumed(folder.info(), pid)

    def removal(self, lab: Lab, folder: FolderT) -> int:
        """Return how many bytes the files of a job take, if it can be removed.

        Raises:
            UsageError: it is active.
            RefusedError: other jobs need it.
        """
        self._require_ended(folder)
        self.require_unneeded(lab, folder)
        return _size(folder.path)

    def remove(self, lab: Lab, folder: FolderT) -> Removed:
        """Delete a job: its directory, and its rows in the database unless other data refer to them.

        Raises:
            UsageError: it is active.
            RefusedError: other jobs need it.
            LabError: something cannot be deleted.
        """
        info = self._require_ended(folder)
        with folder.exclusive_lock() as ours:
            if not ours:
                raise folder.locked("using")
            self.require_unneeded(lab, folder)
            kept = self.forget(lab, folder)
            before = _size(folder.path)
            try:
                _delete(folder, kept)
            except OSError as error:
                raise LabError(f"Cannot delete {folder.path}: {error.strerror}.", "Delete it yourself.") from error
        return Removed(info, folder.path, before - _size(folder.path))

    def _require_ended(self, folder: FolderT) -> JobInfo[Any, Any]:
        spawn.reap()
        info: JobInfo[Any, Any] = folder.info()
        if info.active:
            elsewhere = f" If its host is gone, delete {folder.path} yourself." if info.stale else ""
            raise UsageError(
                f"The {folder.noun} {folder.id} is {info.state}.",
                f"Stop it first: {folder.verb} stop {folder.id}.{elsewhere}",
            )
        return info


def stop(
    folder: JobFolder[StatusT, SettingsT], *, wait: bool = False, timeout_s: float | None = None
) -> JobInfo[StatusT, SettingsT]:
    """Ask a job to stop. Calls in flight are completed; a training run saves a checkpoint.

    Args:
        folder: the job.
        wait: return only when it has stopped.
        timeout_s: maximum number of seconds to wait; None for no limit.

    Returns:
        The state of the job afterwards.

    Raises:
        UsageError: it is not active.
        LabError: its directory cannot be written, or it did not stop in time.
    """
    ensure_active(folder)
    folder.ask_to_stop()
    if not wait:
        return folder.info()
    for _, info in follow_all([folder], poll_s=_POLL_S, timeout_s=timeout_s):
        return info
    raise LabError(f"The {folder.noun} {folder.id} has not stopped yet.", "It stops after its current step.")


def pause(folder: JobFolder[StatusT, SettingsT]) -> JobInfo[StatusT, SettingsT]:
    """Ask a job to make no new call until it is resumed.

    Raises:
        UsageError: it is not active.
        LabError: its directory cannot be written.
    """
    info = ensure_active(folder)
    folder.ask_to_pause()
    return info


def unpause(folder: JobFolder[Any, Any], changes: Mapping[str, Any] | None = None) -> bool:
    """Let a paused job continue in its own process.

    Args:
        folder: the job.
        changes: new values of settings; a running process cannot change them.

    Returns:
        False if no process is running the job.

    Raises:
        UsageError: it is active and not paused, or there are changes.
        LabError: its directory cannot be written.
    """
    info = folder.info()
    if not info.active or info.status.pid is None:
        return False
    if not folder.pause_file.exists() and info.state != "paused":
        raise UsageError(
            f"The {folder.noun} {folder.id} is already {info.state}.", f"Stop it first: {folder.verb} stop {folder.id}"
        )
    if any(value is not None for value in (changes or {}).values()):
        raise UsageError(
            f"The {folder.noun} {folder.id} is paused; its settings cannot change while its process runs.",
            f"Stop it first: {folder.verb} stop {folder.id}",
        )
    try:
        folder.pause_file.unlink(missing_ok=True)
    except OSError as error:
        raise LabError(
            f"Cannot resume the {folder.noun}: {error.strerror}.", f"Delete {folder.pause_file} yourself."
        ) from error
    return True


def ensure_active(folder: JobFolder[StatusT, SettingsT]) -> JobInfo[StatusT, SettingsT]:
    """Return the state of a job that must be active.

    Raises:
        UsageError: it is not active.
    """
    info = folder.info()
    if not info.active:
        raise UsageError(
            f"The {folder.noun} {folder.id} is {info.state}, not running.", f"See `{folder.verb} show {folder.id}`."
        )
    return info


def ensure_not_running(folder: JobFolder[StatusT, SettingsT]) -> JobInfo[StatusT, SettingsT]:
    """Return the state of a job that no process may be running.

    Raises:
        UsageError: a process is running it.
    """
    info = folder.info()
    if info.active and info.status.pid is not None:
        raise UsageError(
            f"The {folder.noun} {folder.id} is already {info.state}.",
            folder.resume_hint if info.state == "paused" else f"Stop it first: {folder.verb} stop {folder.id}",
        )
    return info


def rename(folder: JobFolder[StatusT, SettingsT], name: str) -> JobInfo[StatusT, SettingsT]:
    """Give a job a display name, which can be used like its id; an empty name removes it.

    Raises:
        UsageError: the name is not valid, or another job of this kind has it as its name or id.
        LabError: the directory cannot be written.
    """
    name = name.strip()
    if name:
        require_name(name)
    for other in list_directories(folder.path.parent, type(folder)) if name else []:
        if other.id != folder.id and name in (other.id, other.info().name):
            raise UsageError(f"The {folder.noun} {other.id} already has the name '{name}'.", "Choose another name.")
    _write_about(folder, lambda about: replace(about, name=name))
    return folder.info()


def add_note(folder: JobFolder[StatusT, SettingsT], text: str) -> JobInfo[StatusT, SettingsT]:
    """Append a note to a job.

    Raises:
        UsageError: the note is empty.
        LabError: the directory cannot be written.
    """
    text = text.strip()
    if not text:
        raise UsageError("The note is empty.", "Give its text in quotes.")
    note = Note(text, datetime.now(UTC).isoformat(timespec="seconds"))
    _write_about(folder, lambda about: replace(about, notes=(*about.notes, note)))
    return folder.info()


def tag(
    folder: JobFolder[StatusT, SettingsT], tags: Sequence[str], *, remove: bool = False
) -> JobInfo[StatusT, SettingsT]:
    """Add tags to a job, or remove them.

    Raises:
        UsageError: a tag is not valid, or a tag to remove is not one of the job's.
        LabError: the directory cannot be written.
    """
    wanted = [word.strip().lower() for word in tags]

    def changed(about: About) -> About:
        if not remove:
            return replace(about, tags=valid_tags([*about.tags, *wanted]))
        if missing := [word for word in wanted if word not in about.tags]:
            has = f"It has {', '.join(about.tags)}." if about.tags else "It has no tags."
            raise UsageError(f"The {folder.noun} {folder.id} has no tag '{missing[0]}'.", has)
        return replace(about, tags=tuple(one for one in about.tags if one not in wanted))

    _write_about(folder, changed)
    return folder.info()


def set_tags(folder: JobFolder[StatusT, SettingsT], tags: Sequence[str]) -> JobInfo[StatusT, SettingsT]:
    """Replace the tags of a job; case does not matter.

    Raises:
        UsageError: a tag is not valid.
        LabError: the directory cannot be written.
    """
    wanted = valid_tags(tags)
    _write_about(folder, lambda about: replace(about, tags=wanted))
    return folder.info()


def archive(folder: JobFolder[StatusT, SettingsT], *, archived: bool = True) -> JobInfo[StatusT, SettingsT]:
    """Archive a job, so that lists omit it, or undo that. Its files stay where they are.

    Raises:
        UsageError: it is active.
        LabError: the directory cannot be written.
    """
    info = folder.info()
    if archived and info.active:
        raise UsageError(
            f"The {folder.noun} {folder.id} is {info.state}.", f"Stop it first: {folder.verb} stop {folder.id}."
        )
    _write_about(folder, lambda about: replace(about, archived=archived))
    return folder.info()


def _write_about(folder: JobFolder[Any, Any], change: Callable[[About], About]) -> None:
    """Replace about.json by what ``change`` makes of it; other programs that change it wait."""
    with writing(folder.about_file):
        folder.about_lock.parent.mkdir(exist_ok=True)  # not the job's folder, which may have been removed
        with locked(folder.about_lock):
            write_json(folder.about_file, asdict(change(folder.about())))


def _delete(folder: JobFolder[Any, Any], kept: tuple[str, ...]) -> None:
    if not kept:
        hidden = folder.path.with_name(f".removed-{folder.id}")
        folder.path.rename(hidden)  # lists skip what a crash leaves from here on
        shutil.rmtree(hidden)
        return
    (folder.path / folder.marker).unlink(missing_ok=True)
    for path in folder.path.iterdir():
        if path.name in kept:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _size(folder: Path) -> int:
    """Return the bytes of all files below a folder."""
    total = 0
    for path in folder.rglob("*"):
        with suppress(OSError):
            if path.is_symlink() or path.is_file():
                total += path.lstat().st_size
    return total
