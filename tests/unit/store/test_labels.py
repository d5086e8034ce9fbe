"""The labels of a lab: what it offers, renaming without touching records, and the filters that find their spans."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from store import Store, filter_values, labels, open_store, traces
from store import annotations as annotation_log
from store.errors import NameTakenError, NotFoundError, UsageError
from store.filters import TraceQuery
from store.filters.traces import TRACES
from tests.unit.store.test_store import add_chain


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = open_store(tmp_path / "lab.db")
    yield store
    store.close()


def found(store: Store, query: str) -> list[str]:
    return [row.id for row in traces.page(store.db, TraceQuery.parse(query))]


def span(store: Store, trace: str, label: str, *, annotator: str = "ann") -> None:
    annotation_log.annotate(store.db, trace, "span", label, annotator=annotator, span=(0, 4))


def test_a_new_lab_has_labels_with_digits_in_order(store: Store) -> None:
    every = labels.every(store.db)
    assert [one.digit for one in every] == [1, 2, 3, 4, 5, 6]
    assert len({one.colour for one in every}) == 6
    assert all(one.colour in labels.COLOURS for one in every)


def test_a_label_is_added_with_a_free_digit_and_the_least_used_colour(store: Store) -> None:
    assert labels.add(store.db, "guess") == labels.Label("guess", "white", 7)
    assert labels.add(store.db, "odd", colour="red", digit=9) == labels.Label("odd", "red", 9)
    assert labels.add(store.db, "two more").digit == 8
    assert labels.add(store.db, "no digit is left").digit is None
    with pytest.raises(NameTakenError, match="digit 9 gives 'odd'"):
        labels.add(store.db, "other", digit=9)
    with pytest.raises(NameTakenError, match="has a label 'odd' already"):
        labels.add(store.db, "odd")
    for bad in ("", " x", 'a "b"', "a\nb", "x" * 41):
        with pytest.raises(UsageError):
            labels.add(store.db, bad)
    with pytest.raises(UsageError, match="digit 0"):
        labels.set_digit(store.db, "odd", 0)
    with pytest.raises(UsageError, match="mauve"):
        labels.recolour(store.db, "odd", "mauve")
    assert len(labels.every(store.db)) == 10


def test_labels_change_places_when_one_takes_the_digit_of_another(store: Store) -> None:
    label, other = labels.set_digit(store.db, "gap", 1)
    assert (label.digit, other) == (1, labels.Label("slip", "red", 3))
    assert labels.set_digit(store.db, "gap", None) == (labels.Label("gap", "yellow", None), None)
    assert labels.set_digit(store.db, "gap", 3)[1] == labels.Label("slip", "red", None)
    assert labels.set_digit(store.db, "gap", 3) == (labels.Label("gap", "yellow", 3), None)


def test_an_unknown_label_is_named_with_the_known_ones(store: Store) -> None:
    with pytest.raises(NotFoundError) as caught:
        labels.get(store.db, "slpi")
    assert caught.value.message == "The lab has no label 'slpi'."
    assert caught.value.hint.startswith("Did you mean 'slip'? It has slip, wrong turn, ")


def test_spans_follow_a_renamed_label_and_records_stay(store: Store) -> None:
    trace = add_chain(store, "What is 6 * 7?", "It is 41.")
    span(store, trace, "slip")
    labels.rename(store.db, "slip", "arithmetic slip")
    assert [one.value for one in annotation_log.of_trace(store.db, trace)] == ["arithmetic slip"]
    assert store.db.execute("SELECT value FROM annotations").fetchall() == [("slip",)]
    assert found(store, 'label:"arithmetic slip"') == found(store, "label:slip") == [trace]
    span(store, trace, "slip")  # typed from memory
    assert store.db.execute("SELECT value FROM annotations WHERE seq = 2").fetchone() == ("arithmetic slip",)
    assert labels.uses(store.db) == {"arithmetic slip": (2, 1)}
    labels.rename(store.db, "slip", "slip")  # by its earlier name, back again
    assert labels.uses(store.db) == {"slip": (2, 1)}
    assert labels.get(store.db, "arithmetic slip").name == "slip"
    labels.rename(store.db, "slip", "error")
    assert labels.uses(store.db) == {"error": (2, 1)}
    with pytest.raises(NameTakenError, match="'slip' is the earlier name of 'error'"):
        labels.add(store.db, "slip")
    with pytest.raises(NameTakenError, match="has a label 'gap' already"):
        labels.rename(store.db, "error", "gap")


def test_a_removed_label_stays_on_its_spans(store: Store) -> None:
    trace = add_chain(store, "What is 6 * 7?", "It is 41.")
    span(store, trace, "slip")
    labels.remove(store.db, "slip")
    assert labels.known(store.db) == ["wrong turn", "gap", "key idea", "good check", "repetition", "slip"]
    assert found(store, "label:slip") == [trace]


def test_filters_find_labels_notes_tags_and_annotators(store: Store) -> None:
    one, two, three = (add_chain(store, f"What is {n} * 7?", "It is so.") for n in range(3))
    span(store, one, "wrong turn")
    span(store, two, "gap", annotator="Bo Li")
    annotation_log.annotate(store.db, one, "note", "100% sure, says_it", annotator="ann")
    annotation_log.annotate(store.db, two, "tag", "clear", annotator="judge (m@1)", run_id="r1")
    assert found(store, 'label:"wrong turn"') == [one]
    assert found(store, "label:gap,slip") == [two]
    assert found(store, "-label:gap") == [one, three]
    assert found(store, "label:Gap") == []
    assert found(store, "note:SURE") == found(store, "note:100%") == found(store, "note:says_it") == [one]
    assert found(store, "note:saysXit") == []
    assert found(store, "by:bo") == [two]
    assert found(store, "by:judge,ann") == [one, two]
    assert found(store, "-has:label,note") == [three] == found(store, "-by:ann,bo")
    assert found(store, "has:tag") == [two]
    assert found(store, "has:label -has:note") == [two]
    for _ in range(2):
        annotation_log.undo(store.db, annotator="ann")
    assert found(store, "by:ann") == found(store, "has:note") == found(store, 'label:"wrong turn"') == []


def test_the_filter_offers_and_checks_the_values_of_the_lab(store: Store) -> None:
    trace = add_chain(store, "What is 6 * 7?", "It is 41.")
    span(store, trace, "my own", annotator="Bo Li")
    labels.rename(store.db, "slip", "error")
    values = filter_values.of_traces(store.db)
    assert values["by"] == ["Bo Li"]
    assert values["label"] == ["error", "wrong turn", "gap", "key idea", "good check", "repetition", "my own", "slip"]
    assert TRACES.complete("label:ga", values) == "label:gap"
    assert TRACES.complete('label:"wro', values) == 'label:"wrong turn"'
    assert TRACES.complete('by:"bo', values) == 'by:"bo Li"'
    assert "here: error, wrong turn" in TRACES.explain("label:", values)

    def unknown(text: str) -> str:
        return TRACES.unknown(TraceQuery.parse(text).conditions, values)

    assert unknown("label:gpa") == (
        "The lab has no label 'gpa'. Did you mean 'gap'? "
        "It has error, wrong turn, gap, key idea, good check, repetition, my own, slip."
    )
    assert unknown("label:gap by:li note:anything") == ""
    assert unknown("by:eve") == "The lab has no annotator 'eve'. It has Bo Li."
    assert unknown("tag:clear") == "The lab has no tag 'clear'. It has none."
