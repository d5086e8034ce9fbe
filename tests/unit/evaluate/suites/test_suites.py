"""Suites as files: found by name, the lab's own first; a fault names the file and the field."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from o1lab.errors import NotFoundError, UsageError
from o1lab.evaluate.scorers import scorer_label
from o1lab.evaluate.suites.suite import Suite, all_suites, find_suite, read_suite
from o1lab.paths import Lab

BARE: dict[str, Any] = {
    "name": "mine",
    "version": 1,
    "title": "Mine",
    "family": "general",
    "items": {"file": "mine.jsonl"},
    "scorer": {"name": "exact"},
}


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    lab = Lab(tmp_path / "lab")
    lab.suites.mkdir(parents=True)
    return lab


def write(lab: Lab, stem: str = "mine", text: str | None = None, **changes: Any) -> Path:
    path = lab.suites / f"{stem}.yaml"
    path.write_text(yaml.safe_dump(BARE | changes) if text is None else text, "utf-8")
    return path


def test_every_built_in_suite_is_complete(lab: Lab) -> None:
    found = all_suites(None)

    assert {one.name: one.problem for one in found if one.problem} == {}
    asked = {
        "aime24", "aime25", "math500", "math2024", "amc23", "minerva_math", "olympiadbench", "gsm8k",
        "flames", "diasafety", "wildsafety", "xstest", "simpleqa", "chinese-simpleqa", "chinesefacteval",
        "sycophancy", "snowballing-primality", "snowballing-senators", "claims", "mt-bench", "vicuna", "autoj", "lima",
    }  # fmt: skip
    assert asked <= {one.name for one in found}


def test_a_suite_states_which_file_it_needs_and_where_an_id_is_documented() -> None:
    for one in all_suites(None):
        assert one.suite is not None
        assert one.suite.about
        if not (one.path.parent / (one.suite.items.file or "")).is_file():  # the demo's own items lie beside it
            assert one.suite.items.needs, one.name
        if one.suite.items.hub is not None:
            assert one.suite.items.hub.seen, one.name


def test_every_suite_names_a_scorer_a_prompt_and_options_that_there_are() -> None:
    for one in all_suites(None):
        assert one.suite is not None
        label = scorer_label(one.suite.scorer, None, "model")
        assert label.startswith(f"{one.suite.scorer.name}@")


def test_the_labs_own_suite_hides_the_built_in_one(lab: Lab) -> None:
    path = write(lab, "xstest", name="xstest", title="My XSTest")

    found = find_suite(lab, "xstest")

    assert (found.title, found.path) == ("My XSTest", path)
    assert [one.own for one in all_suites(lab) if one.name == "xstest"] == [True]
    assert find_suite(None, "xstest").title != "My XSTest"


def test_a_suite_is_found_by_its_path(lab: Lab, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(BARE), "utf-8")

    assert find_suite(lab, str(path)).label == "mine@1"


def test_an_unknown_suite_gets_a_near_name(lab: Lab) -> None:
    with pytest.raises(NotFoundError) as caught:
        find_suite(lab, "math50")
    assert "math500" in caught.value.hint


@pytest.mark.parametrize("wanted", ["../xstest", "a/b", "", "x\0y", "nö", "x" * 5000, "~nobody/x"])
def test_a_name_never_leaves_the_folders(lab: Lab, wanted: str) -> None:
    (lab.root / "xstest.yaml").write_text("name: xstest", "utf-8")
    with pytest.raises(NotFoundError):
        find_suite(lab, wanted)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"version": "new"}, "version: input should be a valid integer"),
        ({"version": 0}, "version"),
        ({"family": "maths"}, "family"),
        ({"name": "other"}, "is 'other', which is not its file name"),
        ({"name": "../mine"}, "name"),
        ({"promt": "?"}, "there is no field promt"),
        ({"items": {"file": "x", "field": {}}}, "there is no field items.field"),
        ({"items": {"file": 3}}, "items.file"),
        ({"items": {"file": "x", "take": 0}}, "items.take"),
        ({"items": {"build": "sycofancy"}}, "no builder 'sycofancy'"),
        ({"items": {"build": "sycophancy", "options": {"form": "chat"}}}, "items.options.form"),
        ({"items": {"build": "plain", "options": {"form": "open"}}}, "items.options.form"),
        ({"items": {"hub": {"files": ["a"]}}}, "items.hub.id is missing"),
        ({"scorer": {}}, "scorer.name is missing"),
        ({"scorer": {"name": "maths"}}, "no scorer 'maths'"),
        ({"scorer": {"name": "match", "options": {"mod": "equal"}}}, "invalid option 'mod'"),
        ({"sampling": {"temperature": -1}}, "sampling.temperature"),
        ({"metric": "bleu"}, "metric"),
    ],
)
def test_a_fault_names_the_file_and_the_field(lab: Lab, changes: dict[str, Any], said: str) -> None:
    path = write(lab, **changes)

    with pytest.raises(UsageError) as caught:
        find_suite(lab, "mine")

    assert str(path) in caught.value.message
    assert said in caught.value.message
    assert caught.value.hint


def test_a_wrong_name_of_a_field_gets_a_near_one(lab: Lab) -> None:
    write(lab, promt="?")
    with pytest.raises(UsageError, match="prompt"):
        find_suite(lab, "mine")


@pytest.mark.parametrize(
    "text", ["", "[1, 2]", "name: [", "just words", "a: &a [*a]\n", "\0", "name: mine\n\tversion: 1", "- " * 5000]
)
def test_what_is_no_suite_is_said_in_a_sentence(lab: Lab, text: str) -> None:
    path = write(lab, text=text)
    with pytest.raises(UsageError) as caught:
        read_suite(path)
    assert str(path) in caught.value.message


def test_a_file_that_is_not_utf8_or_too_large_is_refused(lab: Lab) -> None:
    path = lab.suites / "mine.yaml"
    path.write_bytes("title: é".encode("latin-1"))
    with pytest.raises(UsageError, match="not UTF-8"):
        read_suite(path)
    path.write_bytes(b"#" * (2 << 20))
    with pytest.raises(UsageError, match="too large"):
        read_suite(path)


def test_a_duplicate_key_is_reported(lab: Lab) -> None:
    path = write(lab, text=yaml.safe_dump(BARE) + "prompt: one\nprompt: two\n")
    with pytest.raises(UsageError, match="'prompt' is given twice"):
        read_suite(path)


def test_a_file_that_unfolds_without_end_is_refused_at_once(lab: Lab) -> None:
    folds = "\n".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 40))
    path = write(lab, text=f"a0: &a0 [x]\n{folds}\nname: *a39\n")
    with pytest.raises(UsageError):
        read_suite(path)


def test_a_broken_file_is_listed_with_its_reason(lab: Lab) -> None:
    write(lab, text="name: [")
    write(lab, "good", name="good")

    found = {one.name: one for one in all_suites(lab)}

    assert found["mine"].suite is None
    assert "not YAML" in found["mine"].problem
    assert found["good"].suite is not None


def test_what_yaml_takes_for_false_is_the_word_no(lab: Lab) -> None:
    path = write(lab, text=yaml.safe_dump(BARE).replace("file: mine.jsonl", "{file: x, fixed: {gold: no}}", 1))
    path.write_text(yaml.safe_dump(BARE | {"items": {"file": "x", "fixed": {"gold": False}}}), "utf-8")
    assert read_suite(path).items.fixed == {"gold": "no"}


def test_a_suite_that_a_run_restored_has_no_path() -> None:
    suite = find_suite(None, "xstest")
    again = Suite.model_validate(suite.model_dump())
    assert again.path is None
    assert again.model_dump() == suite.model_dump()


@pytest.mark.parametrize(
    ("scorer", "build", "needs"),
    [("math", "plain", True), ("judge", "plain", False), ("judge", "sycophancy", True), ("claims", "claims", False)],
)
def test_whether_gold_answers_are_needed(lab: Lab, scorer: str, build: str, needs: bool) -> None:
    path = write(lab, scorer={"name": scorer}, items={"build": build})
    assert read_suite(path).needs_gold is needs
