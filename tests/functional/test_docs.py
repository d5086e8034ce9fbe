"""What the documentation is written from is complete, and its links and keys lead somewhere."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
from pydantic import BaseModel

from docs.generate import commands, files, filters, form_tour, keys, parts, settings
from docs.generate.keys import UnknownKeyError, with_keys
from o1lab.config import Config
from o1lab.distill.settings import TeacherRunSettings
from o1lab.evaluate.run.settings import EvaluationSettings
from o1lab.evaluate.scorers import ScorerSpec
from o1lab.evaluate.suites.suite import Suite
from o1lab.paths import VARIABLES
from o1lab.settings import settings_of
from o1lab.train.recipes.recipe import Recipe
from store.filters import Query
from tests.conftest import ROOT

PAGES = sorted((ROOT / "docs" / "pages").rglob("*.md"))
OF_THE_PROGRAM = {
    "O1LAB_COMPLETE": "the shell sets it to ask for completions",
    "O1LAB_SERVER_TOKEN": "a server's parent sets it",
    "O1LAB_HEAD": "the batch script of Slurm sets it",
    "O1LAB_SHARED_DATA": "only tests read it",
    **{
        f"O1LAB_{name}": "a job gives it to a hook"
        for name in ("EVENT", "RUN", "STATE", "CAUSE", "KIND", "NAME", "DIR", "LAB_NAME")
    },
}
"""Variables that users do not set."""


def models(kind: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """Yield a model and those in its fields."""
    yield kind
    for field in kind.model_fields.values():
        for one in (field.annotation, *get_args(field.annotation)):
            if isinstance(one, type) and issubclass(one, BaseModel):
                yield from models(one)


def queries(kind: type[Query]) -> Iterator[type[Query]]:
    """Yield the kinds of filters that the program has."""
    for one in kind.__subclasses__():
        if one.__module__.startswith("store."):
            yield one
            yield from queries(one)


def test_every_command_and_option_has_help() -> None:
    page = commands.page()
    for one in commands.commands():
        assert f"{{ #{one.anchor} }}" in page
        assert one.help, f"{one.words} has no help"
        for param in one.context.command.get_params(one.context):
            record = param.get_help_record(one.context)
            assert record is None or record[1], f"{one.words}: {param.name} has no help"


@pytest.mark.parametrize("kind", [Recipe, TeacherRunSettings, EvaluationSettings])
def test_every_setting_has_help(kind: type[BaseModel]) -> None:
    page = settings.recipe() + settings.teacher_run() + settings.evaluation()
    for name, one in settings_of(kind).items():
        assert one.help, name
        assert f"| `{name}` |" in page


@pytest.mark.parametrize("kind", models(Config))
def test_every_key_of_the_configuration_has_help(kind: type[BaseModel]) -> None:
    page = settings.o1lab_toml()
    for name, field in kind.model_fields.items():
        assert f"{name}]" in page or (f"| `{name}` |" in page and field.description)


@pytest.mark.parametrize("kind", models(Suite))
def test_every_field_of_a_suite_file_has_help(kind: type[BaseModel]) -> None:
    of_scorers = {"name", "options"} if kind is ScorerSpec else set()
    assert not [name for name, field in kind.model_fields.items() if not field.description and name not in of_scorers]


def test_every_field_of_a_filter_is_on_its_page() -> None:
    page = filters.page()
    for kind in queries(Query):
        assert not [name for name in kind.LANGUAGE.by_name if f"`{name}`" not in page]


def test_the_tour_of_the_form_stops_at_each_field_in_its_order() -> None:
    page = form_tour.page()
    shown = [name for name, one in settings_of(Recipe).items() if one.display.in_form]
    assert re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE) == shown
    assert re.findall(r"^## (.*)$", page, re.MULTILINE) == list(form_tour.STOPS)
    pictures = re.findall(r"\(\.\./screenshots/(.*?)\)", page)
    assert pictures and all((ROOT / "assets" / "screenshots" / name).is_file() for name in pictures)
    assert "{key " not in page


def test_other_pages_have_what_they_are_about() -> None:
    assert "`annotate_decision_accept`" in keys.page()
    assert "#suite-aime24" in parts.suites()
    assert "`sample`" in parts.registered()
    assert "`metrics.jsonl`" in files.page()
    assert '"trace_id": "string"' in commands.json_output()


def test_every_variable_that_the_program_reads_is_declared() -> None:
    source = [
        path.read_text("utf-8") for folder in ("o1lab", "screens", "store") for path in (ROOT / folder).rglob("*.py")
    ]
    found = {name for text in source for name in re.findall(r"\bO1LAB_[A-Z_]+[A-Z]\b", text)}
    assert found - OF_THE_PROGRAM.keys() <= VARIABLES.keys()


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_keys_of_pages_exist(path: Path) -> None:
    assert "{key " not in with_keys(path.read_text("utf-8"))


def test_an_action_that_does_not_exist_is_noticed() -> None:
    assert with_keys("Press {key annotate_decision_accept}.") == "Press <kbd>a</kbd>."
    with pytest.raises(UnknownKeyError, match="no such action"):
        with_keys("{key annotate_nonsense}")


def test_every_extra_is_on_the_first_page() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    page = (ROOT / "docs" / "pages" / "index.md").read_text("utf-8")
    assert not [name for name in extras if f"| `{name}` |" not in page]


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "ARCHITECTURE.md"])
def test_links_lead_to_files(name: str) -> None:
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", (ROOT / name).read_text("utf-8"))
    assert not [link for link in links if not link.startswith("http") and not (ROOT / link).exists()]
