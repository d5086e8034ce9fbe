"""Whom a run asked and under which terms, written down when it begins: o1lab.toml may say something else later."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit

from o1lab.config import Config
from o1lab.distill.markdown import inline
from o1lab.distill.run_directory import RunFolder
from o1lab.files import write_json
from o1lab.paths import Lab
from o1lab.serve.registry import SOLVER, ModelRef, Source
from store.teacher_runs import TeacherRun


@dataclass(frozen=True, slots=True)
class AskedModel:
    """A model as it was when a run began.

    ``name`` is what the run's settings call it, ``model`` its name at its server. ``url`` (without credentials),
    ``terms`` and ``licence`` (of what it writes) are those of an endpoint; ``base`` that of a checkpoint.
    """

    name: str
    source: Source
    model: str
    url: str | None = None
    terms: str | None = None
    licence: str | None = None
    base: str | None = None


def asked_models(ref: ModelRef) -> AskedModel:
    """What is to be remembered of a model."""
    end = ref.endpoint
    if end is None:
        return AskedModel(ref.id, ref.source, ref.id, base=ref.base)
    return AskedModel(ref.id, ref.source, end.model, _address(end.url), end.terms, end.licence)


def keep_asked(path: Path, models: Iterable[ModelRef]) -> None:
    """Write down whom a run asks, its teacher first.

    Raises:
        OSError: the file cannot be written.
    """
    write_json(path, {"models": [asdict(asked_models(model)) for model in models]})


def restore_asked(path: Path) -> list[AskedModel] | None:
    """What :func:`keep_asked` wrote; None where it cannot be read."""
    try:
        return [AskedModel(**one) for one in json.loads(path.read_text("utf-8"))["models"]]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _address(url: str) -> str:
    """Where a server is, without what a url may carry of credentials."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def terms_of(lab: Lab, config: Config, run: TeacherRun) -> list[str]:
    """Under which terms the models of a run may be used, one line of Markdown each."""
    return [_sentence(config, one) for one in _asked(lab, config, run)]


def _asked(lab: Lab, config: Config, run: TeacherRun) -> list[AskedModel | str]:
    """Whom a run asked, as it wrote down when it began; else as o1lab.toml has them today, or by name alone."""
    kept = restore_asked(RunFolder(lab.root / run.dir).asked)
    if kept is not None:
        return list(kept)
    names = dict.fromkeys(str(name) for name in (run.endpoint, run.settings.get("critic")) if name)
    return [_today(config, name) or name for name in names]


def _today(config: Config, name: str) -> AskedModel | None:
    if name == SOLVER:
        return AskedModel(SOLVER, "solver", SOLVER)
    endpoint = config.endpoint(name)
    return asked_models(ModelRef(name, endpoint.role, name, "endpoint", endpoint=endpoint)) if endpoint else None


def _sentence(config: Config, one: AskedModel | str) -> str:
    if isinstance(one, str):
        return (
            f"- {inline(one)}: what it is, and under which terms, was not recorded when its run began, and o1lab.toml "
            "has no endpoint of that name today.\n"
        )
    if one.source == "solver":
        return f"- {SOLVER}: a program that comes with o1lab; there are no terms.\n"
    who = inline(one.name) + (f" ({inline(one.model)})" if one.model != one.name else "")
    if one.source != "endpoint":
        base = f", made from {inline(one.base)}" if one.base and one.base != one.name else ""
        return f"- {who}: a model of this lab, not an endpoint{base}; its own licence applies.\n"
    terms = inline(one.terms) if one.terms else "not recorded; read them before sharing this"
    if not one.terms and (today := _today(config, one.name)) is not None and today.terms:
        terms = f"not recorded when its run began; o1lab.toml has today: {inline(today.terms)}"
    licence = f" What it writes is under {inline(one.licence)}." if one.licence else ""
    return f"- {who} at {inline(one.url or 'an unknown place')}: terms of use: {terms}.{licence}\n"
