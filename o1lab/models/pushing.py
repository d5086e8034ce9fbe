"""Upload an adapter or a whole model to the hub: choose the files, remove what is private, and send them.

Only files of a model are uploaded, never logs, optimisers or settings of the lab. Settings that name a folder of this
machine are changed to names; a file that still has a path of it, or something that looks like a key, stops the push.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from o1lab.errors import LabError, RefusedError, UsageError
from o1lab.format import byte_size
from o1lab.models import hub
from o1lab.models.base import HUB_ID
from o1lab.models.description import FILE, Description
from o1lab.models.imported import files_and_links, hub_name, is_about, model_files
from o1lab.models.prompts import PromptOptions
from o1lab.models.student import STUDENT, STUDENT_HUB_NAME
from o1lab.paths import cache_dir
from o1lab.small_files import UnreadableError, read_json

_REPO = re.compile(r"(?:[\w.-]+/)?[\w.-]{1,96}")
_SETTINGS = ("adapter_config.json", "config.json", "generation_config.json", "tokenizer_config.json")
_NAMES_OF_FOLDERS = ("base_model_name_or_path", "_name_or_path", "name_or_path")
_UNCHECKED = ("tokenizer.json", "vocab.json", "merges.txt", "vocab.txt")  # large, and without sentences
_KEY = re.compile(r"\bhf_[A-Za-z0-9]{30,}|\bsk-[A-Za-z0-9_-]{20,}|\bAKIA[0-9A-Z]{16}\b|-----BEGIN [A-Z ]*PRIVATE KEY")
_LOCAL_BASE = re.compile(r"^base_model:\s*['\"]?([/~][^\s'\"]*)", re.MULTILINE)  # as PEFT's cards have it
_ATTRIBUTES = ".gitattributes"


@dataclass(frozen=True, slots=True)
class File:
    """A file to upload.

    Attributes:
        name: its name on the hub.
        size: its bytes.
        content: its path on this machine, or what it contains.
    """

    name: str
    size: int
    content: Path | bytes


@dataclass(frozen=True, slots=True)
class Plan:
    """What is uploaded.

    Attributes:
        folder: the folder of the model.
        files: the files.
        left_out: the files of the folder that stay here.
        base: the name on the hub of the base of an adapter, or of the one that a model was trained from; empty if it
            is not known.
        notes: what was changed, as sentences.
        links: those of the files left out that are links to files outside the folder.
    """

    folder: Path
    files: tuple[File, ...]
    left_out: tuple[str, ...]
    base: str
    notes: tuple[str, ...]
    links: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        return sum(one.size for one in self.files)


@dataclass(frozen=True, slots=True)
class Pushed:
    """An upload that is complete.

    Attributes:
        repo: the repository, ``OWNER/NAME``.
        url: its page.
        commit: the commit.
        private: whether only its owners can read it.
    """

    repo: str
    url: str
    commit: str
    private: bool


def public_name(base: str) -> str:
    """Return the name by which others know a base; empty if it has only a folder on this machine.

    Args:
        base: its name in the lab, or its folder.
    """
    if base.lower() == STUDENT or Path(base) == cache_dir() / "models" / STUDENT:
        return STUDENT_HUB_NAME
    path = Path(base).expanduser()
    if found := hub_name(path):
        return found
    return base if HUB_ID.fullmatch(base) and not path.exists() else ""


def plan(
    folder: Path,
    *,
    card: Callable[[str], str],
    prompt: PromptOptions,
    base: str = "",
    named: str = "",
    private_paths: Sequence[Path] = (),
) -> Plan:
    """Choose the files of a model to upload, and check their content.

    Args:
        folder: the folder of the adapter or the model.
        card: returns the text of README.md, given the base's name on the hub.
        prompt: what the student is asked with.
        base: the base of an adapter, or the one that a model was trained from, by its name in the lab; empty for none.
        named: its name on the hub; empty to find it.
        private_paths: folders whose paths must not be in the files, such as the lab's.

    Raises:
        UsageError: the base is only a folder of this machine, and its name on the hub is not given.
        RefusedError: the folder is not a model, or a file has a path of this machine or a key.
        LabError: a file cannot be read.
    """
    public = named or public_name(base) if base or named else ""
    if base and not public:
        raise UsageError(
            f"The base is a folder of this machine ({base}); others need its name on the hub.",
            "Name it with --base ORG/NAME.",
            code="base",
        )
    try:
        sizes, links = files_and_links(folder)
    except OSError as error:
        raise LabError(f"{folder} cannot be read: {error.strerror}.", "Check the folder.") from error
    chosen = model_files(str(folder), sizes, links) | {
        name: size for name, size in sizes.items() if name.endswith(".gguf")
    }
    own: dict[str, bytes] = {"README.md": card(public).encode()}
    notes = []
    for name in (name for name in _SETTINGS if name in chosen):
        values, changed = _without_folders(folder / name, public)
        if changed:
            own[name] = values
            notes.append(f"{name}: {changed}")
    if prompt.chat_template:
        own["chat_template.jinja"] = prompt.chat_template.encode()
    about = Description(base=base if base.lower() == STUDENT else public, prompt=prompt.as_json() if prompt else {})
    own[FILE] = json.dumps(asdict(about), ensure_ascii=False, indent=1).encode()
    contents: dict[str, Path | bytes] = {name: folder / name for name in chosen} | own
    files = [
        File(name, len(content) if isinstance(content, bytes) else sizes[name], content)
        for name, content in sorted(contents.items())
    ]
    of_base = [Path(base)] if Path(base).is_absolute() else []
    for one in files:
        _check(one, (Path.home(), cache_dir(), folder.absolute(), *of_base, *private_paths))
    left_out = tuple(sorted(name for name in (*sizes, *links) if name not in contents))
    return Plan(folder, tuple(files), left_out, public, tuple(notes), tuple(name for name in links if name in left_out))


def _without_folders(path: Path, base: str) -> tuple[bytes, str]:
    """Return settings in which folders and names of this machine are those of the hub, and what was changed."""
    try:
        values = read_json(path, dict[str, Any])
    except UnreadableError as error:
        raise RefusedError(error.message, error.hint, code="model") from error
    changed = []
    for key in _NAMES_OF_FOLDERS:
        name = values.get(key)
        if not isinstance(name, str):
            continue
        of_base = key == "base_model_name_or_path" and base not in ("", name)
        if of_base or name.startswith(("/", "~", ".")) or "\\" in name:
            values[key] = base or public_name(name) or Path(name).name
            changed.append(f"{key} is {values[key]}, not what this machine calls it")
    return json.dumps(values, ensure_ascii=False, indent=2).encode(), "; ".join(changed)


def _check(one: File, private: Sequence[Path]) -> None:
    """Check that a text has neither a path of this machine nor a key.

    Raises:
        RefusedError: it has.
    """
    is_text = is_about(one.name) or one.name.endswith((".json", ".md", ".jinja", ".txt")) or "." not in one.name
    if one.name in _UNCHECKED or not is_text:
        return
    data = one.content if isinstance(one.content, bytes) else one.content.read_bytes()
    text = data.decode(errors="replace")
    escaped = text.replace("\\/", "/")
    path = next((str(path) for path in private if len(path.parts) > 1 and str(path) in escaped), "")
    if one.name == "README.md" and (found := _LOCAL_BASE.search(text)):
        path = found[1]
    if path:
        raise RefusedError(
            f"{one.name} has a path of this machine ({path}).", "Remove it there, then push again.", code="private"
        )
    if found := _KEY.search(text):
        raise RefusedError(
            f"{one.name} has something that looks like a key ({found[0][:6]}...).",
            "Remove it there, then push again.",
            code="private",
        )


def push(
    planned: Plan,
    repo: str,
    *,
    public: bool = False,
    update: bool = False,
    message: str = "Upload a model",
    progress: Callable[[str], None] = lambda _: None,
    bars: bool = False,
) -> Pushed:
    """Upload the files of a plan in one commit; the repository is created if it does not exist.

    Large files go first, one after the other. If the upload is interrupted, what has arrived is not sent again.

    Args:
        planned: what to upload.
        repo: ``OWNER/NAME``, or a name of the owner of the token.
        public: whether everyone may read it.
        update: whether the repository may exist and have files.
        message: the message of the commit.
        progress: called with sentences for people.
        bars: whether the hub's library draws bars on standard error.

    Raises:
        UsageError: the repository exists, or its name is not possible.
        RefusedError: it is public, and ``public`` was not given.
        LabError: there is no token, it may not do this, or the hub cannot be reached.
    """
    from huggingface_hub import CommitOperationAdd, HfApi, get_token
    from huggingface_hub.utils.tqdm import disable_progress_bars, enable_progress_bars

    if not _REPO.fullmatch(repo):
        raise UsageError(f"{repo!r} cannot be the name of a repository.", "Name it as OWNER/NAME.")
    hub.require_online()
    token = get_token()
    if not token:
        raise LabError(
            "There is no token for the hub.",
            "Set HF_TOKEN to a token with write access, or run `hf auth login`.",
            code="no_token",
        )
    (enable_progress_bars if bars else disable_progress_bars)()
    api = HfApi(endpoint=hub.address(), token=token)
    with hub.explained_hub("The token cannot be used"):
        who = api.whoami()
    name = repo if "/" in repo else f"{who['name']}/{repo}"
    private = _require_repo(api, name, public=public, update=update)
    operations = [CommitOperationAdd(one.name, one.content) for one in planned.files]
    for number, (one, operation) in enumerate(zip(planned.files, operations, strict=True), 1):
        progress(f"Uploading {number} of {len(planned.files)}: {one.name} ({byte_size(one.size)})...")
        with hub.explained_hub(f"{one.name} could not be uploaded"):
            api.preupload_lfs_files(name, [operation], num_threads=1)
    with hub.explained_hub("The files could not be committed"):
        done = api.create_commit(name, operations, commit_message=message)
    return Pushed(name, f"{hub.address()}/{name}", done.oid, private)


def _require_repo(api: Any, name: str, *, public: bool, update: bool) -> bool:
    """Create a repository, or check that the one which exists may be written to; return whether it is private."""
    from huggingface_hub.errors import RepositoryNotFoundError

    with hub.explained_hub(f"{name} cannot be used"):
        try:
            found = api.model_info(name)
        except RepositoryNotFoundError:
            api.create_repo(name, private=not public)
            return not public
    files = [one.rfilename for one in found.siblings or () if one.rfilename != _ATTRIBUTES]
    if files and not update:
        raise UsageError(
            f"{name} exists and has {len(files)} file{'s' if len(files) > 1 else ''}.",
            "Add --update to add a commit to it, or name another repository.",
            code="exists",
        )
    if not found.private and not public:
        raise RefusedError(f"{name} is public.", "Add --public if everyone may read what is uploaded.", code="public")
    if found.private and public:
        raise UsageError(
            f"{name} exists and is private.", "Leave --public out; its page on the hub changes who may read it."
        )
    return bool(found.private)
