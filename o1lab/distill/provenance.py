"""The models of a teacher run and their terms of use, recorded when it starts: o1lab.toml may change later."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from o1lab.config import Config, load_config
from o1lab.distill.run_directory import RunFolder
from o1lab.errors import RefusedError
from o1lab.files import write_json
from o1lab.markdown import inline
from o1lab.paths import Lab
from o1lab.serve.endpoints import public_url
from o1lab.serve.records import SOLVER
from o1lab.serve.registry import ModelRef, Source
from o1lab.small_files import UnreadableError, read_json
from store import Store, dataset_facts, teacher_runs
from store.records import Dataset
from store.teacher_runs import TeacherRun


@dataclass(frozen=True, slots=True)
class AskedModel:
    """A model as it was when a run started.

    Attributes:
        name: its name in the settings of the run.
        model: its name at the server.
        url: the URL of an endpoint, without credentials.
        terms: the terms of use of an endpoint.
        licence: the licence of an endpoint's outputs.
        publication: whether the terms allow publication, "allowed" or "forbidden"; None if it is not known.
        base: the base model of a checkpoint.
    """

    name: str
    source: Source
    model: str
    url: str | None = None
    terms: str | None = None
    licence: str | None = None
    base: str | None = None
    publication: str | None = None


def asked_model(ref: ModelRef) -> AskedModel:
    """Return what to record of a model."""
    end = ref.endpoint
    if end is None:
        return AskedModel(ref.id, ref.source, ref.id, base=ref.base)
    return AskedModel(ref.id, ref.source, end.model, public_url(end.url), end.terms, end.licence, None, end.publication)


def save_models(path: Path, models: Iterable[ModelRef]) -> None:
    """Record the models of a run, its teacher first.

    Raises:
        OSError: the file cannot be written.
    """
    write_json(path, {"models": [asdict(asked_model(model)) for model in models]})


def load_models(path: Path) -> list[AskedModel] | None:
    """Return the models that :func:`save_models` recorded; None if they cannot be read."""
    try:
        return read_json(path, dict[str, list[AskedModel]])["models"]
    except (UnreadableError, KeyError):
        return None


def terms_of(lab: Lab, config: Config, run: TeacherRun) -> list[str]:
    """Return the terms of use of a run's models, one line of Markdown each."""
    return [_sentence(config, one) for one in _models_of(lab, config, run)]


def terms_of_datasets(lab: Lab, store: Store, names: Iterable[Dataset]) -> list[str]:
    """Return one line of Markdown for each model that wrote rows of these datasets in a teacher run."""
    config = load_config(lab)
    return list(dict.fromkeys(_sentence(config, one) for one in _models_of_datasets(lab, store, config, names)))


def require_accepted_terms(
    lab: Lab, store: Store, names: Iterable[Dataset], *, accepted: bool, unrecorded: bool = False
) -> None:
    """Check that rows of these datasets may be published, as far as the lab knows.

    Args:
        lab: the lab.
        store: its database.
        names: the datasets.
        accepted: a person has read the terms and accepts them.
        unrecorded: also refuse what models without recorded terms wrote.

    Raises:
        RefusedError: terms forbid publication, or it is not known whether they do (code ``terms``).
    """
    if accepted:
        return
    config = load_config(lab)
    models = _models_of_datasets(lab, store, config, names)
    bound = [_sentence(config, one) for one in models if _is_bound(config, one, unrecorded=unrecorded)]
    if bound:
        lines = " ".join(line.strip("- \n") for line in dict.fromkeys(bound))
        raise RefusedError(
            f"The rows were written by models whose terms of use forbid publication, or may forbid it: {lines}",
            'Read the terms, then add --accept-terms. `publication = "allowed"` of an endpoint in o1lab.toml says '
            "that its terms allow it. The card names the terms.",
            code="terms",
        )


def _models_of_datasets(lab: Lab, store: Store, config: Config, names: Iterable[Dataset]) -> list[AskedModel | str]:
    runs = {run for one in names for run in dataset_facts.runs(store.db, one.name)}
    found = (one for run in sorted(runs) for one in _models_of(lab, config, teacher_runs.get(store.db, run)))
    return list(dict.fromkeys(found))


def _is_bound(config: Config, one: AskedModel | str, *, unrecorded: bool) -> bool:
    """Return whether terms of use forbid, or may forbid, publishing what a model wrote."""
    if isinstance(one, str):
        return unrecorded
    if one.source != "endpoint":
        return False
    publication = _fact(config, one, "publication")
    return publication == "forbidden" or (
        publication is None and (unrecorded or _fact(config, one, "terms") is not None)
    )


def _fact(config: Config, one: AskedModel, name: Literal["publication", "terms"]) -> str | None:
    """Return what was recorded when the run started, else what o1lab.toml says today."""
    return getattr(one, name) or getattr(_today(config, one.name), name, None) or None


def _models_of(lab: Lab, config: Config, run: TeacherRun) -> list[AskedModel | str]:
    """Return the recorded models of a run; without a record, those of today's o1lab.toml, or only their names."""
    kept = load_models(RunFolder(lab.root / run.dir).asked)
    if kept is not None:
        return list(kept)
    names = dict.fromkeys(str(name) for name in (run.endpoint, run.settings.get("critic")) if name)
    return [_today(config, name) or name for name in names]


def _today(config: Config, name: str) -> AskedModel | None:
    if name == SOLVER:
        return AskedModel(SOLVER, "solver", SOLVER)
    endpoint = config.endpoint(name)
    return asked_model(ModelRef(name, endpoint.role, name, "endpoint", endpoint=endpoint)) if endpoint else None


def _sentence(config: Config, one: AskedModel | str) -> str:
    if isinstance(one, str):
        return (
            f"- {inline(one)}: the model and its terms were not recorded when the run started, and o1lab.toml has no "
            "endpoint of this name today.\n"
        )
    if one.source == "solver":
        return f"- {SOLVER}: a program that is part of o1lab; no terms apply.\n"
    model = inline(one.name) + (f" ({inline(one.model)})" if one.model != one.name else "")
    if one.source != "endpoint":
        base = f", made from {inline(one.base)}" if one.base and one.base != one.name else ""
        return f"- {model}: a model of this lab, not an endpoint{base}; its own licence applies.\n"
    terms = inline(one.terms) if one.terms else "not recorded; read them before sharing this"
    if not one.terms and (today := _today(config, one.name)) is not None and today.terms:
        terms = f"not recorded when the run started; o1lab.toml has today: {inline(today.terms)}"
    terms += {
        "allowed": ". They allow publication", "forbidden": ". They forbid publication",
    }.get(_fact(config, one, "publication") or "", "")  # fmt: skip
    licence = f" Its outputs are under {inline(one.licence)}." if one.licence else ""
    return f"- {model} at {inline(one.url or 'an unknown URL')}: terms of use: {terms}.{licence}\n"
