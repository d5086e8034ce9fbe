"""Case studies: what people labelled is marked in the text, and nothing a model wrote acts on the page."""

from __future__ import annotations

import errno
import html
import os
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from o1lab.errors import O1LabError, UsageError
from o1lab.evaluate.rating import promote, sheets
from o1lab.evaluate.report import cases
from o1lab.evaluate.report.cases import Labelled, Part, pieces
from o1lab.text import visible
from store import Store, evaluations, open_store
from store.evaluations import NewSample, Turn
from tests.support.evaluate_lab import BASE, STUDENT, evaluation, make_lab, put


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(make_lab(tmp_path / "lab").database)


def labelled(store: Store) -> cases.Case:
    """Item 0, wrong before and right after, with the slip and the check labelled."""
    before = evaluations.find_sample(store.db, "base-1", "add:0")
    after = evaluations.find_sample(store.db, "student-1", "add:0")
    promote.label(store, before, "span", "slip", annotator="ann", span=(4, 7))  # of the answer: it has no thought
    thought = evaluations.sample(store.db, after)[1].turns[0].thought
    start = thought.index("Wait")
    promote.label(store, after, "span", "self-check", annotator="ann", span=(start, start + 4))
    return cases.case(store.db, "base-1", "student-1", "add:0")


def test_a_pair_with_its_labels(store: Store) -> None:
    one = labelled(store)
    assert (one.question, one.gold) == ("What is 123 + 288?", ("411",))
    assert (one.before.model, one.before.outcome, one.before.answer) == (BASE, "incorrect", "911")
    assert (one.after.model, one.after.outcome) == (STUDENT, "correct")
    assert one.labels == ("slip", "self-check")
    assert [part.role for part in one.before.parts] == ["answer"]
    assert [part.role for part in one.after.parts] == ["thought", "answer"]
    assert "**Wait** ⟦self\\-check⟧, let me check" in cases.as_markdown(one)
    assert '<mark title="slip">sum</mark><sup>slip</sup>' in cases.as_html(one)
    assert "{\\color{casemark}\\bfseries Wait}\\textsuperscript{\\color{caselabel}self{-}check}" in cases.as_latex(one)


spans = st.lists(
    st.builds(Labelled, st.integers(-3, 40), st.integers(-3, 40), st.sampled_from(["slip", "check"])), max_size=5
)


@given(st.text(max_size=30), spans)
def test_pieces_are_the_text_and_each_label_closes_once(text: str, labels: list[Labelled]) -> None:
    cut = pieces(Part("thought", text, tuple(labels)))
    assert "".join(piece.text for piece in cut) == text
    inside = {(max(one.start, 0), min(one.end, len(text)), one.label) for one in labels}
    wanted = {(end, label) for start, end, label in inside if start < end}
    assert sum(len(piece.closing) for piece in cut) == len(wanted)
    assert all(set(piece.closing) <= set(piece.labels) for piece in cut)


@given(st.text(max_size=60))
def test_html_shows_the_text_and_nothing_else(text: str) -> None:
    shown = cases._marked(Part("answer", text, (Labelled(0, 5, "<b>"),)), cases._html_piece)
    bare = re.sub(r"</?mark[^<>]*>|<sup>[^<>]*</sup>", "", shown)
    assert not set(bare) & set("<>\"'")
    assert html.unescape(bare) == visible(text)


def test_a_hostile_text_does_nothing_in_any_format(store: Store, tmp_path: Path) -> None:
    evil = "<script>alert(1)</script> \\input{/etc/passwd} \x1b[2J ![x](http://y) $$ # % **b** ⟦x⟧ \u202e</think>"
    one = evaluation("evil-01", STUDENT)
    put(store, one, ["correct"])
    with store.db.atomic():
        evaluations.add_samples(store.db, "evil-01", [NewSample("add:0", 0, "complete", (Turn("?", evil, evil),), "k")])
    found = cases.case(store.db, "base-1", "evil-01", "add:0")
    for suffix, forbidden in (
        (".html", ("<script", "\x1b", "\u202e")),
        (".tex", ("\\input", "\x1b", "\u202e", " # ", " % ")),
        (".md", ("<", "![x]", "\x1b", "\u202e", " # ")),
    ):
        path = tmp_path / f"case{suffix}"
        cases.write(found, path)
        page = path.read_text("utf-8")
        assert not [word for word in forbidden if word in page], suffix
    with pytest.raises(UsageError, match="is not a known format"):
        cases.write(found, tmp_path / "case.pdf")


def test_a_disk_that_is_full_leaves_the_old_file_as_it_was(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from o1lab.cli.base.sheets import write_file

    def full(_file: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    found, sheet = cases.case(store.db, "base-1", "student-1", "add:0"), sheets.sheet(store.db, ["base-1"], "ann")
    folder = tmp_path / "out"
    folder.mkdir()
    writers: dict[str, Callable[[Path], object]] = {
        "case.md": partial(cases.write, found),
        "sheet.csv": partial(sheets.export, store.db, sheet),
        "table.tex": lambda path: write_file(path, "new"),
    }
    for name, write in writers.items():
        (folder / name).write_text("old", "utf-8")
        with monkeypatch.context() as at_the_end, pytest.raises(O1LabError, match="No space left"):
            at_the_end.setattr(os, "fsync", full)
            write(folder / name)
        assert (folder / name).read_text("utf-8") == "old"
        assert {path.name for path in folder.iterdir()} <= set(writers)
        write(folder / name)
        assert (folder / name).read_text("utf-8") != "old"


def test_items_that_were_put_differently_make_no_pair(store: Store) -> None:
    from dataclasses import replace

    other = replace(evaluation("other-1", STUDENT), items_hash="another")
    items = [replace(evaluations.item(store.db, "base-1", "add:0"), question="Add 123 and 288.")]
    evaluations.add(store.db, other, items)
    with pytest.raises(UsageError, match="item 'add:0' differs"):
        cases.case(store.db, "base-1", "other-1", "add:0")
