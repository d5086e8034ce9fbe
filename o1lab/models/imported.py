"""Models of the lab: adapters and whole models that were imported from a folder or from the hub.

Each is a folder in ``LAB/models``. An adapter needs its base, which its description names; a whole model is a base that
can be served, trained on and compared like any.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path

from pydantic import BaseModel

from o1lab.errors import LabError, NotFoundError, O1LabError, RefusedError, UsageError
from o1lab.files import writing
from o1lab.format import byte_size
from o1lab.models import hub
from o1lab.models.base import HUB_ID, chat_template, check_folder, resolve_base
from o1lab.models.checkpoints import Kind
from o1lab.models.child import run_child
from o1lab.models.description import FILE, Description, described
from o1lab.models.prompts import PromptOptions
from o1lab.models.student import STUDENT, STUDENT_NAME, require_train_extra
from o1lab.paths import Lab, cache_dir
from o1lab.small_files import read_object
from o1lab.text import one_line
from store.records import now

Progress = Callable[[str], None]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,79}")
_CACHED = re.compile(r"models--([\w.-]+?)--([\w.-]+)")
_ADAPTER = "adapter_config.json"
_WEIGHTS = "adapter_model.safetensors"
_CONFIG = "config.json"
_OF_ADAPTER = (_ADAPTER, _WEIGHTS, "chat_template.jinja", "chat_template.json", "tokenizer_config.json", FILE)
_OF_MODEL = (
    "config.json", "generation_config.json", "*.safetensors", "model.safetensors.index.json", "tokenizer.json",
    "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.json", "vocab.txt", "merges.txt",
    "tokenizer.model", "chat_template.jinja", "chat_template.json", FILE,
)  # fmt: skip
_OF_BOTH = ("README.md", "LICENSE*", "NOTICE*")
_NOT_OF_MODEL = ("adapter_*", "consolidated*.safetensors")  # Mistral's weights are there twice


class Job(BaseModel):
    """The input of the checking process: an adapter and its base, or a whole model (``base`` is empty)."""

    folder: str
    base: str


@dataclass(frozen=True, slots=True)
class Imported:
    """A model of the lab.

    Attributes:
        name: the name of its folder, by which it is known.
        folder: the folder.
        kind: whether it is an adapter or a whole model.
        base: the base of an adapter; of a whole model, its folder.
        about: where it came from and how it is asked.
        problem: why it cannot be used; empty if it can.
    """

    name: str
    folder: Path
    kind: Kind
    base: str
    about: Description
    problem: str = ""

    @property
    def prompt(self) -> PromptOptions:
        return PromptOptions.of(self.about.prompt)


def imported_models(lab: Lab) -> list[Imported]:
    """Return the models of a lab, by name; also folders that were put there by hand."""
    folders = (path for path in lab.models.glob("*") if path.is_dir() and not path.name.startswith("."))
    return [read_imported(folder) for folder in sorted(folders)]


def find_imported(lab: Lab, name: str) -> Imported | None:
    """Return the model with a name; None if there is none."""
    folder = lab.models / name
    return read_imported(folder) if _NAME.fullmatch(name) and folder.is_dir() else None


def read_imported(folder: Path) -> Imported:
    """Return the model in a folder of ``LAB/models``."""
    about = described(folder)
    if (folder / _WEIGHTS).is_file() and (folder / _ADAPTER).is_file():
        base = about.base or named_base(folder)
        problem = "" if base else "its base is not known: import it again with --base"
        return Imported(folder.name, folder, "adapter", base, about, problem)
    problem = "" if (folder / _CONFIG).is_file() else "it is not a model: it has neither config.json nor an adapter"
    return Imported(folder.name, folder, "full", str(folder.absolute()), about, problem)


def named_base(folder: Path) -> str:
    """Return the base that the settings of an adapter name; empty if they name none."""
    name = read_object(folder / _ADAPTER).get("base_model_name_or_path")
    return name if isinstance(name, str) else ""


def name_of(source: str, name: str = "") -> str:
    """Return the name of a model that is imported: the one that was given, else the last part of the source.

    Raises:
        UsageError: it cannot be the name of a folder.
    """
    found = name or Path(source).expanduser().absolute().name
    if not _NAME.fullmatch(found):
        raise UsageError(
            f"{one_line(found, 80)!r} cannot be the name of a model.",
            "Give it one of letters, digits, '.', '-' and '_' with --name.",
        )
    return found


def import_model(
    lab: Lab, source: str, *, name: str = "", base: str = "", revision: str = "", progress: Progress = lambda _: None
) -> Imported:
    """Copy an adapter or a whole model into the lab, after checking that it can be used.

    Args:
        lab: the lab.
        source: a folder, or a model of the hub.
        name: what it is called; empty for the last part of the source.
        base: the base of an adapter; empty for the one that it names.
        revision: the revision on the hub.
        progress: called with sentences for people.

    Raises:
        UsageError: the name is taken or not possible, or a whole model was given a base.
        NotFoundError: there is no such folder or model.
        RefusedError: it is not a model that can be used.
        LabError: it cannot be fetched or stored.
    """
    require_train_extra("Importing a model", ("torch", "transformers", "peft"))
    called = name_of(source, name)
    target = lab.models / called
    if target.exists():
        raise UsageError(f"The lab has a model called {called}.", "Give this one another name with --name.")
    stamp = hashlib.sha256(f"{source} {revision}".encode("utf-8", "surrogatepass")).hexdigest()[:8]
    building = lab.models / f".{called}.{stamp}.partial"  # an interrupted download is continued here
    try:
        about = _gathered(source, revision, building, progress)
        folder = None
        if (building / _ADAPTER).is_file():
            about, folder = _with_base(about, building, base, progress)
        elif base:
            raise UsageError(f"{source} is a whole model, which needs no base.", "Leave --base out.")
        else:
            check_folder(building)
        progress("Checking it...")
        job = Job(folder=str(building), base=str(folder or ""))
        run_child(
            "o1lab.models.import_worker", job.model_dump_json(), doing="Checking the model", code="model",
            killed="Free some memory and try again.", progress=progress,
        )  # fmt: skip
    except O1LabError as error:
        if error.code != "network":
            shutil.rmtree(building, ignore_errors=True)
        raise
    with writing(target):
        shutil.rmtree(building / ".cache", ignore_errors=True)  # of the hub's library
        replace(about, made_by="import", created_at=now()).write(building)
        building.replace(target)
    return read_imported(target)


def remove(one: Imported) -> int:
    """Delete a model of the lab.

    Returns:
        The bytes that are free again.

    Raises:
        LabError: it cannot be deleted.
    """
    size = size_of(one.folder)
    try:
        shutil.rmtree(one.folder)
    except OSError as error:
        raise LabError(f"Cannot delete {one.folder}: {error.strerror}.", "Delete it by hand.") from error
    return size


def size_of(folder: Path) -> int:
    """Return the bytes of the files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _gathered(source: str, revision: str, building: Path, progress: Progress) -> Description:
    """Copy or download the files that matter, and return where they came from and what the model is asked with."""
    path = Path(source).expanduser()
    local = path.exists() or source.startswith(("/", "./", "../", "~"))
    if local:
        if revision:
            raise UsageError(f"{source} is a folder, which has no revisions.", "Leave --revision out.")
        files, links = _files_of(path)
        wanted = model_files(source, files, links)
        if links:
            progress(f"Left out, as links to files outside the folder: {one_line(', '.join(links), 200)}.")
    else:
        if not HUB_ID.fullmatch(source):
            raise NotFoundError(f"There is no folder {source}.", "Name a folder, or a model of the hub as ORG/NAME.")
        model = hub.model_on_hub(source, revision)
        wanted = model_files(source, {file: size for file, size in model.files.items() if "/" not in file})
    with writing(building):
        if local:
            shutil.rmtree(building, ignore_errors=True)
        building.mkdir(parents=True, exist_ok=True)
        _require_space(building, sum(wanted.values()))
        for number, (file, size) in enumerate(wanted.items(), 1):
            progress(f"{'Copying' if local else 'Fetching'} {number} of {len(wanted)}: {file} ({byte_size(size)})...")
            if local:
                shutil.copyfile(path / file, building / file)
            else:
                hub.download(model, file, building)
    if local:
        prompt = PromptOptions.of_checkpoint(path.absolute()).as_json()
        return replace(described(building), prompt=prompt, source=str(path.absolute()), revision="")
    return replace(described(building), source=source, revision=model.revision)


