"""The models of the Compare screen: the choices of its dialog, and the default ones."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec

from o1lab.errors import LabError
from o1lab.paths import Lab
from o1lab.serve.endpoints import endpoint_address, public_url
from o1lab.serve.registry import ModelRef
from o1lab.train.run_directory import list_run_dirs
from o1lab.widgets.dialogs import Choice


def model_choices(refs: Sequence[ModelRef]) -> list[Choice]:
    """Return a choice for each model, with its name, and its origin or what it lacks."""
    return [Choice(ref.id, ref.label, _detail(ref)) for ref in refs]


def _detail(ref: ModelRef) -> str:
    if ref.endpoint is not None:
        try:
            endpoint_address(ref.endpoint)
        except LabError as error:
            return error.message
        return f"{ref.id} · {public_url(ref.endpoint.url)}"
    match ref.source:
        case "checkpoint":
            return f"checkpoint {ref.step} of run {ref.run_id}, on {ref.base}"
        case "base":
            return "" if can_serve() else "needs the train extra (torch), which is not installed"
        case "server":
            return "served on this machine" if ref.record is not None else "no longer running"
    return ""


def can_serve() -> bool:
    """Whether the packages of the embedded server are installed; nothing is imported."""
    return all(find_spec(name) is not None for name in ("torch", "transformers", "peft"))


def default_models(lab: Lab, refs: Sequence[ModelRef]) -> list[ModelRef]:
    """Return the models to begin with: the solver, the newest finished student, and its base."""
    chosen = [ref for ref in refs if ref.source == "solver"]
    if not can_serve():
        return chosen + [ref for ref in refs if ref.source == "endpoint"][:1]
    students: dict[str | None, ModelRef] = {}
    for ref in refs:
        if ref.source == "checkpoint":
            students.setdefault(ref.run_id, ref)  # the latest checkpoint comes first
    finished = [run.id for run in list_run_dirs(lab) if run.id in students and run.info().state == "finished"]
    student = students[finished[0]] if finished else next(iter(students.values()), None)
    chosen += [student] if student is not None else []
    bases = [ref for ref in refs if ref.source == "base"]
    return chosen + [ref for ref in bases if student is None or ref.base == student.base][:1]
