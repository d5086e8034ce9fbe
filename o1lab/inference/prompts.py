"""Versioned prompt files. A prompt in LAB/prompts overrides the built-in one of the same name and version.

A prompt file is Markdown with a front matter in YAML (``name``, ``version``, ``for``, ``about``) and sections headed
``# system`` and ``# user``. Slots such as ``{{statement}}`` are filled in; single braces, as in LaTeX, are text.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import yaml

from o1lab.errors import LabError, NotFoundError, UsageError
from o1lab.files import write_json, writing
from o1lab.inference.calls import Message
from o1lab.paths import Lab, assets_dir
from o1lab.small_files import UnreadableError, parse_yaml, read_json, read_text

_FILE = re.compile(r"\A---\n(?P<front>.*?)\n---\n(?P<body>.*)\Z", re.DOTALL)
_SECTION = re.compile(r"^# (system|user|assistant)[ ]*$", re.MULTILINE)
_DRAFT = ".draft"
_STEM = re.compile(r"(?P<name>.+?)(?:-(?P<version>\d+))?")
_SLOT = re.compile(r"\{\{(\w+)\}\}")


@dataclass(frozen=True, slots=True)
class Prompt:
    """One version of a prompt. ``hash`` covers its sections, so that an edit without a new version is noticed."""

    name: str
    version: int
    method: str
    about: str
    sections: tuple[tuple[str, str], ...]
    path: Path

    @property
    def label(self) -> str:
        return f"{self.name}@{self.version}"

    @property
    def hash(self) -> str:
        return hashlib.sha256(repr(self.sections).encode()).hexdigest()[:12]

    @property
    def slots(self) -> frozenset[str]:
        return frozenset(slot for _, text in self.sections for slot in _SLOT.findall(text))

    def fill(self, values: Mapping[str, str]) -> list[Message]:
        """Return the messages with every slot filled in. Values are not searched for slots.

        Raises:
            UsageError: the prompt has a slot that ``values`` does not contain.
        """
        if missing := self.slots - values.keys():
            raise UsageError(
                f"The prompt {self.label} has the slot {{{{{min(missing)}}}}}, which is not available here.",
                f"Available: {', '.join(sorted(values))}. The file is {self.path}.",
            )
        return [
            {"role": role, "content": _SLOT.sub(lambda slot: values[slot[1]], text)} for role, text in self.sections
        ]


def prompt_folders(lab: Lab | None) -> list[Path]:
    """Return the folders that are searched for prompts, the lab's own first."""
    return [*([lab.prompts] if lab else []), assets_dir() / "prompts"]


def all_prompts(lab: Lab | None) -> list[Prompt]:
    """List all prompts by name and version; the lab's own overrides the built-in one of the same name and version.

    Invalid files are skipped; :func:`broken_prompts` returns them.
    """
    found: dict[tuple[str, int], Prompt] = {}
    for path in _files(lab):
        with suppress(UsageError):
            prompt = read_prompt(path)
            found.setdefault((prompt.name, prompt.version), prompt)
    return [found[key] for key in sorted(found)]


def broken_prompts(lab: Lab | None) -> dict[Path, UsageError]:
    """Return the invalid files in the prompt folders, each with its error."""
    broken: dict[Path, UsageError] = {}
    for path in _files(lab):
        try:
            read_prompt(path)
        except UsageError as error:
            broken[path] = error
    return broken


def _files(lab: Lab | None) -> list[Path]:
    return [path for folder in prompt_folders(lab) for path in sorted(folder.glob("*.md"))]


def find_prompt(lab: Lab | None, wanted: str) -> Prompt:
    """Return the prompt called ``name`` (its highest version) or ``name@version``.

    Raises:
        NotFoundError: there is none.
        UsageError: a file with this name is not a valid prompt.
    """
    name, _, version = wanted.partition("@")
    for path, fault in broken_prompts(lab).items():
        own = _STEM.fullmatch(path.stem)
        if own and own["name"] == name and version in ("", own["version"]):
            raise fault  # a run with another version instead would cost money
    prompts = all_prompts(lab)
    fitting = [prompt for prompt in prompts if prompt.name == name and version in ("", str(prompt.version))]
    if not fitting:
        names = ", ".join(prompt.label for prompt in prompts)
        raise NotFoundError(f"There is no prompt '{wanted}'.", f"Available: {names}.")
    return fitting[-1]


