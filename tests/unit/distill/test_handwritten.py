"""A person writes a long thought in an editor."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from o1lab.distill.drafts import SCISSORS, draft_path, template
from o1lab.distill.handwritten import write, written
from o1lab.errors import LabError
from o1lab.ingest.edit import run_editor
from o1lab.paths import Lab
from store import Store, problems, traces
from store.filters import TraceQuery
from store.records import NewProblem, Problem

THOUGHT = "I add them. That gives 43.\n\nWait, that is not right. Let me check: 43 - 2 is 41. So it must be 42."
SOLUTION = "The sum is $\\boxed{42}$."
TYPED = f"<think>\n{THOUGHT}\n</think>\n\n{SOLUTION}"


@pytest.fixture
def problem(store: Store) -> Problem:
    with store.db.atomic():
        problems.add(store.db, [NewProblem("What is 40 + 2?\n\x1b[31mred", "here", answer="42")])
    found = problems.find(store.db, "What is 40 + 2?\n\x1b[31mred")
    assert found is not None
    return found


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


def typing(text: str) -> Callable[[Path], None]:
    """An editor in which the body is replaced by ``text``."""

    def edit(path: Path) -> None:
        head, mark, _ = path.read_text("utf-8").partition(">8 ------------------------\n")
        path.write_text(head + mark + text + "\n", "utf-8")

    return edit


def test_what_is_written_is_measured_and_verified_at_once(store: Store, lab: Lab, problem: Problem) -> None:
    row = write(store, lab, problem, annotator="ada", licence="CC0-1.0", edit=typing(TYPED))
    assert row is not None
    assert (row.model, row.synthesis, row.verdict, row.answer) == ("ada", "human", "correct", "42")
    assert (row.licence, row.source, row.format, row.complete) == ("CC0-1.0", "written", "r1", True)
    assert row.moves is not None
    assert row.moves["reflect"] + row.moves["backtrack"] >= 1
    text = traces.text(store.db, row.id)
    assert (text.raw, text.thought, text.solution) == (TYPED, THOUGHT, SOLUTION)
    assert list((lab.root / "drafts").iterdir()) == []


@pytest.mark.parametrize("typed", ["", "<think>\n\n</think>\n\n", "<think></think>", "  \n"])
def test_nothing_typed_writes_nothing(store: Store, lab: Lab, problem: Problem, typed: str) -> None:
    assert write(store, lab, problem, annotator="ada", edit=typing(typed)) is None
    assert write(store, lab, problem, annotator="ada", edit=lambda path: None) is None
    assert traces.count(store.db, TraceQuery.parse("")) == 0
    assert list((lab.root / "drafts").iterdir()) == []


def test_the_file_shows_the_problem_and_nothing_of_it_gets_into_the_trace(problem: Problem) -> None:
    shown = template(problem)
    assert "#   What is 40 + 2?\n#   ␛[31mred\n" in shown
    assert "gold answer: '42'" in shown
    assert "\x1b" not in shown
    assert written(shown) is None
    assert written(shown.replace("\n\n</think>", "\nI think\n</think>")) == "<think>\nI think\n</think>"


def test_a_statement_cannot_pass_for_the_cut(store: Store) -> None:
    mean = NewProblem(f"One\n{SCISSORS}\n{SCISSORS[2:]}\n#lines R:1\n<think>two</think>", "here")
    with store.db.atomic():
        problems.add(store.db, [mean])
    found = problems.get(store.db, mean.id)
    assert found is not None
    assert written(template(found)) is None


def test_a_solution_alone_has_no_marks_and_a_cut_that_was_deleted_loses_nothing() -> None:
    assert written(f"{SCISSORS}\n<think>\n\n</think>\n\n{SOLUTION}\n") == SOLUTION
    assert written(TYPED) == TYPED


def test_what_was_typed_is_kept_when_the_database_refuses(
    store: Store, lab: Lab, problem: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.db.execute("CREATE TRIGGER full BEFORE INSERT ON traces BEGIN SELECT RAISE(ABORT, 'disk is full'); END")
    path = draft_path(lab, problem.id, "ada")
    with pytest.raises(LabError) as refused:
        write(store, lab, problem, annotator="ada", edit=typing(TYPED))
    assert str(path) in refused.value.hint
    assert TYPED in path.read_text("utf-8")
    store.db.execute("DROP TRIGGER full")
    opened: list[str] = []
    row = write(store, lab, problem, annotator="ada", edit=lambda found: opened.append(found.read_text("utf-8")))
    assert TYPED in opened[0]
    assert row is not None
    assert row.verdict == "correct"
    assert not path.exists()


def test_an_editor_that_fails_keeps_what_was_typed(
    store: Store, lab: Lab, problem: Problem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "editor.py"
    script.write_text("import sys\nopen(sys.argv[1], 'a').write('half a thought')\nsys.exit(3)\n", "utf-8")
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.setenv("EDITOR", f"{sys.executable} {script}")
    with pytest.raises(LabError, match="ended with status 3") as failed:
        write(store, lab, problem, annotator="a/../b", edit=run_editor)
    path = draft_path(lab, problem.id, "a/../b")
    assert path.parent == lab.root / "drafts"
    assert str(path) in failed.value.hint
    assert path.read_text("utf-8").endswith("half a thought")


def test_an_editor_that_is_not_there_leaves_nothing(
    store: Store, lab: Lab, problem: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.setenv("EDITOR", "no-such-editor-anywhere")
    with pytest.raises(LabError, match="cannot be started"):
        write(store, lab, problem, annotator="ada")
    assert list((lab.root / "drafts").iterdir()) == []