def _files_of(path: Path) -> tuple[dict[str, int], tuple[str, ...]]:
    if not path.exists():
        raise NotFoundError(f"There is no folder {path}.", "Check the path.")
    if not path.is_dir():
        raise RefusedError(f"{path} is a file, not a model folder.", "Name the folder that has it.", code="model")
    return files_and_links(path)


def files_and_links(folder: Path) -> tuple[dict[str, int], tuple[str, ...]]:
    """Return the files of a folder with their sizes, and the names of links to files outside of it.

    A folder from someone else may contain links to private files of the person who imports or pushes it.
    """
    found = sorted(one for one in folder.iterdir() if one.is_file())
    links = tuple(one.name for one in found if leads_outside(one))
    return {one.name: one.stat().st_size for one in found if one.name not in links}, links


def leads_outside(path: Path) -> bool:
    """Whether a path is a link to a file outside its folder. In the cache of the hub, blobs of the model are inside."""
    if not path.is_symlink():
        return False
    folder, target = path.parent.resolve(), path.resolve()
    cached = folder.parent.parent
    return not (
        target.is_relative_to(folder)
        or (_CACHED.fullmatch(cached.name) is not None and target.is_relative_to(cached / "blobs"))
    )


def is_about(name: str) -> bool:
    """Whether a file of a model is a text about it, such as its licence."""
    return _fits(name, _OF_BOTH)


