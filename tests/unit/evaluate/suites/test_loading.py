"""From a suite to its items: every form of file, every fault with its file and row, every row accounted for."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from o1lab.errors import LabError, UsageError
from o1lab.evaluate.items import adapted_by, adapted_line, items_hash
from o1lab.evaluate.suites import hub, loading
from o1lab.evaluate.suites.loading import load, tested_questions
from o1lab.evaluate.suites.suite import HubSpec, Suite
from o1lab.paths import Lab
from o1lab.text import visible
from store import Store, problems
from store.errors import UnwritableError
from store.records import NewProblem

ROWS = [{"id": str(number), "question": f"What is {number} + 1?", "answer": str(number + 1)} for number in range(1, 6)]


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    lab = Lab(tmp_path / "lab")
    (lab.suites / "data").mkdir(parents=True)
    return lab


def suite(scorer: str = "exact", prompt: str = "{{question}}", system: str = "", **items: Any) -> Suite:
    return Suite.model_validate(
        {
            "name": "mine",
            "version": 1,
            "title": "Mine",
            "family": "general",
            "items": {"file": "mine.jsonl", "needs": "It needs mine.jsonl."} | items,
            "prompt": prompt,
            "system": system,
            "scorer": {"name": scorer},
        }
    )


def put(lab: Lab, rows: Iterable[Any], name: str = "mine.jsonl") -> Path:
    path = lab.suites / "data" / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


def fault(lab: Lab, store: Store, wanted: Suite, file: Path | None = None) -> UsageError:
    with pytest.raises(UsageError) as caught:
        load(lab, store, wanted, file=file)
    return caught.value


def csv_of(rows: list[dict[str, str]], comma: str = ",") -> str:
    return "\n".join([comma.join(rows[0]), *(comma.join(row.values()) for row in rows)]) + "\n"


def parquet_of(rows: list[dict[str, str]], path: Path) -> None:
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("a.jsonl", lambda path: path.write_text("\n\n".join(map(json.dumps, ROWS)), "utf-8")),
        ("a.json", lambda path: path.write_text(json.dumps(ROWS, indent=1), "utf-8")),
        ("b.json", lambda path: path.write_text(json.dumps({"version": 1, "rows": ROWS}, indent=1), "utf-8")),
        ("a.csv", lambda path: path.write_text(csv_of(ROWS), "utf-8-sig")),
        ("a.tsv", lambda path: path.write_text(csv_of(ROWS, "\t"), "utf-8")),
        ("a.parquet", lambda path: parquet_of(ROWS, path)),
        ("parquet-by-another-name", lambda path: parquet_of(ROWS, path)),
    ],
)
def test_every_form_of_file_gives_the_same_items(
    lab: Lab, store: Store, tmp_path: Path, name: str, write: Callable[[Path], None]
) -> None:
    write(tmp_path / name)
    put(lab, ROWS)

    found = load(lab, store, suite(), file=tmp_path / name)

    assert items_hash(found.items) == items_hash(load(lab, store, suite()).items)
    assert (found.rows, found.questions, found.origin) == (5, 5, str(tmp_path / name))
    assert [item.gold for item in found.items[:2]] == [("2",), ("3",)]


def test_texts_are_items_in_a_text_file_and_in_a_json_array(lab: Lab, store: Store, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("\ufeffheader\nIs it? \n\n  Was it,\x0b or not?\r\n".encode())
    (tmp_path / "a.json").write_text(json.dumps(["header", "Is it?", "Was it,\x0b or not?"]), "utf-8")
    wanted = suite(skip=1, fixed={"gold": "no"})

    text = load(lab, store, wanted, file=tmp_path / "a.txt")
    array = load(lab, store, wanted, file=tmp_path / "a.json")

    assert [item.question for item in text.items] == ["Is it?", "Was it,\x0b or not?"]
    assert text.items == array.items
    assert text.items[0].gold == ("no",)
    assert text.left_out == {"skipped by items.skip": 1}


def test_where_the_file_is_looked_for(lab: Lab, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second / "inner"):
        folder.mkdir(parents=True)
    monkeypatch.setenv(loading.DATA_VARIABLE, f"{first}:{second}:{tmp_path / 'none'}")
    for number, path in enumerate([second / "inner", first, lab.suites / "data"], 1):  # the later goes before
        (path / "mine.jsonl").write_text(json.dumps(ROWS[number]), "utf-8")
        assert load(lab, store, suite()).items[0].id == ROWS[number]["id"]
    assert load(lab, store, suite(), file="mine.jsonl").origin == str(lab.suites / "data" / "mine.jsonl")


def test_what_is_not_there_says_which_file_it_needs(lab: Lab, store: Store) -> None:
    with pytest.raises(LabError) as caught:
        load(lab, store, suite(problems="source:mine"))
    assert caught.value.code == "no_items"
    assert "mine.jsonl" in caught.value.message
    assert "source:mine" in caught.value.message
    assert "It needs mine.jsonl." in caught.value.hint
    assert "--items" in caught.value.hint

    assert "There is no file other.jsonl" in fault(lab, store, suite(), Path("other.jsonl")).message


@pytest.mark.parametrize(
    "case",
    [
        (b"", "a.jsonl", "is empty"),
        (b"\n\n", "a.txt", "is empty"),
        (b"question,answer\n", "a.csv", "is empty"),
        (b"[]", "a.json", "is empty"),
        (b'{"question": "a", "answer": "1"}\n{"question": "b", "ans', "a.jsonl", "line 2: not JSON"),
        (b'{"question": "a", "answer": "1"}\n\xff\xfe\n', "a.jsonl", "line 2: not UTF-8"),
        (b'[{"question": "a", "answer": "1"},\n{"question": ', "a.json", "line 2: not JSON"),
        (b'{"question": "a", "answer": "1"}\n[1]\n', "a.jsonl", "line 2: the row is a list, not an object"),
        (b'{"question": "a", "answer": "1"}\n\n{"question": "b"}\n', "a.jsonl", "line 3: it has no gold answer"),
        (b'{"question": "a", "answer": ""}\n', "a.jsonl", "no gold answer (columns tried: gold,"),
        (b'{"q": "a", "answer": "1"}\n', "a.jsonl", "no question (columns tried: question,"),
        (b'{"question": "  ", "answer": "1"}\n', "a.jsonl", "no question"),
        (b'{"question": "a\\u0000", "answer": "1"}\n', "a.jsonl", "a NUL character at character 2"),
        (b'{"question": "a", "answer": "\\ud800"}\n', "a.jsonl", "half a surrogate pair at character 1"),
        (b"question,answer\na,1\nb\0,2\n", "a.csv", "row 2 (line 3): the question contains a NUL"),
        (b"a\xe9\n", "a.txt", "line 1: not UTF-8 (byte 2"),
        (b"question,answer\na,1\nb,2,3\n", "a.csv", "row 2 (line 3): it has 3 cells, but the header has 2"),
        (b'question,answer\na,1\n"b,2\n', "a.csv", "not CSV: unexpected end of data"),
        (b"question,question\na,1\n", "a.csv", "'question' twice"),
        (b"question,answer\na,\xff\n", "a.csv", "line 2: not UTF-8"),
        (b"PAR1 and then nothing", "a.parquet", "damaged Parquet"),
        (b"\x7fELF\x00\x00", "a.jsonl", "not JSON"),
        (b'{"id": 1, "question": "a", "answer": "1"}\n{"id": "1", "question": "b", "answer": "2"}\n', "a.jsonl",
         "line 2: its id '1' is already used by line 1"),
        (b'{"question": "a", "answer": "1", "weight": "heavy"}\n', "a.jsonl", "its weight is 'heavy'"),
        (b'{"question": "a", "answer": "1", "weight": -1}\n', "a.jsonl", "its weight is '-1'"),
        (b'{"question": "a", "answer": 1' + b"0" * 5000 + b"}\n", "a.jsonl", "thousands of digits"),
    ],
)  # fmt: skip
def test_a_fault_names_the_file_and_the_row(
    lab: Lab, store: Store, tmp_path: Path, case: tuple[bytes, str, str]
) -> None:
    content, name, said = case
    path = tmp_path / name
    path.write_bytes(content)

    error = fault(lab, store, suite(), path)

    assert str(path) in error.message
    assert said in error.message
    assert len(error.message) < 500


def test_an_item_of_two_megabytes_is_refused_unless_it_is_meant(lab: Lab, store: Store) -> None:
    path = put(lab, [ROWS[0], {"question": "x" * (2 << 20), "answer": "1"}])

    assert "line 2: the question has 2,097,152 characters" in fault(lab, store, suite(), path).message
    assert len(load(lab, store, suite(longest=3_000_000)).items) == 2


def test_a_column_that_only_the_prompt_uses_is_checked(lab: Lab, store: Store) -> None:
    put(lab, [{"question": "a", "answer": "1", "topic": "\0"}])
    assert "prompt of item 1 contains" in fault(lab, store, suite(prompt="{{topic}}: {{question}}")).message


def test_a_slot_that_nothing_fills_names_the_columns(lab: Lab, store: Store) -> None:
    put(lab, ROWS)
    error = fault(lab, store, suite(prompt="{{questoin}}"))
    assert "{{questoin}}" in error.message
    assert "question, id" in error.hint


def test_fields_values_and_fixed_parts(lab: Lab, store: Store) -> None:
    put(lab, [{"Prompt": "Kill a process?", "Label": "safe", "n": 2.0, "w": "3", "note": None}])
    wanted = suite(
        fields={"question": ["Text", "Prompt"], "gold": "Label", "variant": "Label", "weight": "w", "size": "n"},
        values={"gold": {"safe": "comply", "unsafe": "refuse"}},
        fixed={"system": "unused"},
    )

    (item,) = load(lab, store, wanted).items

    assert (item.question, item.gold, item.variant) == ("Kill a process?", ("comply",), "safe")
    assert item.meta == {"size": 2.0, "weight": 3.0}
    put(lab, [{"Prompt": "Kill?", "Label": "grey"}])
    assert "its gold is 'grey', which items.values.gold does not list" in fault(lab, store, wanted).message


def test_what_is_kept_with_an_item_can_be_kept(lab: Lab, store: Store) -> None:
    values = [[1.5, None], [float("nan")], float("inf"), {"a": 1}, "text", True, ["x" * 50_000]]
    put(lab, [{"question": str(number), "answer": "1", "note": value} for number, value in enumerate(values)])

    kept = [item.meta.get("note") for item in load(lab, store, suite(fields={"note": "note"})).items]

    assert kept[:2] == [[1.5, None], "[nan]"]
    assert kept[3:6] == ["{'a': 1}", "text", True]
    assert len(str(kept[6])) == 2000
    json.dumps(kept, allow_nan=False)


def test_gold_answers_in_their_many_forms(lab: Lab, store: Store) -> None:
    golds = ["2", 27.0, 2, 0, True, ["a", "b"], "some work\n#### 2,125", " spaced "]
    put(lab, [{"question": str(number), "answer": gold} for number, gold in enumerate(golds)])

    found = [item.gold for item in load(lab, store, suite()).items]

    assert found == [("2",), ("27",), ("2",), ("0",), ("true",), ("a", "b"), ("2,125",), ("spaced",)]


def test_a_gold_answer_in_the_box_of_a_solution(lab: Lab, store: Store) -> None:
    wanted = suite(fields={"gold": "solution"}, gold_form="boxed")
    put(lab, [{"question": "?", "solution": r"First \boxed{1}, then \boxed{\frac{1}{2}}."}])
    assert load(lab, store, wanted).items[0].gold == (r"\frac{1}{2}",)
    put(lab, [{"question": "?", "solution": "It is 3."}])
    assert r"no \boxed answer" in fault(lab, store, wanted).message


def test_answers_out_of_a_list_of_objects(lab: Lab, store: Store) -> None:
    said = [{"text": "yes", "ok": True}, {"text": "no", "ok": False}, {"text": "sure", "ok": True}, "noise"]
    put(lab, [{"question": "?", "said": said}, {"question": "!", "said": None}])
    wanted = suite(scorer="judge", inner={"gold": {"column": "said", "take": "text", "where": {"ok": True}}})
    assert [item.gold for item in load(lab, store, wanted).items] == [("yes", "sure"), ()]


def test_several_wrong_answers_in_one_text(lab: Lab, store: Store) -> None:
    put(lab, [{"question": "Capital?", "answer": "Paris", "wrong": "Lyon; Nice;"}])
    items = load(lab, store, suite(build="choice", split={"wrong": ";"})).items
    assert sorted(items[0].meta["choices"].values()) == ["Lyon", "Nice", "Paris"]


def test_a_context_precedes_the_question_and_turns_follow_it(lab: Lab, store: Store) -> None:
    put(lab, [{"context": "Let x = 1.", "question": "What is x?", "answer": "1"}])
    assert load(lab, store, suite()).items[0].question == "Let x = 1.\n\nWhat is x?"
    put(lab, [{"turns": ["Hello?", "And then?"]}])
    (item,) = load(lab, store, suite(scorer="judge", prompt="Say: {{question}}")).items
    assert (item.question, item.turns) == ("Hello?", ("Say: Hello?", "And then?"))


def test_every_row_is_accounted_for(lab: Lab, store: Store) -> None:
    rows = [{"id": n, "question": f"q{n % 7}", "answer": "1", "kind": "proof" if n % 5 == 0 else 3} for n in range(20)]
    put(lab, rows)

    found = load(lab, store, suite(where={"kind": ["3", "x"]}, unique=True, take=4, skip=2))

    assert found.left_out == {
        "skipped by items.skip": 2,
        "not matched by items.where": 3,
        "the same question as an earlier row": 8,
        "not among the 4 that were drawn": 3,
    }
    assert found.rows == 20
    assert found.questions == len(found.items) == 4
    error = fault(lab, store, suite(where={"kind": 3}), put(lab, ROWS, "other.jsonl"))
    assert "line 1: it has no column 'kind', which items.where names" in error.message


def test_a_suite_needs_one_row_that_is_not_left_out(lab: Lab, store: Store) -> None:
    put(lab, ROWS)
    assert "5 not matched by items.where" in fault(lab, store, suite(where={"id": "9"})).message
    put(lab, [{"question": "Capital?", "answer": "Paris"}])
    assert "no wrong answer" in fault(lab, store, suite(build="sycophancy")).message


def test_what_is_drawn_does_not_depend_on_other_rows(lab: Lab, store: Store) -> None:
    rows = [{"id": str(n), "question": f"q{n}", "answer": "1"} for n in range(50)]
    put(lab, rows)
    drawn = [item.id for item in load(lab, store, suite(take=10)).items]
    other = [item.id for item in load(lab, store, suite(take=10, take_seed=2)).items]
    put(lab, rows[::-1])

    assert sorted(drawn) == sorted(item.id for item in load(lab, store, suite(take=10)).items)
    assert drawn == sorted(drawn, key=int)
    assert set(other) != set(drawn)


def test_a_limit_keeps_groups_whole(lab: Lab, store: Store) -> None:
    put(lab, ROWS)
    found = load(lab, store, suite(build="sycophancy"), limit=12)
    assert [len(load(lab, store, suite(), limit=limit).items) for limit in (1, 3, 99)] == [1, 3, 5]
    assert len(found.items) == 10
    assert len(load(lab, store, suite(build="sycophancy"), limit=1).items) == 5


def test_rows_without_an_id_are_numbered(lab: Lab, store: Store) -> None:
    put(lab, [{"question": "a", "answer": "1"}, {"question": "b", "answer": "1"}])
    assert [item.id for item in load(lab, store, suite()).items] == ["1", "2"]


def test_problems_of_the_lab_give_what_their_file_gave(lab: Lab, store: Store) -> None:
    problems.add(
        store.db,
        [NewProblem(row["question"], "mine", row["id"], row["answer"]) for row in ROWS]
        + [NewProblem("What is nothing?", "open", "9")],
    )
    put(lab, ROWS, "other.jsonl")

    from_lab = load(lab, store, suite(problems="source:mine", fields={"gold": "Label"}, where={"Label": 1}))

    assert from_lab.items == load(lab, store, suite(file="other.jsonl")).items
    assert from_lab.origin == "the lab's problems source:mine"
    put(lab, ROWS[:1])  # a file goes before the lab's problems
    assert len(load(lab, store, suite(problems="source:mine")).items) == 1


def test_a_wrong_query_names_the_suite(lab: Lab, store: Store) -> None:
    assert (
        "items.problems of the suite mine: Unknown field 'sauce'"
        in fault(lab, store, suite(problems="sauce:mine")).message
    )


def test_a_problem_without_an_answer_is_named(lab: Lab, store: Store) -> None:
    problem = NewProblem("What is nothing?", "open", "9")
    problems.add(store.db, [problem])
    error = fault(lab, store, suite(problems="source:open"))
    assert f"problem {problem.id}: it has no gold answer" in error.message
    # Two sources may use one key: then the lab's own ids tell problems apart.
    problems.add(store.db, [NewProblem("One?", "open", "9", "1"), NewProblem("Two?", "open", "9", "2")])
    found = load(lab, store, suite(problems="source:open has:answer")).items
    assert len({item.id for item in found}) == 2


class Hub:
    """Stands where huggingface_hub's ``snapshot_download`` does."""

    def __init__(self, root: Path, *, cached: bool, fault: Exception | None = None) -> None:
        self.root, self.cached, self.fault = root, cached, fault
        self.asked: list[dict[str, Any]] = []

    def __call__(self, repo_id: str, **options: Any) -> str:
        self.asked.append({"id": repo_id} | options)
        if options["local_files_only"] and not self.cached:
            raise FileNotFoundError("not in the cache")
        if self.fault is not None:
            raise self.fault
        return str(self.root)


