"""Registries: built-in modules, decorators and plugins, loaded when needed; no part can replace another."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest

from o1lab.distill import runs
from o1lab.distill.filters import RULES, rule
from o1lab.distill.filters.pool import chosen_rules
from o1lab.distill.method import Draft, SourceItem, as_trace
from o1lab.distill.methods import METHODS, Need, SingleCall, make_method, method
from o1lab.distill.methods.sample import Sample
from o1lab.distill.settings import engine_names, method_names
from o1lab.errors import UsageError
from o1lab.evaluate.scorers import SCORERS, PlainScorer, ScorerSpec, make_scorer, scorer, scorer_label
from o1lab.evaluate.scorers.base import Attempt, Options, Score
from o1lab.evaluate.stats.majority import answers_are_votes
from o1lab.inference.calls import Message, Response
from o1lab.inference.prompts import find_prompt
from o1lab.ingest.formats import FileOrigin, read_row
from o1lab.ingest.importers import IMPORTERS, Found, RowError, TraceText, importer
from o1lab.registry import PluginWarning, Registry
from store.records import Problem
from tests.support.plugins import lay_out

PARTS = "from tests.unit.test_registry import parts\n\n\n@parts.register({name!r})\ndef part() -> int:\n    return 1\n"
parts: Registry[Any] = Registry("part", "o1lab.test_parts", "tests.unit")


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry[Any]:
    """An empty registry whose built-in package has the modules ``one`` and ``more``."""
    package = tmp_path / "pretend_parts"
    package.mkdir()
    (package / "__init__.py").write_text("", "utf-8")
    text = "from tests.unit.test_registry import parts\n\n\n@parts.register({!r}, order={})\nclass Part: ...\n"
    (package / "one.py").write_text(text.format("one", 20), "utf-8")
    (package / "more.py").write_text(text.format("other", 10), "utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    made: Registry[Any] = Registry("part", "o1lab.test_parts", "pretend_parts")
    monkeypatch.setattr(sys.modules[__name__], "parts", made)
    for name in [name for name in sys.modules if name.startswith("pretend_")]:
        monkeypatch.delitem(sys.modules, name)
    return made


@pytest.fixture
def pretend() -> Iterator[None]:
    """Forgets the parts that a test adds under the name ``pretend``."""
    yield
    for registry in (METHODS, SCORERS, RULES, IMPORTERS):
        registry.remove("pretend")


def test_a_part_is_found_in_the_module_of_its_name_and_the_others_stay_unimported(registry: Registry[Any]) -> None:
    assert registry.get("one").__module__ == "pretend_parts.one"
    assert "pretend_parts.more" not in sys.modules
    assert registry.get("other").__module__ == "pretend_parts.more"


def test_names_are_in_order_and_an_unknown_one_gets_a_suggestion(registry: Registry[Any]) -> None:
    registry.register("last")(object)
    assert registry.names() == ("other", "one", "last")
    assert list(registry.all()) == ["other", "one", "last"]
    assert registry.find("onne") is None
    with pytest.raises(UsageError, match=r"There is no part 'onne'\. Did you mean 'one'\? There are: other, one, last"):
        registry.get("onne")


def test_a_taken_name_cannot_be_registered_again(registry: Registry[Any]) -> None:
    with pytest.raises(ValueError, match="the part 'one' exists already, in pretend_parts"):
        registry.register("one")(object)
    assert registry.get("one").__module__ == "pretend_parts.one"


def test_plugins_are_imported_when_their_part_is_needed(
    registry: Registry[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lay_out(
        tmp_path, "pretend-plugin", {"o1lab.test_parts": {"plugged": "pretend_plugin:part", "idle": "pretend_idle"}},
        pretend_plugin=PARTS.format(name="plugged"), pretend_idle=PARTS.format(name="idle"),
    )  # fmt: skip
    assert registry.get("one")
    assert registry.names() == ("other", "one", "idle", "plugged")
    assert "pretend_plugin" not in sys.modules
    assert registry.get("plugged")() == 1
    assert "pretend_idle" not in sys.modules
    assert registry.plugins() == ["idle", "plugged"]
    assert registry.problems() == []
    monkeypatch.delitem(sys.modules, "pretend_plugin")
    monkeypatch.delitem(sys.modules, "pretend_idle")


def test_a_broken_plugin_is_left_out_with_a_warning(registry: Registry[Any], tmp_path: Path) -> None:
    lay_out(
        tmp_path, "pretend-plugin", {"o1lab.test_parts": {"bad": "pretend_bad", "one": "pretend_thief"}},
        pretend_bad="1 / 0", pretend_thief=PARTS.format(name="one"),
    )  # fmt: skip
    with pytest.warns(PluginWarning, match=r"pretend-plugin was left out: o1lab.test_parts 'one': .* is taken by"):
        assert registry.names() == ("other", "one", "bad")
    with (
        pytest.warns(PluginWarning, match="ZeroDivisionError"),
        pytest.raises(UsageError, match=r"The part 'bad' of pretend-plugin cannot be used: .*ZeroDivisionError"),
    ):
        registry.get("bad")
    assert registry.get("one").__module__ == "pretend_parts.one"
    assert list(registry.all()) == ["other", "one"]
    assert [(one.name, one.package) for one in registry.problems()] == [
        ("one", "pretend-plugin"), ("bad", "pretend-plugin"),
    ]  # fmt: skip


def test_two_plugins_of_one_name_the_first_by_its_package_wins(registry: Registry[Any], tmp_path: Path) -> None:
    for name in ("pretend-b", "pretend-a"):
        module = name.replace("-", "_")
        lay_out(tmp_path, name, {"o1lab.test_parts": {"same": module}}, **{module: PARTS.format(name="same")})
    with pytest.warns(PluginWarning, match="pretend-b was left out: .* The name is taken by the package pretend-a"):
        assert registry.get("same").__module__ == "pretend_a"


def test_the_built_in_parts_are_in_their_order() -> None:
    methods = ("sample", "reformat", "translate", "rescue", "rescue-traces", "debate", "tree_search")
    assert METHODS.names()[: len(methods)] == methods
    assert SCORERS.names()[:9] == (
        "math", "exact", "match", "choice", "refusal", "refusal-model", "claims", "human", "judge",
    )  # fmt: skip
    assert engine_names()[:3] == ("local", "batch", "ray")
    assert IMPORTERS.names()[:8] == (
        "tree", "s1", "recorded", "sharegpt", "messages", "reasoning", "alpaca", "problems",
    )  # fmt: skip


@pytest.mark.usefixtures("pretend")
async def test_a_method_is_one_class() -> None:
    with pytest.raises(UsageError, match="there is no method 'pretend'"):
        runs.read_settings({"method": "pretend", "endpoint": "x"})

    @method("pretend")
    class Pretend(SingleCall):
        needs: ClassVar[Mapping[str, Need]] = {"prompt": Need("long-thought", frozenset({"statement"}))}

        def messages(self, item: SourceItem) -> list[Message]:
            return self.prompts["prompt"].fill({"statement": item.statement})

        def draft(self, item: SourceItem, response: Response) -> Draft:
            return as_trace(response)

    settings = runs.read_settings({"method": "pretend", "endpoint": "x"})
    made = make_method(settings, {"prompt": find_prompt(None, "long-thought")})
    assert isinstance(made, Pretend)
    assert (made.name, made.source, made.requires, made.roles) == ("pretend", "problems", (), ("teacher",))
    assert method_names()[-1] == "pretend"
    assert METHODS.get("sample") is Sample


@pytest.mark.usefixtures("pretend")
async def test_a_scorer_is_one_class() -> None:
    class PretendOptions(Options):
        wanted: str = "yes"

    @scorer("pretend", version=2, options=PretendOptions)
    class Pretend(PlainScorer[PretendOptions]):
        votes = "always"

        def score_attempt(self, attempt: Attempt) -> Score:
            return Score("correct" if attempt.answer == self._options.wanted else "incorrect")

    spec = ScorerSpec(name="pretend", options={"wanted": "no"})
    assert scorer_label(spec, None, None) == "pretend@2(wanted=no)"
    assert isinstance(make_scorer(spec), Pretend)
    assert answers_are_votes("pretend@2")
    assert not answers_are_votes("removed@1")


@pytest.mark.usefixtures("pretend")
def test_a_rule_is_one_function() -> None:
    @rule("pretend", version=1, about="is pretended")
    def pretended(problem: Problem) -> str | None:
        return "is pretended" if problem.statement == "?" else None

    [found] = chosen_rules(["pretend"])
    assert (found.name, found.version, found.about) == ("pretend", 1, "is pretended")


@pytest.mark.usefixtures("pretend")
def test_an_importer_is_one_function_and_one_that_fails_costs_its_row() -> None:
    row = {"ask": "1 + 1?", "reply": "2"}
    with pytest.raises(RowError, match="no format known"):
        read_row(row, FileOrigin("x"), 1)

    @importer("pretend")
    def pretended(row: Mapping[str, Any]) -> Found | None:
        return Found(row["ask"], [TraceText(row["reply"])])

    parsed = read_row(row, FileOrigin("x"), 1)
    assert (parsed.format, parsed.problem.statement, parsed.traces[0].raw) == ("pretend", "1 + 1?", "2")
    with pytest.raises(RowError, match="the importer pretend failed: KeyError"):
        read_row({"other": 1}, FileOrigin("x"), 1)
