"""List, find and open the models of a lab, wherever they run."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from glob import escape
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from o1lab.config import Config, Endpoint, load_config
from o1lab.errors import LabError, NotFoundError, UsageError
from o1lab.jobs.about import id_of_name
from o1lab.jobs.directory import created_at
from o1lab.models.base import with_end_token
from o1lab.models.checkpoints import checkpoint_step, complete_checkpoints, kind_of, weights_stamp
from o1lab.models.imported import Imported, imported_models, named_base
from o1lab.models.prompts import PromptOptions
from o1lab.paths import Lab
from o1lab.serve.endpoints import ModelAddress, endpoint_address, public_url
from o1lab.serve.records import SOLVER, ServerRecord, live_records
from o1lab.small_files import UnreadableError, read_yaml
from store.naming import candidates

if TYPE_CHECKING:
    from o1lab.serve.manager import ServerManager

Role = Literal["teacher", "student", "base", "judge", "other"]
Source = Literal["endpoint", "solver", "base", "checkpoint", "imported", "server"]


@dataclass(frozen=True)
class ModelRef:
    """A model of the lab.

    Attributes:
        id: what users type: ``solver``, the name of a base, of an endpoint or of a model of the lab, ``<run>/<step>``,
            ``<pid>/<model>``.
        label: what screens show.
        base: what a server loads: the base, or the checkpoint of a run that trained all weights.
        adapter: the adapter to load onto it.
        prompt: the system prompt and the options of the template that a student was trained with.
    """

    id: str
    role: Role
    label: str
    source: Source
    base: str | None = None
    adapter: Path | None = None
    run_id: str | None = None
    step: int | None = None
    endpoint: Endpoint | None = None
    record: ServerRecord | None = None
    prompt: PromptOptions = field(default_factory=PromptOptions)

    @property
    def adapter_name(self) -> str:
        """The name of the adapter on servers that a person starts."""
        return self.id if self.run_id is None else f"{self.run_id}-step-{self.step}"

    def loaded_name(self) -> str:
        """Return the name of the adapter on a server that keeps running when the adapter is replaced.

        The name and the folder of an imported adapter may be given to another one, which must not be taken for it, so
        the name has a stamp of the weights. Reads the file system.
        """
        if self.source != "imported" or self.adapter is None:
            return self.adapter_name
        return f"{self.id}-{weights_stamp(self.adapter)}"

    @property
    def continues(self) -> bool:
        """Whether its server can continue a response that has begun; endpoints of o1lab.toml only answer messages."""
        return self.endpoint is None

    @property
    def is_whole_checkpoint(self) -> bool:
        """Whether it is a checkpoint of a run that trained all weights."""
        return self.source == "checkpoint" and self.adapter is None


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint of a run.

    Attributes:
        base: the base of an adapter; of a whole model its own folder.
    """

    run_id: str
    step: int
    path: Path
    base: str
    is_whole: bool = False


def run_base(run_dir: Path) -> str | None:
    """The base a run trains on, from its resolved recipe; ``None`` when there is none to read."""
    try:
        recipe = read_yaml(run_dir / "recipe.yaml")
    except UnreadableError:
        return None
    base = recipe.get("base") if isinstance(recipe, dict) else None
    return base if isinstance(base, str) else None


def checkpoints(run_dir: Path) -> list[Checkpoint]:
    """The complete checkpoints of a run's directory, by step, with what a server loads for each."""
    folders = complete_checkpoints(run_dir)
    trained_on = run_base(run_dir) if folders else None
    found = []
    for folder in folders:
        is_whole = kind_of(folder) == "full"
        base = str(folder.absolute()) if is_whole else trained_on or named_base(folder)
        if base:
            found.append(Checkpoint(run_dir.name, checkpoint_step(folder), folder, base, is_whole))
    return found


