"""Prompts are files with a version: one in LAB/prompts goes before the one of the same name that o1lab brings.

A prompt file is Markdown with a front matter in YAML (``name``, ``version``, ``for``, ``about``) and sections headed
``# system`` and ``# user``. ``{{statement}}`` and the like are filled in; braces of LaTeX mean nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import yaml

from o1lab.errors import LabError, NotFoundError, UsageError
from o1lab.files import write_json
from o1lab.inference.calls import Message
from o1lab.paths import Lab, assets_dir
from o1lab.text import one_line

_FILE = re.compile(r"\A---\n(?P<front>.*?)\n---\n(?P<body>.*)\Z", re.DOTALL)
_SECTION = re.compile(r"^# (system|user|assistant)[ ]*$", re.MULTILINE)
_DRAFT = ".draft"
_STEM = re.compile(r"(?P<name>.+?)(?:-(?P<version>\d+))?")
_SLOT = re.compile(r"\{\{(\w+)\}\}")


@dataclass(frozen=True, slots=True)
class Prompt:
    """One version of a prompt; ``hash`` is of its sections, so an edit without a new version does not go unseen."""

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
        """The messages, with every slot filled in; what is filled in is never searched for slots.

        Raises:
            UsageError: the prompt has a slot that ``values`` does not fill.
        """
        if missing := self.slots - values.keys():
            raise UsageError(
                f"The prompt {self.label} wants {{{{{min(missing)}}}}}, which is not known here.",
                f"There are: {', '.join(sorted(values))}. The file is {self.path}.",
            )
        return [
            {"role": role, "content": _SLOT.sub(lambda slot: values[slot[1]], text)} for role, text in self.sections
        ]


def prompt_folders(lab: Lab | None) -> list[Path]:
    """Where prompts are looked for, the lab's own first."""
    return [*([lab.root / "prompts"] if lab else []), assets_dir() / "prompts"]


def all_prompts(lab: Lab | None) -> list[Prompt]:
    """Every prompt by name and version; the lab's own hides the built-in one of the same name and version.

    Files that are no prompt are passed over: :func:`broken_prompts` has them.
    """
    found: dict[tuple[str, int], Prompt] = {}
    for path in _files(lab):
        with suppress(UsageError):
            prompt = read_prompt(path)
            found.setdefault((prompt.name, prompt.version), prompt)
    return [found[key] for key in sorted(found)]


def broken_prompts(lab: Lab | None) -> dict[Path, UsageError]:
    """The files that are no prompt although they stand among them, with what is wrong."""
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
    """The prompt called ``name`` (its highest version) or ``name@version``.

    Raises:
        NotFoundError: there is none.
        UsageError: a file that is to be it, by its own name, is no prompt.
    """
    name, _, version = wanted.partition("@")
    for path, fault in broken_prompts(lab).items():
        own = _STEM.fullmatch(path.stem)
        if own and own["name"] == name and version in ("", own["version"]):
            raise fault  # another version in its place would be paid for
    prompts = all_prompts(lab)
    fitting = [prompt for prompt in prompts if prompt.name == name and version in ("", str(prompt.version))]
    if not fitting:
        names = ", ".join(prompt.label for prompt in prompts)
        raise NotFoundError(f"There is no prompt '{wanted}'.", f"There are: {names}.")
    return fitting[-1]


def begin_version(lab: Lab, wanted: str) -> Path:
    """A draft of a prompt's next version, under a name that is no prompt's yet; one that was begun is gone on with.

    Raises:
        NotFoundError: there is no such prompt.
        LabError: the lab cannot be written.
    """
    prompt = find_prompt(lab, wanted)
    version = find_prompt(lab, prompt.name).version + 1
    draft = lab.root / "prompts" / f"{prompt.name}-{version}.md{_DRAFT}"
    front = {"name": prompt.name, "version": version, "for": prompt.method, "about": prompt.about}
    sections = "\n\n".join(f"# {role}\n{text}" for role, text in prompt.sections)
    try:
        draft.parent.mkdir(exist_ok=True)
        with suppress(FileExistsError), draft.open("x", encoding="utf-8") as file:
            file.write(f"---\n{yaml.safe_dump(front, sort_keys=False, allow_unicode=True)}---\n{sections}\n")
    except OSError as error:
        raise LabError(f"Cannot write {draft}: {error.strerror}.", "Check the lab's folder.") from error
    return draft


def keep_version(draft: Path, before: Prompt) -> Prompt | None:
    """Make a draft the prompt it is to be; None, and no draft any more, when it says what ``before`` says.

    Raises:
        UsageError: it is no prompt; the draft stays.
        LabError: a prompt of that name came meanwhile; the draft stays.
    """
    made = read_prompt(draft)
    if made.sections == before.sections and made.about == before.about:
        draft.unlink()
        return None
    path = draft.with_name(draft.name.removesuffix(_DRAFT))
    try:
        os.link(draft, path)  # fails if it is there, as a rename would not
    except OSError as error:
        raise LabError(f"Cannot keep the new version as {path}: {error.strerror}.", "Rename the draft.") from error
    draft.unlink()
    return read_prompt(path)


def keep_prompts(path: Path, prompts: Mapping[str, Prompt]) -> None:
    """Write prompts by role as a run asks with them: what its files say later changes nothing.

    Raises:
        OSError: the file cannot be written.
    """
    kept = {
        role: {**asdict(prompt), "path": str(prompt.path), "label": prompt.label, "hash": prompt.hash}
        for role, prompt in prompts.items()
    }
    write_json(path, kept)


def restore_prompts(path: Path) -> dict[str, Prompt]:
    """The prompts that :func:`keep_prompts` wrote.

    Raises:
        LabError: they cannot be read.
    """
    try:
        kept = json.loads(path.read_text("utf-8"))
        return {
            role: Prompt(
                one["name"], one["version"], one["method"], one["about"],
                tuple((speaker, text) for speaker, text in one["sections"]), Path(one["path"]),
            )
            for role, one in kept.items()
        }  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise LabError(f"The prompts of this run cannot be read: {path}.", "Start a new run.") from error


def read_prompt(path: Path) -> Prompt:
    """Read one prompt file.

    Raises:
        UsageError: it is not one, with what is wrong.
    """
    try:
        match = _FILE.match(path.read_text("utf-8"))
        front = yaml.safe_load(match["front"]) if match else None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UsageError(
            f"The prompt {path} cannot be read: {one_line(str(error), 200)}.", "Correct the file."
        ) from error
    if match is None or not isinstance(front, dict):
        raise UsageError(f"{path} is not a prompt.", "It begins with a front matter between two lines of ---.")
    parts = _SECTION.split(match["body"])
    sections = tuple((role, text.strip()) for role, text in zip(parts[1::2], parts[2::2], strict=True))
    version = front.get("version")
    if not any(role == "user" for role, _ in sections) or not isinstance(version, int):
        raise UsageError(f"The prompt {path} needs a `# user` section and a whole number as `version`.", "Add them.")
    return Prompt(
        str(front.get("name", path.stem)), version, str(front.get("for", "sample")), str(front.get("about", "")),
        sections, path,
    )  # fmt: skip
