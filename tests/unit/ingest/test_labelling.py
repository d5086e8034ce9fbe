"""The classifier labels chains after the rules: once, in any order, and around what persons corrected."""

from __future__ import annotations

from pathlib import Path

import pytest

from o1lab.chains.segmentation.labelling import Labeller, labeller_at, shipped_path
from o1lab.chains.segmentation.moves import SEGMENTER_VERSION, MoveKind, cut, segment, unpack
from o1lab.errors import LabError
from o1lab.ingest.importer import import_files
from o1lab.ingest.labelling import label_now, label_pending, labeller_of
from o1lab.ingest.measuring import measure_pending, moves_of
from o1lab.paths import Lab
from store import Store, labelling, move_counts, traces
from store import annotations as annotation_log
from store.filters import TraceQuery
from tests.unit.chains.segmentation.test_labelling import always
from tests.unit.ingest.test_import import lines

THOUGHT = "The tank leaks slowly at the bottom.\nWait, is it the tap? Let me check: 4 * 3 = 12.\nSo the answer is 12."
CHINESE = "已知甲乙两地相距45公里。首先设时间为t。计算得t=1.5。等等，这不对吧。让我检查一下。答案是27。"


def add(store: Store, tmp_path: Path, *thoughts: str) -> list[str]:
    rows = [
        {"problem": f"p{n}", "raw": f"<think>\n{thought}\n</think>\n\n\\boxed{{12}}", "gold_answer": "12"}
        for n, thought in enumerate(thoughts)
    ]
    import_files(store, [lines(tmp_path / "a.jsonl", *rows)])
    measure_pending(store)
    return [row.id for row in traces.page(store.db, TraceQuery.parse("sort:added"))]


def letters(store: Store, trace: str) -> str:
    return "".join(move.kind.letter for move in moves_of(traces.text(store.db, trace)))


def test_an_import_uses_the_rules_and_the_classifier_comes_later(store: Store, tmp_path: Path) -> None:
    english, chinese = add(store, tmp_path, THOUGHT, CHINESE)
    text = traces.text(store.db, english)
    assert moves_of(text) == segment(text.thought)
    assert labelling.by_whom(store.db) == {"model": 0, "rules": 0, "writer": 0, "pending": 2}
    labeller = labeller_at(shipped_path())
    told: list[tuple[int, int]] = []
    assert label_pending(store, labeller, progress=lambda *at: told.append(at)) == {"model": 1, "rules": 1}
    assert told == [(2, 2)]
    assert labelling.by_whom(store.db) == {"model": 1, "rules": 1, "writer": 0, "pending": 0}
    assert traces.text(store.db, chinese).kinds_by == "rules"
    text = traces.text(store.db, english)
    assert moves_of(text) == labeller.label(text.thought).moves
    assert (text.labeller, text.kinds_by, text.segmenter) == (labeller.name, "model", SEGMENTER_VERSION)
    assert letters(store, chinese) == "UPCRVF"
    assert label_pending(store, labeller).total() == 0


def test_counts_and_filters_follow(store: Store, tmp_path: Path) -> None:
    first, second = add(store, tmp_path, THOUGHT, "Some words about a tank that leaks and of a tap that drips.")
    assert label_now(store.db, always(MoveKind.VERIFY), first)
    assert not label_now(store.db, always(MoveKind.VERIFY), first)
    row = traces.get(store.db, first)
    assert row.moves is not None
    assert {kind: number for kind, number in row.moves.items() if number} == {"verify": 1}
    found = {
        value: [one.id for one in traces.page(store.db, TraceQuery.parse(f"moves-by:{value}"))]
        for value in ("model", "rules", "writer", "pending")
    }
    assert found == {"model": [first], "rules": [], "writer": [], "pending": [second]}


def test_another_classifier_labels_again_and_measuring_starts_with_the_rules(store: Store, tmp_path: Path) -> None:
    [trace] = add(store, tmp_path, THOUGHT)
    label_pending(store, always(MoveKind.VERIFY))
    assert letters(store, trace) == "V"
    other = Labeller("other", (MoveKind.PLAN,), always(MoveKind.PLAN).weights)
    assert label_pending(store, other) == {"model": 1}
    assert letters(store, trace) == "P"
    with store.db.atomic():
        store.db.conn.execute("UPDATE traces SET measured_by = 'moves 0, measures 1, verifier 1'")
    measure_pending(store)
    assert letters(store, trace) != "P"
    assert labelling.by_whom(store.db)["pending"] == 1