def list_models(lab: Lab, config: Config | None = None) -> list[ModelRef]:
    """Return all models: endpoints, the solver, the base, checkpoints (the latest run first), imported ones, servers.

    Raises:
        LabError: o1lab.toml cannot be read.
    """
    config = config or load_config(lab)
    refs = [ModelRef(e.name, e.role, _endpoint_title(e), "endpoint", endpoint=e) for e in config.endpoints]
    refs.append(ModelRef(SOLVER, "teacher", "teacher: solver (a program, not a language model)", "solver"))
    refs.append(ModelRef(config.base, "base", f"base: {config.base}", "base", base=config.base))
    folders = (path for path in lab.runs.glob("*") if path.is_dir())
    runs = sorted(folders, key=lambda path: created_at(path, "recipe.yaml"), reverse=True)
    refs.extend(ref for run in runs for c in reversed(checkpoints(run)) if (ref := _student(c)) is not None)
    refs.extend(_imported(one) for one in imported_models(lab) if not one.problem)
    for record in live_records(lab):
        if record.owner != "app":
            refs.extend(
                ModelRef(
                    f"{record.pid}/{m}",
                    "other",
                    f"server {record.pid}: {m}",
                    "server",
                    record=record,
                    prompt=PromptOptions.of(record.prompts.get(m, {})),
                )
                for m in record.models
            )
    return refs


def _endpoint_title(endpoint: Endpoint) -> str:
    """Return a title that starts with the endpoint's name: two endpoints may serve models of the same name."""
    same = endpoint.name == endpoint.model
    return f"{endpoint.role}: {endpoint.name}" + ("" if same else f" ({endpoint.model})")


def find_model(lab: Lab, wanted: str, config: Config | None = None, *, hint: str = "") -> ModelRef:
    """Return the model called ``wanted``: an id, a run by id or name (its last checkpoint), ``run/step-N``, a folder.

    Exact names of models go before the other ways to name one.

    Args:
        lab: the lab.
        wanted: the name.
        config: the lab's o1lab.toml; None to read it.
        hint: what to do if there is none; empty to name the models of the lab.

    Raises:
        NotFoundError: the lab has no model of this name.
        UsageError: several models have this name.
    """
    refs = list_models(lab, config)
    exact = [ref for ref in refs if ref.id == wanted]
    owners = [_what(ref) for ref in exact]
    if any(ref.endpoint is not None for ref in exact) and (
        id_of_name(lab.runs, wanted) is not None or any(ref.run_id == wanted for ref in refs)
    ):
        owners.append("a training run")
    if len(owners) > 1:
        raise UsageError(
            f"'{wanted}' is ambiguous: {' and '.join(owners)} have this name.",
            "Give the endpoint another name in o1lab.toml.",
        )
    if exact:
        return exact[0]
    by_id = {ref.id: ref for ref in refs}
    plain = wanted.replace("/step-", "/")
    if plain in by_id:
        return by_id[plain]
    named, slash, step = plain.partition("/")
    if (run_id := id_of_name(lab.runs, named)) is not None:
        wanted = f"{run_id}{slash}{step}"
        if wanted in by_id:
            return by_id[wanted]
    if run := next((ref for ref in refs if ref.run_id == wanted), None):
        return run
    folder = Path(wanted).expanduser()
    if (folder / "config.json").is_file():
        return ModelRef(str(folder.absolute()), "base", f"base: {folder.name}", "base", base=str(folder.absolute()))
    begin = sorted(path.name for path in lab.runs.glob(f"{escape(named)}*") if path.is_dir()) if named else []
    if len(begin) > 1:
        raise NotFoundError(f"Several runs begin with '{named}'.", candidates(begin))
    if begin and begin[0] != named:
        return find_model(lab, f"{begin[0]}{slash}{step}", config, hint=hint)
    names = ", ".join(list(by_id)[:8])
    raise NotFoundError(f"No model is called {wanted!r} in this lab.", hint or f"The lab has: {names}.")


