"""Resolve the name of a base model to a folder that transformers can load.

A name is the embedded student (``smollm2-135m``), a local folder, or a hub id. Nothing here imports torch; the one step
that needs it runs in a separate process (:mod:`o1lab.models.student`).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from o1lab.errors import LabError, NotFoundError, UsageError
from o1lab.models.prompts import PromptOptions
from o1lab.models.student import STUDENT, student_folder
from o1lab.paths import offline
from o1lab.text import parse_json

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Progress = Callable[[str], None]

HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_INDEX = "model.safetensors.index.json"
TEMPLATES = ("chat_template.jinja", "tokenizer_config.json", "chat_template.json")
_DIGITS = 16
# The files that a causal language model needs, without pickles.
_HUB_FILES = ("*.json", "*.safetensors", "*.jinja", "tokenizer.model", "merges.txt", "vocab.txt")


def resolve_base(name: str, *, fetch: bool = True, progress: Progress | None = None) -> Path:
    """Return the folder of a base model, after checking its config.json and safetensors weights.

    Args:
        name: ``smollm2-135m``, the path of a local folder, or a hub id such as ``Qwen/Qwen2.5-0.5B``.
        fetch: whether a missing model may be downloaded (never while ``O1LAB_OFFLINE`` is set).
        progress: called with a line of text for the user.

    Raises:
        NotFoundError: no model has this name, or the folder does not exist.
        LabError: the model is not usable or cannot be downloaded; the hint says what to do.
    """
    report = progress or (lambda _line: None)
    if not name:
        raise UsageError("No base model was named.", f"The embedded one is {STUDENT}.")
    if name.lower() == STUDENT:
        return student_folder(fetch=fetch and not offline(), progress=report)
    path = Path(name).expanduser()
    if path.exists() or name.startswith(("/", "./", "../", "~")):
        return check_folder(path)
    if HUB_ID.fullmatch(name):
        return check_folder(_from_hub(name, fetch=fetch and not offline(), progress=report))
    raise NotFoundError(
        f"No base model is called {name}.",
        f"Name {STUDENT} (embedded), a local folder, or a hub id such as Qwen/Qwen2.5-0.5B-Instruct.",
    )


def check_folder(path: Path) -> Path:
    """Return ``path`` as an absolute path, after checking that it is a model folder with all weights.

    Raises:
        NotFoundError: the folder does not exist.
        LabError: a file that a base model needs is missing.
    """
    if not path.exists():
        raise NotFoundError(f"There is no model folder at {path}.", "Check the path.")
    if not path.is_dir():
        raise LabError(
            f"{path} is a file, not a model folder.", "Name the folder that holds config.json.", code="model"
        )
    path = path.absolute()
    if not (path / "config.json").is_file():
        if (path / "adapter_config.json").is_file():
            raise LabError(
                f"{path} holds an adapter, not a base model.",
                "Name its base here; the adapter goes to --adapter or --init-from.",
                code="model",
            )
        raise LabError(
            f"{path} is not a model folder: it has no config.json.",
            "Name a folder written by save_pretrained.",
            code="model",
        )
    _check_weights(path)
    if not (path / "tokenizer.json").is_file():
        raise LabError(
            f"{path} has no tokenizer.json.",
            "Save the model's fast tokenizer into that folder (tokenizer.save_pretrained).",
            code="model",
        )
    return path


def _check_weights(path: Path) -> None:
    if (path / _INDEX).is_file():
        try:
            shards = set(json.loads((path / _INDEX).read_text("utf-8"))["weight_map"].values())
        except (OSError, ValueError, KeyError, AttributeError) as error:
            raise LabError(f"{path / _INDEX} cannot be read.", "Fetch the model again.", code="model") from error
        missing = sorted(shard for shard in shards if not _has_bytes(path / str(shard)))
        if missing:
            raise LabError(
                f"{path} is a model folder without all of its weights: {missing[0]} is missing"
                + (f" and {len(missing) - 1} more." if len(missing) > 1 else "."),
                "Fetch the model again.",
                code="model",
            )
        return
    if any(_has_bytes(file) for file in path.glob("*.safetensors")):
        return
    pickled = any(path.glob("*.bin")) or any(path.glob("*.pt")) or any(path.glob("*.pth"))
    raise LabError(
        f"{path} is a model folder without weights in safetensors"
        + (" (pickled weights can run code and are not read)." if pickled else "."),
        "Save it again with save_pretrained of a current transformers."
        if pickled
        else "Copy its *.safetensors there, or fetch the model again.",
        code="model",
    )


def _has_bytes(path: Path) -> bool:
    return path.is_file() and path.stat().st_size > 0


def _from_hub(name: str, *, fetch: bool, progress: Progress) -> Path:
    """Return the snapshot of a hub model, from the hub's cache or downloaded."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError
    from huggingface_hub.utils.tqdm import disable_progress_bars

    disable_progress_bars()  # they would write across the app's screen
    try:
        return Path(snapshot_download(name, allow_patterns=list(_HUB_FILES), local_files_only=True))
    except LocalEntryNotFoundError as error:
        if not fetch:
            raise LabError(
                f"{name} is not on this machine, and downloads are disabled.",
                "Unset O1LAB_OFFLINE to download it, or name a local folder.",
                code="offline",
            ) from error
    except Exception as error:
        raise _hub_error(name, error) from error
    progress(f"Fetching {name} from the hub...")
    try:
        return Path(snapshot_download(name, allow_patterns=list(_HUB_FILES)))
    except Exception as error:  # errors of the hub, of httpx and of the system
        raise _hub_error(name, error) from error