def test_a_correction_stays_a_move_of_its_own_and_counts(store: Store, tmp_path: Path) -> None:
    [trace] = add(store, tmp_path, THOUGHT)
    moves = moves_of(traces.text(store.db, trace))
    checked = next(move for move in moves if move.kind is MoveKind.VERIFY)
    span = (checked.start, checked.end)
    annotation_log.annotate(store.db, trace, "move", "backtrack", annotator="ann", span=span)
    label_pending(store, always(MoveKind.PLAN))
    stored = moves_of(traces.text(store.db, trace))
    assert [(move.kind.letter, move.start, move.end) for move in stored] == [
        ("P", 0, span[0]), ("P", *span), ("P", span[1], moves[-1].end),
    ]  # fmt: skip
    row = traces.get(store.db, trace)
    assert row.moves is not None
    assert (row.moves["plan"], row.moves["backtrack"]) == (2, 1)


def test_many_chains_are_labelled_in_a_process_and_a_stop_keeps_what_is_done(store: Store, tmp_path: Path) -> None:
    ids = add(store, tmp_path, *(f"{THOUGHT} It was {n}." for n in range(70)))
    labeller = labeller_at(shipped_path())
    first = label_pending(store, labeller, stop=lambda: True)
    assert 0 < first.total() < 70
    second = label_pending(store, labeller)
    assert first + second == {"model": 70}
    text = traces.text(store.db, ids[-1])
    assert moves_of(text) == labeller.label(text.thought).moves


def test_a_response_without_a_thought_counts_no_moves(store: Store, tmp_path: Path) -> None:
    row = {"problem": "p", "response": "The tank leaks. So the answer is 12.", "gold_answer": "12"}
    import_files(store, [lines(tmp_path / "a.jsonl", row)])
    measure_pending(store)
    label_pending(store, always(MoveKind.VERIFY))
    [found] = traces.page(store.db, TraceQuery.parse("moves-by:model"))
    assert found.moves is not None
    assert not any(found.moves.values())
    assert letters(store, found.id) == "V"


def test_a_lab_uses_its_own_classifier_and_says_when_it_is_damaged(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    assert labeller_of(lab).name.startswith("shipped-2 ")
    lab.moves_classifier.write_bytes(b"damaged")
    with pytest.raises(LabError, match="cannot be used") as raised:
        labeller_of(lab)
    assert raised.value.code == "moves_classifier"


@pytest.mark.parametrize(
    ("spans", "expected"),
    [
        ([], "U4 C9"),
        ([(0, 4)], "U4 C9"),
        ([(2, 7)], "U2 C7 C9"),
        ([(1, 8)], "U1 C8 C9"),
        ([(0, 9)], "C9"),
        ([(5, 12)], "U4 C9"),
        ([(0, 2), (1, 3), (4, 5)], "U2 U4 C5 C9"),
    ],
)
def test_spans_are_cut_out_of_moves(spans: list[tuple[int, int]], expected: str) -> None:
    found = cut(unpack("U4 C9"), spans)
    assert found == unpack(expected)
    assert cut([], spans) == []


def test_the_profile_of_a_teacher_counts_what_the_rules_found(store: Store, tmp_path: Path) -> None:
    [trace] = add(store, tmp_path, THOUGHT)
    row = traces.get(store.db, trace)

    def counts() -> list[tuple[int, ...] | None]:
        found = move_counts.of_teacher(store.db, row.model, SEGMENTER_VERSION, everything=True)
        return [one.counts for one in found]

    before = counts()
    label_pending(store, always(MoveKind.VERIFY))
    label_pending(store, Labeller("other", (MoveKind.PLAN,), always(MoveKind.PLAN).weights))
    assert counts() == before
    assert before[0] is not None
    assert sum(before[0]) > 1
