"""The filter language: one grammar for traces, problems and samples; completion, help, and errors that suggest."""

from __future__ import annotations

from pathlib import Path

import pytest

from store import Store, open_store, problems
from store.errors import QueryError
from store.filters import Condition, ProblemQuery, Query, SampleQuery, TraceQuery
from store.records import NewProblem

KINDS = [TraceQuery, ProblemQuery, SampleQuery]
TRACES, PROBLEMS, SAMPLES = (kind.LANGUAGE for kind in KINDS)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = open_store(tmp_path / "lab.db")
    with store.db.atomic():
        problems.add(
            store.db,
            [
                NewProblem("A triangle has area 3.", "math500", "a", "3", licence="MIT"),
                NewProblem("A triangle has sides 3, 4 and 5.", "amc23", "b"),
                NewProblem("What is -3 + 4?", "amc23", "c", "1", solution="1"),
            ],
        )
    return store


def chosen(store: Store, text: str) -> list[str]:
    return [one.key for one in problems.select(store.db, ProblemQuery.parse(text))]


def test_a_minus_excludes_a_word_of_a_problem(store: Store) -> None:
    assert chosen(store, "triangle") == ["a", "b"]
    assert chosen(store, "-triangle") == ["c"]
    assert chosen(store, "triangle -area") == ["b"]
    assert chosen(store, '-"has area"') == ["b", "c"]
    assert chosen(store, '"-3"') == ["c"]


def test_values_can_be_alternatives(store: Store) -> None:
    assert chosen(store, "source:math500,amc") == ["a", "b", "c"]
    assert chosen(store, "-has:solution,trace has:answer,solution") == ["a"]
    assert chosen(store, 'source:"math500,amc"') == []
    assert chosen(store, "-source:math500,nowhere") == ["b", "c"]
    assert chosen(store, "license:mit") == ["a"]


@pytest.mark.parametrize(
    ("kind", "text", "message", "hint"),
    [
        (SampleQuery, "outcom:wrong", "Unknown field 'outcom'.", "Did you mean outcome?"),
        (TraceQuery, "verdit:wrong", "Unknown field 'verdit'.", "Did you mean verdict?"),
        (TraceQuery, "reflct>=3", "Unknown field 'reflct'.", "Did you mean reflect?"),
        (ProblemQuery, "sorce:amc", "Unknown field 'sorce'.", "Did you mean source?"),
        (ProblemQuery, "zz:1", "Unknown field 'zz'.", 'To search for these words, write "zz:1".'),
        (SampleQuery, "outcome:incorect", "'outcome' cannot be 'incorect'.", "Did you mean incorrect?"),
        (SampleQuery, "outcome:odd", "'outcome' cannot be 'odd'.", "unscored, failed, wrong."),
        (TraceQuery, "verdict:odd", "'verdict' cannot be 'odd'.", "correct (or right), incorrect (or wrong), unver"),
        (TraceQuery, "decision:odd", "'decision' cannot be 'odd'.", "accept (or accepted), reject (or rejected), "),
        (ProblemQuery, "zz:1", "Unknown field 'zz'.", "The fields are source, excluded, has, licence, license, key"),
        (SampleQuery, "sort:shortest", "Cannot sort by 'shortest'.", "Sort by suite, longest"),
        (SampleQuery, "tokens>many", "'tokens' takes a number, not 'many'.", "For example tokens>=3."),
        (TraceQuery, "verdict:", "'verdict' needs a value.", "correct (or right), incorrect"),
        (TraceQuery, "tokens>1,2", "'tokens' is compared with one number.", "Write tokens>1."),
    ],
)
def test_an_error_suggests_what_was_meant(kind: type[Query], text: str, message: str, hint: str) -> None:
    with pytest.raises(QueryError) as caught:
        kind.parse(text)
    assert caught.value.message == message
    assert hint in (caught.value.hint or "")


def test_a_filter_of_samples_is_outcomes_a_variant_an_order_and_words() -> None:
    found = SampleQuery.parse('What is  outcome:failed,incorrect variant:"no hint" sort:longest ratio 3:4 -add:5')
    assert found.conditions == (
        Condition("outcome", ("failed", "incorrect")), Condition("variant", ("no hint",)),
    )  # fmt: skip
    assert (found.sort, found.descending) == ("longest", False)
    assert found.text == "What is ratio 3:4 -add:5"
    assert SampleQuery.parse("outcome:wrong").conditions[0].values == (
        "incorrect", "incomplete", "unextracted", "unscored", "failed",
    )  # fmt: skip


def test_words_with_an_operator_that_are_no_field_are_searched() -> None:
    assert TraceQuery.parse("x=3 remark: a>b").text == "x=3 remark: a>b"
    assert SampleQuery.parse("add:5").text == "add:5"