def begin_version(lab: Lab, wanted: str) -> Path:
    """Create a draft of a prompt's next version; an existing draft is kept.

    Args:
        lab: the lab that gets the draft.
        wanted: the prompt, as ``name`` or ``name@version``.

    Returns:
        The draft's file; its suffix hides it from the list of prompts.

    Raises:
        NotFoundError: there is no such prompt.
        LabError: the lab cannot be written.
    """
    prompt = find_prompt(lab, wanted)
    version = find_prompt(lab, prompt.name).version + 1
    draft = lab.prompts / f"{prompt.name}-{version}.md{_DRAFT}"
    front = {"name": prompt.name, "version": version, "for": prompt.method, "about": prompt.about}
    sections = "\n\n".join(f"# {role}\n{text}" for role, text in prompt.sections)
    with writing(draft):
        draft.parent.mkdir(exist_ok=True)
        with suppress(FileExistsError), draft.open("x", encoding="utf-8") as file:
            file.write(f"---\n{yaml.safe_dump(front, sort_keys=False, allow_unicode=True)}---\n{sections}\n")
    return draft


def keep_version(draft: Path, before: Prompt) -> Prompt | None:
    """Turn a draft into a prompt.

    Args:
        draft: the file from :func:`begin_version`.
        before: the version that the draft was made from.

    Returns:
        The new prompt; None if the draft does not differ from ``before``, in which case the draft is deleted.

    Raises:
        UsageError: it is not a valid prompt; the draft stays.
        LabError: a prompt with this name and version exists already; the draft stays.
    """
    edited = read_prompt(draft)
    if edited.sections == before.sections and edited.about == before.about:
        draft.unlink()
        return None
    path = draft.with_name(draft.name.removesuffix(_DRAFT))
    try:
        os.link(draft, path)  # unlike a rename, this fails if the file exists
    except OSError as error:
        raise LabError(f"Cannot save the new version as {path}: {error.strerror}.", "Rename the draft.") from error
    draft.unlink()
    return read_prompt(path)


def keep_prompts(path: Path, prompts: Mapping[str, Prompt]) -> None:
    """Save the prompts of a run by role, so that later edits of their files do not change it.

    Raises:
        OSError: the file cannot be written.
    """
    kept = {
        role: {**asdict(prompt), "path": str(prompt.path), "label": prompt.label, "hash": prompt.hash}
        for role, prompt in prompts.items()
    }
    write_json(path, kept)


def restore_prompts(path: Path) -> dict[str, Prompt]:
    """Read the prompts that :func:`keep_prompts` wrote.

    Raises:
        LabError: they cannot be read.
    """
    try:
        return read_json(path, dict[str, Prompt])
    except UnreadableError as error:
        raise LabError(f"The prompts of this run cannot be read: {path}.", "Start a new run.") from error


def read_prompt(path: Path) -> Prompt:
    """Read a prompt file.

    Raises:
        UsageError: it is not a valid prompt.
    """
    try:
        match = _FILE.match(read_text(path))
        front = parse_yaml(path, match["front"]) if match else None
    except UnreadableError as error:
        raise UsageError(f"The prompt {error.message}", error.hint) from error
    if match is None or not isinstance(front, dict):
        raise UsageError(f"{path} is not a prompt.", "It must begin with a front matter between two lines of ---.")
    parts = _SECTION.split(match["body"])
    sections = tuple((role, text.strip()) for role, text in zip(parts[1::2], parts[2::2], strict=True))
    version = front.get("version")
    if not any(role == "user" for role, _ in sections) or not isinstance(version, int):
        raise UsageError(f"The prompt {path} needs a `# user` section and a whole number as `version`.", "Add them.")
    return Prompt(
        str(front.get("name", path.stem)), version, str(front.get("for", "sample")), str(front.get("about", "")),
        sections, path,
    )  # fmt: skip
