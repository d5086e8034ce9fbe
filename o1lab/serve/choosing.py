"""Which base and which adapters a server is to load, by the names of a lab's models."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from o1lab.config import Config
from o1lab.errors import NotFoundError, O1LabError, RefusedError, UsageError
from o1lab.models.base import resolve_base
from o1lab.models.checkpoints import served_name
from o1lab.paths import Lab
from o1lab.serve.registry import ModelRef, find_model


def base_and_adapters(
    lab: Lab | None, config: Config | None, model: str, wanted: Sequence[str]
) -> tuple[str, dict[str, Path]]:
    """Return the base to serve, and the folders of its adapters by name.

    Args:
        lab: the lab; None without one.
        config: its configuration.
        model: a base, or a run: its base with its last checkpoint, or that checkpoint alone if it is a whole model.
        wanted: runs, ``RUN/STEP``, folders of adapters, or ``NAME=FOLDER``.

    Raises:
        NotFoundError: there is no such adapter.
        UsageError: a wanted one is a whole model.
        RefusedError: an adapter was trained on another base (code ``adapter_mismatch``).
    """
    adapters: dict[str, Path] = {}
    base = model
    ref = _model_of(lab, config, model)
    if ref is not None and ref.source in ("checkpoint", "imported"):
        base = ref.base or model
        adapters |= {ref.adapter_name: ref.adapter} if ref.adapter is not None else {}
    for name in wanted:
        found = _model_of(lab, config, name)
        if found is not None and found.is_whole_checkpoint:
            raise UsageError(f"{name} is a whole model, not an adapter.", f"Serve it by itself: o1lab serve {name}")
        if found is not None and found.adapter is not None:
            _check_base(name, found.base or "", base)
            adapters[found.adapter_name] = found.adapter
            continue
        given, equals, path = name.partition("=")
        folder = Path(path if equals else name).expanduser().absolute()
        if not (folder / "adapter_config.json").is_file():
            raise NotFoundError(
                f"There is no adapter {name}.", "Name a run, RUN/STEP, an adapter folder, or NAME=FOLDER."
            )
        adapters[given if equals else served_name(folder)] = folder
    return base, adapters


def _check_base(name: str, trained_on: str, base: str) -> None:
    """Raise if a run was trained on another base. Shapes cannot tell: a model and its instruct version share them."""

    def folder(model: str) -> Path | str:
        try:
            return resolve_base(model, fetch=False).resolve()
        except O1LabError:
            return model

    if trained_on != base and folder(trained_on) != folder(base):
        raise RefusedError(
            f"{name} was trained on {trained_on}, not on {base}.",
            f"Serve {trained_on}; if {base} is the same model, give the adapter folder instead of the run.",
            code="adapter_mismatch",
        )


def _model_of(lab: Lab | None, config: Config | None, name: str) -> ModelRef | None:
    """Return the model of the lab called ``name``; None if no model has that name."""
    if lab is None or config is None:
        return None
    try:
        return find_model(lab, name, config)
    except NotFoundError:
        return None