def test_each_spelling_of_a_field_or_value_means_the_same() -> None:
    assert TraceQuery.parse("verdict=Wrong teacher:sky license:mit rating:4,5") == TraceQuery.parse(
        'verdict:incorrect model:"sky" licence:mit rating=4,5'
    )


@pytest.mark.parametrize(
    ("text", "completed"),
    [
        ("ver", "verdict:"),
        ("verdict:in", "verdict:incorrect"),
        ("verdict:wrong,no", "verdict:wrong,none"),
        ("reflect>=2 teacher:sky", "reflect>=2 teacher:sky-T1-14B"),
        ("-deci", "-decision:"),
        ("so", "sort:"),
        ("sort:-ch", None),
        ("sort:ch", "sort:chars"),
        ("backt", "backtrack>="),
        ("tag:wr", None),
        ('tag:"wr', 'tag:"wrong carry"'),
        ('tag:"wrong carry",do', 'tag:"wrong carry",done'),
        ("zzz", None),
        ("v", None),
        ("verdict:", None),
    ],
)
def test_fields_and_values_are_completed(text: str, completed: str | None) -> None:
    assert TRACES.complete(text, {"model": ["Sky-T1-14B"], "tag": ["wrong carry", "done"]}) == completed


def test_the_word_that_is_typed_is_explained() -> None:
    explained = "verdict: correct (or right), incorrect (or wrong), unverifiable, none"
    assert TRACES.explain("verdict:") == explained
    assert TRACES.explain("wait teacher:sk") == "model or teacher: part of the teacher's name"
    assert TRACES.explain('tag:"two wor') == "tag: a tag of the trace"
    assert "a minus in front reverses" in TRACES.explain("sort:-")
    assert TRACES.explain("wait") == TRACES.help
    assert "source:" in PROBLEMS.help and "outcome:" in SAMPLES.help and "sort: suite longest" in SAMPLES.help


@pytest.mark.parametrize(
    ("kind", "tables"),
    [
        (TraceQuery, "traces t"),
        (ProblemQuery, "problems p"),
        (SampleQuery, "evaluation_items i, samples s LEFT JOIN scores c ON c.seq = s.seq"),
    ],
)
def test_every_field_is_explained_completed_and_valid_sql(store: Store, kind: type[Query], tables: str) -> None:
    for name, field in kind.LANGUAGE.by_name.items():
        assert kind.LANGUAGE.explain(f"{name}:x") == field.explained()
        assert (kind.LANGUAGE.complete(name) or "").startswith(name)
        values = field.values[:2] or (("1", "2") if field.is_number else ("a", "b"))
        text = f"{name}:{','.join(values)} -{name}:{values[0]}"
        condition, parameters = kind.parse(text).where()
        found = store.db.execute(f"SELECT count(*) FROM {tables} WHERE {condition}", parameters)  # noqa: S608 our words
        assert found.fetchone() is not None


def test_a_filter_that_is_being_typed_is_known_to_be_unfinished() -> None:
    for text in ("a verdict:", "tokens>=", "outcome:wrong,", 'tag:"', "sort:-"):
        assert TRACES.is_unfinished(text)
    assert not TRACES.is_unfinished("a verdict:wrong")
    assert TRACES.may_become_field("wait verd")
    assert not TRACES.may_become_field("wait now ")


def test_the_order_is_replaced_in_a_filter() -> None:
    assert TRACES.with_sort("sort:chars wait", "-tokens") == "wait sort:-tokens"
    assert TRACES.with_sort("wait sort:chars", "added") == "wait"
    assert SAMPLES.with_sort("carry sort:longest", "") == "carry"


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ('"wait', '"wait"'), ('chars>1 -"so wait', 'chars>1 -"so wait"'), ('tag:"two wait', 'tag:"two" wait'),
        ('"wait" so', '"wait" so'), ('it"s 5"', 'it"s 5"'), (' wait ', ' wait '), ('tag:"a b"', 'tag:"a b"'),
    ],
)  # fmt: skip
def test_an_open_quotation_mark_takes_in_nothing_that_follows(text: str, source: str) -> None:
    query = TraceQuery.parse(text)
    assert query.source == source
    assert TraceQuery.parse(query.source) == query
    followed = TraceQuery.parse(f'{query.source} decision:accept tag:"x y"')
    assert followed.text == query.text
    assert followed.conditions == (
        *query.conditions, Condition("decision", ("accept",)), Condition("tag", ("x y",))
    )  # fmt: skip


def test_terms_of_a_field_are_taken_out_but_not_from_a_phrase() -> None:
    text = 'wait decision=accept "I  sort: decision:x" -teacher:sky model:"a b" decision:"accept"'
    assert TRACES.without(text, "decision", "model") == 'wait "I  sort: decision:x"'
    assert TRACES.with_sort('"I  sort:x all" sort=chars', "-tokens") == '"I  sort:x all" sort:-tokens'
    assert TRACES.with_sort("sort:chars", "") == ""