def _hub_error(name: str, error: Exception) -> LabError:
    first = str(error).strip().splitlines()
    detail = first[0].rstrip(".") if first else ""
    return LabError(
        f"Could not fetch {name} from the hub: {type(error).__name__}{': ' + detail if detail else ''}.",
        f"Check the name, the network and your access, or use {STUDENT}, which needs no hub.",
        code="fetch",
    )


def tokenizer_file(path: Path) -> Path:
    """Return the path of ``tokenizer.json`` in a model folder, which the ``tokenizers`` package reads.

    Raises:
        LabError: the folder has no such file.
    """
    found = path / "tokenizer.json"
    if not found.is_file():
        raise LabError(f"{path} has no tokenizer.json.", "Fetch the model again.", code="model")
    return found


def with_end_token(prompt: PromptOptions, base: str) -> PromptOptions:
    """Return the options with the id of their end-of-turn token, by the tokenizer of ``base``.

    Raises:
        LabError: the base is not on this machine.
    """
    if not prompt.eos_token:
        return prompt
    tokenizer = load_tokenizer(resolve_base(base, fetch=False))
    return replace(prompt, end_token_id=tokenizer.token_to_id(prompt.eos_token))


def load_tokenizer(folder: Path) -> Tokenizer:
    """Load the tokenizer in a model folder.

    Raises:
        LabError: it cannot be read.
    """
    from tokenizers import Tokenizer

    path = tokenizer_file(folder)
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises plain exceptions
        raise LabError(f"{path} cannot be read: {error}.", "Fetch the model again.", code="model") from error


def token_counter(folder: Path) -> Callable[[str], int]:
    """Return a function that counts the tokens of a text, without special tokens, by the tokenizer in a model folder.

    Raises:
        LabError: the tokenizer cannot be read.
    """
    tokenizer = load_tokenizer(folder)
    return lambda text: len(tokenizer.encode(text, add_special_tokens=False).ids)


def hash_template(folder: Path) -> str:
    """Return the hash of the chat template that a directory's tokenizer uses, or ``none`` if there is none."""
    text = chat_template(folder)
    return hashlib.sha256(json.dumps(text).encode()).hexdigest()[:_DIGITS] if text else "none"


def chat_template(folder: Path) -> Any:
    """Return the chat template that a directory's tokenizer uses: a text, a list of several; empty if there is none."""
    for name in TEMPLATES:
        with contextlib.suppress(OSError, ValueError):
            text: Any = (folder / name).read_text("utf-8")
            if name.endswith(".json"):
                config = parse_json(text)
                text = config.get("chat_template") if isinstance(config, dict) else None
            if text:
                return text
    return ""


def describe_base(folder: Path) -> dict[str, Any]:
    """Return what identifies a base without reading its weights.

    Returns:
        ``architecture``, ``layers``, ``hidden_size`` and ``vocabulary`` from config.json where given, ``config`` and
        ``template`` as hashes, and the ``revision`` of a snapshot from the hub.
    """
    text = (folder / "config.json").read_bytes()
    config = json.loads(text)
    found = {
        "architecture": (config.get("architectures") or [None])[0],
        "layers": config.get("num_hidden_layers", config.get("n_layer")),
        "hidden_size": config.get("hidden_size", config.get("n_embd")),
        "vocabulary": config.get("vocab_size"),
        "config": hashlib.sha256(text).hexdigest()[:_DIGITS],
        "template": hash_template(folder),
        "revision": folder.name if folder.parent.name == "snapshots" else None,
    }
    return {key: value for key, value in found.items() if value is not None}
