"""Drafts of chains: every line is kept as typed, marks survive an editor, and nobody's change is overwritten."""

from __future__ import annotations

from pathlib import Path

import pytest

from o1lab.chains.segmentation.moves import MoveKind
from o1lab.chains.verify import VerifierPool
from o1lab.distill.drafts import Draft, Line, draft_path, list_drafts, read_draft, save_draft
from o1lab.distill.handwritten import record, write
from o1lab.errors import LabError, UsageError
from o1lab.ingest import measuring
from o1lab.ingest.measuring import measure_pending, moves_of
from o1lab.paths import Lab
from store import Store, problems, traces
from store.records import NewProblem, Problem

LINES = (
    Line("  I need to think of a way.", None),
    Line("40 + 2 = 43.", MoveKind.COMPUTE),
    Line("Is it?", MoveKind.BACKTRACK),
    Line("Wait, 43 - 2 = 41.", None),
    Line("42 # not a comment \x1b[2J 等等", MoveKind.CONCLUDE),
)
DRAFT = Draft(LINES, "The sum is\n\n$\\boxed{42}$.")


@pytest.fixture
def problem(store: Store) -> Problem:
    new = NewProblem(
        "What is 40 + 2?\n#lines R:00000000\n------------------------ >8 ------------------------", "x", "a", "42"
    )
    with store.db.atomic():
        problems.add(store.db, [new])
    found = problems.get(store.db, new.id)
    assert found is not None
    return found


@pytest.fixture
def path(tmp_path: Path, problem: Problem) -> Path:
    return draft_path(Lab(tmp_path), problem.id, "ada")


@pytest.mark.parametrize(
    "draft", [Draft(), DRAFT, Draft(LINES[:1]), Draft((), "\\boxed{1}"), Draft((Line("a"), Line("")))]
)
def test_a_saved_draft_is_read_as_it_was(path: Path, problem: Problem, draft: Draft) -> None:
    content = save_draft(path, problem, draft, b"")
    assert read_draft(path) == (draft, content)
    assert content == path.read_bytes()


def test_each_line_is_a_move_and_unmarked_ones_have_the_kind_of_their_beginning() -> None:
    moves = DRAFT.moves()
    assert [move.kind.letter for move in moves] == ["P", "C", "B", "R", "F"]
    assert "".join(DRAFT.thought[move.start : move.end] for move in moves) == DRAFT.thought
    assert DRAFT.answer == "42"
    assert Draft().moves() == [] and Draft().answer is None


def test_marks_survive_an_editor_that_changes_other_lines(path: Path, problem: Problem) -> None:
    save_draft(path, problem, DRAFT, b"")
    text = path.read_text("utf-8").replace("\nIs it?", "\nA new line.\nIs it?").replace("40 + 2 = 43.", "40 + 2 = 44.")
    path.write_text(text, "utf-8")
    draft, _ = read_draft(path)
    assert [(line.text[:6], line.kind) for line in draft.lines] == [
        ("  I ne", None), ("40 + 2", None), ("A new ", None), ("Is it?", MoveKind.BACKTRACK), ("Wait, ", None),
        ("42 # n", MoveKind.CONCLUDE),
    ]  # fmt: skip


def test_the_change_of_another_program_is_not_overwritten(path: Path, problem: Problem) -> None:
    before = save_draft(path, problem, DRAFT, b"")
    path.write_text(path.read_text("utf-8") + "mine", "utf-8")
    with pytest.raises(LabError, match="Another program"):
        save_draft(path, problem, Draft(), before)
    assert path.read_text("utf-8").endswith("mine")
    with pytest.raises(LabError, match="Another program"):
        save_draft(path, problem, Draft(), b"")


def test_lines_are_changed_removed_and_pasted() -> None:
    draft = Draft(LINES[:2])
    assert [line.text for line in draft.written(2, "a\n\nb ", None).lines[2:]] == ["a", "b"]
    assert draft.written(1, "", None).lines == LINES[:1]
    assert draft.written(0, "x", MoveKind.PLAN).lines == (Line("x", MoveKind.PLAN), LINES[1])
    with pytest.raises(UsageError, match="mark of thoughts"):
        draft.written(2, "so </think> it ends", None)


def test_a_recorded_draft_keeps_the_moves_of_its_writer(
    store: Store, problem: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    with VerifierPool() as pool:
        row = record(store, problem, DRAFT, annotator="ada", licence="CC0-1.0", pool=pool)
        assert (row.model, row.synthesis, row.verdict, row.licence) == ("ada", "human", "correct", "CC0-1.0")
        assert row.moves == {"plan": 1, "compute": 1, "backtrack": 1, "reflect": 1, "conclude": 1} | dict.fromkeys(
            ("understand", "verify"), 0
        )
        text = traces.text(store.db, row.id)
        assert text.solution == DRAFT.solution and text.thought == DRAFT.thought.strip()
        monkeypatch.setattr(measuring, "MEASURED_BY", "a later version")
        measure_pending(store, pool=pool)
    again = traces.text(store.db, row.id)
    parts = [again.thought[move.start : move.end].strip() for move in moves_of(again)]
    assert parts == [line.text.strip() for line in LINES]
    for part, draft in (("thought", Draft((), "x")), ("solution", Draft(LINES))):
        with pytest.raises(UsageError, match=f"The {part} is empty"):
            record(store, problem, draft, annotator="ada", licence=None, pool=pool)


def test_an_editor_finishes_what_the_screen_began(store: Store, path: Path, problem: Problem) -> None:
    save_draft(path, problem, DRAFT, b"")
    row = write(store, Lab(path.parent.parent), problem, annotator="ada", edit=lambda _: None)
    assert row is not None and row.verdict == "correct"
    assert row.moves is not None and (row.moves["backtrack"], row.moves["compute"]) == (1, 1)
    assert not path.exists()


def test_drafts_are_listed_the_latest_first(tmp_path: Path, path: Path, problem: Problem) -> None:
    lab = Lab(tmp_path)
    assert list_drafts(lab) == []
    save_draft(path, problem, DRAFT, b"")
    (path.parent / ".hidden-x.md").write_text("x")
    [found] = list_drafts(lab)
    assert (found.problem_id, found.writer, found.path) == (problem.id, "ada", path)


def test_no_two_annotators_share_a_draft(store: Store, tmp_path: Path, problem: Problem) -> None:
    lab, names = Lab(tmp_path), ["ada", "a b", "a_b", "a-b", "a/b", "ä b", "a  b", "..", "a_b~0"]
    paths = {name: draft_path(lab, problem.id, name) for name in names}
    assert len(set(paths.values())) == len(names)
    assert all(path.parent == tmp_path / "drafts" for path in paths.values())
    save_draft(paths["a b"], problem, DRAFT, b"")
    save_draft(paths["a_b"], problem, Draft((Line("Mine."),), "42"), b"")
    assert read_draft(paths["a b"])[0].solution == DRAFT.solution
    assert read_draft(paths["a_b"])[0].thought == "Mine."
    assert {one.writer for one in list_drafts(lab)} == {"a_b", paths["a b"].stem.partition("-")[2]}


def test_a_draft_that_is_no_text_is_named(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"\xff\xfe\xff")
    with pytest.raises(LabError, match="cannot be read"):
        read_draft(path)


def test_own_moves_that_do_not_fit_are_ignored() -> None:
    for packed in ("U3", "U9 C3", "X5", "U", "Uabc", 7, None, ""):
        assert measuring.own_moves(packed, (0, 5)) == []
    assert measuring.own_moves("U2 C5", (3, 8)) != []