def require_free_name(lab: Lab, name: str) -> None:
    """Check that nothing in the lab that can be named as a model has this name.

    Raises:
        UsageError: something has it.
    """
    taken = next((ref for ref in list_models(lab) if ref.id == name), None)
    if taken is not None or id_of_name(lab.runs, name) is not None or (lab.runs / name).is_dir():
        what = "a training run" if taken is None else _what(taken)
        raise UsageError(f"The name {name} is that of {what}.", "Give the model another one with --name.")


def _what(ref: ModelRef) -> str:
    if ref.endpoint is not None:
        return f"an endpoint ({public_url(ref.endpoint.url)}, {ref.endpoint.model})"
    known = {"solver": "the built-in solver", "base": "the base model", "imported": "a model in the lab's models"}
    return known.get(ref.source, f"a {ref.source}")


async def open_model(ref: ModelRef, manager: ServerManager | None = None, *, scores: bool = False) -> ModelAddress:
    """Return the address of ``ref``; start an embedded server or load an adapter if necessary.

    Args:
        ref: the model.
        manager: runs the servers of bases, checkpoints and the solver.
        scores: whether its server must score the tokens of texts.

    Raises:
        LabError: the endpoint's URL or key is not usable, or a server cannot start.
    """
    if ref.endpoint is not None:
        return endpoint_address(ref.endpoint)
    if ref.record is not None:
        fields = ref.prompt.request_fields(ref.record.engine)
        name, how = ref.id.partition("/")[2], _continues(ref.record.engine)
        return ModelAddress(ref.record.url, name, ref.record.token, fields=fields, continues=how)
    if ref.source == "server":
        raise LabError(f"{ref.id} is not running any more.", "Choose another model.", code="gone")
    if manager is None:
        raise LabError(f"{ref.label} needs a server, and none can be started here.", "Start one with: o1lab serve")
    if ref.source == "solver":
        server = await manager.ensure_server(SOLVER)
        return ModelAddress(server.url, SOLVER, server.token, continues="messages")
    adapters = {} if ref.adapter is None else {await asyncio.to_thread(ref.loaded_name): ref.adapter}
    server = await manager.ensure_server(ref.base or "", adapters, scores=scores)
    prompt = ref.prompt
    if server.engine == "vllm":
        if prompt.chat_template and ref.adapter is not None:
            raise LabError(
                f"{ref.label} was trained with its own chat template, but this vLLM server has that of the base.",
                f"Serve it alone: o1lab serve {ref.id} --engine vllm, or use the embedded server.",
                code="template",
            )
        prompt = await asyncio.to_thread(with_end_token, prompt, ref.base or "")
    name = next(iter(adapters), server.models[0])
    return ModelAddress(
        server.url,
        name,
        server.token,
        fields=prompt.request_fields(server.engine),
        continues=_continues(server.engine),
    )


def _continues(engine: str) -> Literal["messages", "tokens"]:
    return "tokens" if engine == "vllm" else "messages"


def _imported(one: Imported) -> ModelRef:
    adapter = one.folder.absolute() if one.kind == "adapter" else None
    role: Role = "student" if one.about.made_by or adapter is not None else "base"
    what = {"import": " (imported)", "merge": " (merged)"}.get(one.about.made_by, "")
    label = f"{role}: {one.name}{what}"
    return ModelRef(one.name, role, label, "imported", base=one.base, adapter=adapter, prompt=one.prompt)


def _student(checkpoint: Checkpoint) -> ModelRef | None:
    """Return a checkpoint as a model; None if its recipe is damaged, which the list of runs shows."""
    try:
        prompt = PromptOptions.of_checkpoint(checkpoint.path)
    except UnreadableError:
        return None
    name = f"{checkpoint.run_id}/{checkpoint.step}"
    return ModelRef(
        name,
        "student",
        f"student: {name}",
        "checkpoint",
        base=checkpoint.base,
        adapter=None if checkpoint.is_whole else checkpoint.path,
        run_id=checkpoint.run_id,
        step=checkpoint.step,
        prompt=prompt,
    )