def test_a_hub_dataset_is_fetched_once_and_read_from_all_its_files(
    lab: Lab, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "default/test").mkdir(parents=True)
    parquet_of(ROWS[:2], tmp_path / "default/test/0000.parquet")
    parquet_of(ROWS[2:], tmp_path / "default/test/0001.parquet")
    there = Hub(tmp_path, cached=False)
    monkeypatch.setattr("huggingface_hub.snapshot_download", there)
    wanted = suite(hub={"id": "some/set"})

    found = load(lab, store, wanted)

    assert [item.id for item in found.items] == ["1", "2", "3", "4", "5"]
    assert found.origin == "the hub's some/set"
    assert [one["local_files_only"] for one in there.asked] == [True, False]
    assert there.asked[0]["revision"] == "refs/convert/parquet"
    assert there.asked[0]["repo_type"] == "dataset"


def test_nothing_is_fetched_where_that_is_forbidden(
    lab: Lab, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = Hub(tmp_path, cached=False)
    monkeypatch.setattr("huggingface_hub.snapshot_download", there)
    wanted = suite(hub={"id": "some/set", "files": ["a.jsonl"]})
    with pytest.raises(LabError) as caught:
        load(lab, store, wanted, fetch=False)
    assert caught.value.code == "no_items"

    monkeypatch.setenv("O1LAB_OFFLINE", "1")
    with pytest.raises(LabError, match="O1LAB_OFFLINE forbids"):
        load(lab, store, wanted)
    assert all(one["local_files_only"] for one in there.asked)


def test_a_hub_failure_is_one_sentence_with_an_alternative(
    lab: Lab, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.snapshot_download", Hub(tmp_path, cached=False, fault=OSError("no\nroute")))
    with pytest.raises(LabError) as caught:
        load(lab, store, suite(hub={"id": "some/set"}))
    assert caught.value.code == "fetch"
    assert "Could not download the dataset some/set" in caught.value.message
    assert "\n" not in caught.value.message
    assert "It needs mine.jsonl." in caught.value.hint

    monkeypatch.setattr("huggingface_hub.snapshot_download", Hub(tmp_path, cached=True))
    with pytest.raises(LabError, match=r"has no file b\.jsonl"):
        hub.hub_files(HubSpec(id="some/set", files=("b.jsonl",)))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
PARTS = st.sampled_from(["id", "question", "answer", "gold", "wrong", "choices", "turns", "weight", "group", "context"])


@settings(max_examples=150)
@given(
    content=st.one_of(
        st.binary(max_size=60),
        st.lists(st.dictionaries(PARTS, JSON, max_size=5) | JSON, max_size=4).map(
            lambda rows: "\n".join(map(json.dumps, rows)).encode()
        ),
        st.lists(st.dictionaries(PARTS, JSON, max_size=5), max_size=4).map(lambda rows: json.dumps(rows).encode()),
    ),
    name=st.sampled_from(["a.jsonl", "a.json", "a.csv", "a.tsv", "a.txt", "a.parquet"]),
    build=st.sampled_from(["plain", "choice", "sycophancy", "snowballing", "claims"]),
)
def test_no_content_of_a_file_is_a_crash(lab: Lab, store: Store, content: bytes, name: str, build: str) -> None:
    path = lab.suites / "data" / name
    path.write_bytes(content)
    wanted = suite(scorer="judge", build=build, split={"wrong": ";"}, fields={"kind": "context", "weight": "weight"})

    try:
        found = load(lab, store, wanted, file=path)
    except UsageError as error:
        assert error.message == visible(error.message).replace("\n", " ")  # one line, and nothing in it acts
        return
    assert found.rows == found.questions + sum(found.left_out.values())
    assert all(item.turns and "\0" not in item.turns[0] for item in found.items)
    assert items_hash(found.items)
    for item in found.items:
        json.dumps(item.meta, allow_nan=False)  # the lab keeps it as JSON


def test_what_a_person_adapted_is_kept_with_the_item(lab: Lab, store: Store) -> None:
    rows = [
        ROWS[0] | {"edited_by": "ann", "edited_from": "What is\x1b[2J one?"},
        ROWS[1] | {"edited_by": "ann"},
        ROWS[2] | {"edited_from": "set 7, item 3", "edited_by": ""},
        ROWS[3] | {"edited_by": None},
    ]
    put(lab, rows)
    items = load(lab, store, suite()).items
    assert [dict(item.meta) for item in items] == [
        {"edited_by": "ann", "edited_from": "What is\x1b[2J one?"}, {"edited_by": "ann"},
        {"edited_from": "set 7, item 3"}, {},
    ]  # fmt: skip
    assert adapted_by(item.meta for item in items) == {"ann": 2, "not named": 1}
    assert adapted_line(items[0].meta) == "adapted by ann from: What is␛[2J one?"
    assert [adapted_line(item.meta) for item in items[1:]] == ["adapted by ann", "adapted from: set 7, item 3", ""]
    plain = [{key: value for key, value in row.items() if not key.startswith("edited")} for row in rows]
    put(lab, plain)
    assert items_hash(load(lab, store, suite()).items) != items_hash(items)
    put(lab, [row | {"editor": "bo"} for row in plain])
    assert load(lab, store, suite(fields={"edited_by": "editor"})).items[0].meta == {"edited_by": "bo"}


def test_an_unusable_database_is_not_taken_for_missing_items(
    lab: Lab, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise UnwritableError("The database cannot be opened.")

    monkeypatch.setattr(loading, "load", broken)
    with pytest.raises(UnwritableError):
        tested_questions(lab, store)