def model_files(source: str, files: Mapping[str, int], links: Sequence[str] = ()) -> dict[str, int]:
    """Return the files of an adapter or of a whole model.

    Args:
        source: what the error names.
        files: the files with their sizes.
        links: the links to other places, which are left out.

    Raises:
        RefusedError: it is neither, or its weights are not in safetensors.
    """
    try:
        return _model_files(source, files)
    except RefusedError as error:
        if not links:
            raise
        note = f"Links to files outside the folder are left out: {one_line(', '.join(links), 200)}."
        raise _refused(f"{error.message} {note}", "Copy the files themselves into the folder (cp -L).") from error


def _model_files(source: str, files: Mapping[str, int]) -> dict[str, int]:
    adapter = _ADAPTER in files
    pickled = [name for name in files if name.endswith((".bin", ".pt", ".pth", ".ckpt")) and "model" in name]
    weights = [name for name in files if name.endswith(".safetensors") and _fits(name, (_WEIGHTS,)) == adapter]
    if adapter and not weights and _CONFIG in files:  # a merged model next to the settings of its adapter
        adapter, weights = False, [name for name in files if name.endswith(".safetensors")]
    what = "adapter" if adapter else "model"
    if not adapter and _CONFIG not in files:
        stray = next((name for name in files if name.startswith("adapter_model.")), "")
        if stray:
            raise _refused(f"{source} has an adapter ({stray}), but no {_ADAPTER}.", "Save it with save_pretrained.")
        if any(name.endswith(".gguf") for name in files):
            raise _refused(
                f"{source} is a model in GGUF, which cannot be trained on.", "Import the model in safetensors."
            )
        raise _refused(
            f"{source} is not a model: it has neither {_ADAPTER} nor {_CONFIG}.",
            "Name a folder or a hub model that was written by save_pretrained.",
        )
    if not weights and pickled:
        raise _refused(
            f"The {what} in {source} is pickled ({pickled[0]}); a pickle can run code, so it is not read.",
            "If you trust it, load it with transformers or PEFT, save it with save_pretrained, and import that folder.",
        )
    if not weights:
        raise _refused(f"The {what} in {source} has no weights in safetensors.", "Fetch or save it again.")
    if not adapter and "tokenizer.json" not in files:
        raise _refused(f"{source} has no tokenizer.json.", "Save its fast tokenizer there (save_pretrained).")
    if adapter:
        return {name: size for name, size in files.items() if _fits(name, (*_OF_ADAPTER, *_OF_BOTH))}
    return {
        name: size
        for name, size in files.items()
        if _fits(name, (*_OF_MODEL, *_OF_BOTH)) and not _fits(name, _NOT_OF_MODEL)
    }


def _fits(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _refused(message: str, hint: str) -> RefusedError:
    return RefusedError(message, hint, code="model")


def _with_base(about: Description, building: Path, given: str, progress: Progress) -> tuple[Description, Path]:
    """Return the description with the base of an adapter, and the folder of the base."""
    name = given or about.base or named_base(building)
    if not name:
        raise _refused("The adapter does not name its base.", "Name it with --base.")
    progress(f"Looking for the base {name}...")
    try:
        folder = resolve_base(name, progress=progress)
    except O1LabError as error:
        if given:
            raise
        like = f" --base {STUDENT} is {STUDENT_NAME}." if name.endswith(STUDENT_NAME) else ""
        hint = f"Name a base of the same architecture that is on this machine with --base.{like}"
        raise type(error)(f"The base of the adapter is not there. {error.message}", hint, code=error.code) from error
    if given and (own_base := about.base or named_base(building)) and own_base != given:
        progress(f"The adapter names the base {own_base}; it is used with {given}.")
    own = chat_template(building)
    prompt = PromptOptions.of(about.prompt)
    if own and isinstance(own, str) and not prompt.chat_template and own != chat_template(folder):
        about = replace(about, prompt=replace(prompt, chat_template=own).as_json())
        progress("The adapter has its own chat template, which it is asked with.")
    return replace(about, base=_as_recipes_name_it(name, folder)), folder


def _as_recipes_name_it(base: str, folder: Path) -> str:
    """Return the name of a base that is the same for all users of the lab where there is one, else its folder."""
    if folder == cache_dir() / "models" / STUDENT:
        return STUDENT
    return (hub_name(folder) or str(folder)) if Path(base).expanduser().is_dir() else base


def hub_name(folder: Path) -> str:
    """Return the name of a model in the cache of the hub's library; empty for another folder."""
    found = next((found for part in (folder, *folder.parents) if (found := _CACHED.fullmatch(part.name))), None)
    return f"{found[1]}/{found[2]}" if found else ""


def _require_space(folder: Path, size: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < size:
        raise LabError(
            f"Only {byte_size(free)} are free at {folder.parent}; the model needs {byte_size(size)}.",
            "Free some space.",
            code="disk_full",
        )
