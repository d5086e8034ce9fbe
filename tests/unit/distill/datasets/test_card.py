"""Dataset cards say what was recorded, plainly; nothing in them becomes markup; exports read back."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import yaml

from o1lab.config import init_lab
from o1lab.distill.datasets.card import card, export_with_card
from o1lab.distill.datasets.selection import choose, mix
from o1lab.distill.provenance import load_models, require_accepted_terms, save_models
from o1lab.distill.run_directory import RunFolder
from o1lab.errors import LabError, RefusedError
from o1lab.inference.prompts import find_prompt, keep_prompts
from o1lab.paths import Lab
from o1lab.serve.registry import find_model
from store import Store, annotations, dataset_facts, datasets, open_store, problems, teacher_runs, traces
from store.filters import TraceQuery
from store.records import Measured, NewProblem, NewTrace
from tests.support.lab_seed import HOSTILE, trace_of

ALL = TraceQuery.parse("")


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return init_lab(tmp_path / "lab", name="cards")


@pytest.fixture
def store(lab: Lab) -> Any:
    opened = open_store(lab.database)
    yield opened
    opened.close()


def add(
    store: Store,
    number: int,
    *,
    source: str = "pool",
    licence: str | None = "MIT",
    response_licence: str | None = "MIT",
    verdict: str = "correct",
    **more: Any,
) -> NewTrace:
    problem = NewProblem(f"What is the sum of {number} and 1?", source, str(number), "2", licence=licence)
    raw = f"<think>\nSo I need to add them. Wait, is that it? {number}\n</think>\n\nThe sum is \\boxed{{{number + 1}}}."
    made = trace_of(problem, more.pop("model", "o1"), raw)
    values = {name: getattr(made, name) for name in NewTrace.__dataclass_fields__}
    trace = NewTrace(**{**values, "licence": response_licence, "synthesis": "distilled", **more})
    with store.db.atomic():
        problems.add(store.db, [problem])
        traces.add(store.db, [(trace, problem.statement)])
    traces.set_measures(
        store.db, [Measured(trace.id, False, {}, str(number + 1), verdict, "", "verifier 1", trace.tokens)]
    )
    return trace


def text_of(lab: Lab, store: Store, name: str) -> str:
    return "".join(card(lab, store, name))


def front(text: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(text.split("---\n")[1])
    return found


def section(text: str, heading: str) -> str:
    return text.split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]


def distilled(lab: Lab, store: Store) -> None:
    """Two runs of a paid teacher and their kept traces, as the engine leaves them."""
    lab.config.write_text(
        'name = "cards"\n[[endpoints]]\nname = "o1"\nurl = "https://api.example/v1"\nmodel = "o1-2024"\n'
        'key_env = "SECRET_KEY"\nterms = "example.com/terms: no competing models"\nlicence = "CC-BY-NC-4.0"\n'
    )
    prompt = find_prompt(lab, "long-thought")
    for run_id, number in (("aa11", 0), ("bb22", 1)):
        settings = {"temperature": 0.6, "top_p": None, "seed": 42, "n": 4, "max_tokens": 8192}
        teacher_runs.add(
            store.db,
            teacher_runs.TeacherRun(
                run_id, f"distill/{run_id}", "sample", "o1", "o1-2024", prompt.label, settings, "2026-01-02"
            ),
        )
        keep_prompts(RunFolder(lab.distill / run_id).prompts, {"prompt": prompt})
        trace = add(store, number, response_licence="CC-BY-NC-4.0", model="o1-2024")
        with store.db.atomic():
            teacher_runs.add_outcomes(
                store.db, run_id,
                [
                    teacher_runs.Outcome(trace.problem_id, 0, "kept", "", trace.id, 100, 900, 0.05),
                    teacher_runs.Outcome(trace.problem_id, 1, "failed", "quota"),
                ],
            )  # fmt: skip


def test_a_card_tells_of_runs_prompts_sampling_and_terms(lab: Lab, store: Store) -> None:
    distilled(lab, store)
    add(store, 7)
    datasets.create(store.db, "d", ALL)
    text = text_of(lab, store, "d")
    prompt = find_prompt(lab, "long-thought")
    runs = section(text, "Teacher runs: sampling and prompts")
    assert runs.count(prompt.sections[-1][1]) == 1  # once, although two runs asked with it
    assert f"### Prompt long-thought@1, hash {prompt.hash}" in runs
    assert "| aa11 | sample | o1-2024 | long-thought@1 | 0.6 | unknown | 42 | 4 | 8192 |" in runs
    assert "| bb22 | 1 | 1 | 0 | 0 | 0 | 1 | quota 1 |" in runs
    assert "terms of use: example.com/terms: no competing models" in text
    assert "Its outputs are under CC-BY-NC-4.0" in text
    assert "1 rows (or the traces they were made from) are not from a teacher run of this lab" in text
    assert "SECRET_KEY" not in text
    assert str(lab.root) not in text
    assert [row.prompt for row in datasets.rows(store.db, "d")] == ["long-thought@1", "long-thought@1", None]


def test_a_run_whose_prompts_are_gone_says_so(lab: Lab, store: Store) -> None:
    distilled(lab, store)
    RunFolder(lab.distill / "aa11").prompts.unlink()
    datasets.create(store.db, "d", ALL)
    assert "of the run aa11 is no longer in the lab" in text_of(lab, store, "d")


def test_terms_nobody_wrote_down_are_said_to_be_missing(lab: Lab, store: Store) -> None:
    distilled(lab, store)
    lab.config.write_text('[[endpoints]]\nname = "o1"\nurl = "u"\nmodel = "o1-2024"\n')
    datasets.create(store.db, "d", ALL)
    assert "terms of use: not recorded; read them" in text_of(lab, store, "d")
    lab.config.write_text("")
    assert "- o1: the model and its terms were not recorded when the run started" in text_of(lab, store, "d")


def test_terms_are_those_of_the_day_the_run_began(lab: Lab, store: Store) -> None:
    distilled(lab, store)
    teacher = find_model(lab, "o1")
    for run_id in ("aa11", "bb22"):
        save_models(RunFolder(lab.distill / run_id).asked, [teacher])
    datasets.create(store.db, "d", ALL)
    before = section(text_of(lab, store, "d"), "Who wrote the responses")
    assert "- o1 (o1-2024) at https" in before
    assert "://api.example/v1: terms of use: example.com/terms: no competing models" in before
    lab.config.write_text(
        '[[endpoints]]\nname = "o1"\nurl = "http://elsewhere/v1"\nmodel = "x"\nterms = "anything goes"'
    )
    assert section(text_of(lab, store, "d"), "Who wrote the responses") == before
    lab.config.write_text("")
    assert section(text_of(lab, store, "d"), "Who wrote the responses") == before


@pytest.mark.parametrize(
    ("more", "asks"),
    [("", True), ('publication = "forbidden"', True), ('publication = "allowed"', False), ("terms =", False)],
)
def test_publication_waits_for_the_terms(lab: Lab, store: Store, more: str, asks: bool) -> None:
    distilled(lab, store)
    if more == "terms =":  # none are recorded
        lab.config.write_text('[[endpoints]]\nname = "o1"\nurl = "u"\nmodel = "o1-2024"\n')
    else:
        lab.config.write_text(lab.config.read_text() + more)
    made = [datasets.create(store.db, "d", ALL)]
    require_accepted_terms(lab, store, made, accepted=True)
    if asks:
        with pytest.raises(RefusedError, match="no competing models") as refused:
            require_accepted_terms(lab, store, made, accepted=False)
        assert (refused.value.code, "--accept-terms" in refused.value.hint) == ("terms", True)
    else:
        require_accepted_terms(lab, store, made, accepted=False)
    said = {"forbidden": "They forbid publication", "allowed": "They allow publication"}
    text = text_of(lab, store, "d")
    assert [words in text for words in said.values()] == [word in more for word in said]
    if not more:
        return
    with pytest.raises(RefusedError) if "allowed" not in more else nullcontext():
        require_accepted_terms(lab, store, made, accepted=False, unrecorded=True)


def test_what_a_run_remembers_of_its_models_holds_no_credentials(lab: Lab) -> None:
    lab.config.write_text(
        '[[endpoints]]\nname = "o1"\nurl = "https://me:s3cret@api.example:8/v1?key=s3cret"\nmodel = "m"'
    )
    path = lab.root / "asked.json"
    save_models(path, [find_model(lab, "o1"), find_model(lab, "solver")])
    assert "s3cret" not in path.read_text()
    kept = load_models(path)
    assert kept is not None
    assert [(one.source, one.url) for one in kept] == [("endpoint", "https://api.example:8/v1"), ("solver", None)]
    path.write_text("{")
    assert load_models(path) is None


def test_a_translated_row_has_the_terms_of_its_original_too(lab: Lab, store: Store) -> None:
    distilled(lab, store)
    original, imported = traces.page(store.db, ALL)[0].id, add(store, 9).id
    for number, parent in ((20, original), (21, imported)):
        translated = add(store, number, model="translator", synthesis="translated", parent_id=parent)
        run_id = f"cc{number}"
        settings = {"endpoint": "solver", "language": "zh"}
        run = teacher_runs.TeacherRun(run_id, f"distill/{run_id}", "translate", "solver", "solver", "t@1", settings)
        teacher_runs.add(store.db, run)
        with store.db.atomic():
            teacher_runs.add_outcomes(store.db, run_id, [teacher_runs.Outcome(parent, 0, "kept", "", translated.id)])
    datasets.create(store.db, "d", TraceQuery.parse("synthesis:translated"))
    text = text_of(lab, store, "d")
    [first] = [run for run in ("aa11", "bb22") if f"| {run} | sample |" in text]
    assert dataset_facts.runs(store.db, "d") == {first: 1, "cc20": 1, "cc21": 1}
    assert "terms of use: example.com/terms: no competing models" in text
    assert "1 rows (or the traces they were made from) are not from a teacher run of this lab" in text


def test_a_clash_of_licences_is_said_plainly(lab: Lab, store: Store) -> None:
    add(store, 0)
    add(store, 1, licence="CC BY NC 4.0")
    add(store, 2, licence=None, response_licence="CC0")
    datasets.create(store.db, "d", ALL)
    text = text_of(lab, store, "d")
    said = section(text, "Licences")
    assert "Licences clash: 1 rows are under CC BY NC 4.0, for non-commercial use only" in said
    assert "while MIT and CC0 does not require that" in said
    assert "The licence of 1 rows is unknown" in said
    assert "| MIT | 2 |" in said
    assert set(front(text)["license"]) == {"mit", "cc-by-nc-4.0", "cc0-1.0", "unknown"}


def test_filters_contamination_and_verification_with_their_counts(lab: Lab, store: Store) -> None:
    kept, hit = add(store, 0, source="amc23"), add(store, 1)
    benchmark = NewProblem("What is the sum of one and 1?", "math500", "m1", "2")
    add(store, 2, verdict="incorrect")
    with store.db.atomic():
        problems.add(store.db, [benchmark])
        for rule, version, looked, excluded in (("image", 3, 4, 1), ("contaminated", 2, 4, 1)):
            store.db.execute(
                "INSERT INTO rule_runs VALUES (?, ?, ?, ?, '2026-02-03')", [rule, version, looked, excluded]
            )
        store.db.execute(
            "INSERT INTO exclusions VALUES (?, 'contaminated', 2, 'as its twin', ?, '')", [hit.problem_id, benchmark.id]
        )
        store.db.execute("INSERT INTO rulings VALUES (1, 'r', ?, 'keep', '', 'ann', '')", [hit.problem_id])
    annotations.annotate(store.db, kept.id, "decision", "accept", annotator="ann")
    choice = choose(store, ALL, keep="verified")
    datasets.snapshot(store.db, "d", choice.ids, selection=choice.selection, drops=choice.drops)
    text = text_of(lab, store, "d")
    filters, contamination = section(text, "Filters of the problems"), section(text, "Contamination")
    assert "| image | 3 | 4 | 1 | 2026-02-03 | needs an image: it has a drawing" in filters
    assert "Rulings by hand, which take precedence over rules: keep 1" in filters
    assert "1 rows are problems of amc23, on which this lab tests students" in contamination
    assert "Of 4 problems, 1 were too similar to a benchmark problem" in contamination
    assert "| math500 | 1 |" in contamination
    assert "1 rows of this dataset are hits" in contamination
    verification, chosen = section(text, "Verification"), section(text, "How the rows were selected")
    assert "| correct | 2 |" in verification
    assert "| verifier 1 | 2 |" in verification
    assert "| accept | 1 |" in verification
    assert "| wrong answer | 1 |" in chosen
    assert "verdicts: verified, per problem: all" in chosen


def test_what_was_never_checked_is_not_claimed(lab: Lab, store: Store) -> None:
    add(store, 0)
    datasets.create(store.db, "d", ALL)
    text = text_of(lab, store, "d")
    assert "Not checked" in section(text, "Contamination")
    assert "No rule has been run" in section(text, "Filters of the problems")
    assert "prompts and sampling are not recorded" in text
    assert "No trace was dropped" in text


def test_a_mixture_names_its_parts(lab: Lab, store: Store) -> None:
    ids = [add(store, number).id for number in range(4)]
    datasets.snapshot(store.db, "one", ids[:3], query="sort:added")
    datasets.snapshot(store.db, "two", ids[2:], drops={ids[0]: "looping"})
    choice, phase = mix(store, ["one", "two"], seed=5)
    datasets.snapshot(store.db, "both", choice.ids, phase=phase, selection=choice.selection)
    chosen = section(text_of(lab, store, "both"), "How the rows were selected")
    assert "shuffled by seed 5" in chosen
    assert f"| one | {datasets.get(store.db, 'one').hash} | 3 |" in chosen
    assert "1 rows were in more than one of them" in chosen
    assert "| looping | 1 |" in chosen


def test_hostile_names_stay_text(lab: Lab, store: Store) -> None:
    odd = f"|<img src=x>[a](https://evil.example)`code`# **bold** ```{HOSTILE}\n## Forged\n---\nlicense: mit"
    add(store, 0, source=odd, licence=odd, response_licence=odd, model=odd, key=odd)
    datasets.create(store.db, "d", ALL)
    text = text_of(lab, store, "d")
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "\n## Forged" not in text
    assert "<img" not in text.replace("\\<img", "")
    assert "https:" not in text.replace("\\", "")
    for line in text.splitlines():
        if "Forged" in line:
            assert line.replace("\\|", "").startswith("|") or line.startswith("- ")
    row = section(text, "Sources of the problems").strip().splitlines()[-1]
    assert row.startswith("| \\|\\<img")
    assert row.replace("\\|", "").count("|") == 4  # source, licence, rows: no column more
    assert front(text)["license"] == "other"


@pytest.mark.parametrize("form", ["messages", "sharegpt", "alpaca", "jsonl"])
def test_lines_read_back(lab: Lab, store: Store, tmp_path: Path, form: str) -> None:
    distilled(lab, store)
    add(store, 7, verdict="incorrect")
    datasets.create(store.db, "d", ALL)
    written = export_with_card(lab, store, "d", form, tmp_path / "d.jsonl")
    assert (written.rows, written.card) == (3, tmp_path / "d.jsonl.card.md")
    rows = [json.loads(line) for line in written.data.read_text("utf-8").splitlines()]
    assert [row["verdict"] for row in rows] == ["correct", "correct", "incorrect"]
    assert [row["prompt_version"] for row in rows] == ["long-thought@1", "long-thought@1", None]
    assert [row["problem_licence"] for row in rows] == ["MIT"] * 3
    if form == "jsonl":
        assert (rows[2]["problem"], rows[2]["solution"]) == ("What is the sum of 7 and 1?", "The sum is \\boxed{8}.")
        assert (rows[2]["thought"], rows[2]["gold_answer"]) == ("So I need to add them. Wait, is that it? 7", "2")
    assert front(written.card.read_text("utf-8"))["size_categories"] == ["n<1K"]


def test_parquet_reads_back(lab: Lab, store: Store, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    for number in range(450):  # more than two batches
        add(store, number)
    datasets.create(store.db, "d", ALL)
    written = export_with_card(lab, store, "d", "parquet", tmp_path / "hub", folder=True)
    assert (written.data, written.card) == (tmp_path / "hub/data/train.parquet", tmp_path / "hub/README.md")
    columns = pq.read_table(written.data).to_pydict()
    assert columns["solution"] == [row.solution for row in datasets.rows(store.db, "d")]
    assert columns["tokens"] == [row.tokens for row in datasets.rows(store.db, "d")]
    assert set(columns["verdict"]) == {"correct"}
    assert set(columns["prompt_version"]) == {None}


def test_the_hubs_own_library_reads_the_folder(
    lab: Lab, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = pytest.importorskip("datasets", reason="the train extra is not installed")
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    for number in range(3):
        add(store, number, verdict="incorrect" if number else "correct")
    datasets.create(store.db, "d", ALL)
    export_with_card(lab, store, "d", "messages", tmp_path / "hub", folder=True)
    read = library.load_dataset(str(tmp_path / "hub"), cache_dir=str(tmp_path / "cache"))["train"]
    assert read["messages"][0][0] == {"role": "user", "content": "What is the sum of 0 and 1?"}
    assert read["verdict"] == ["correct", "incorrect", "incorrect"]


def test_a_card_that_cannot_be_written_leaves_the_old_one(lab: Lab, store: Store, tmp_path: Path) -> None:
    add(store, 0)
    datasets.create(store.db, "d", ALL)
    out = tmp_path / "d.jsonl"
    export_with_card(lab, store, "d", "jsonl", out)
    before = (out.read_bytes(), Path(f"{out}.card.md").read_text("utf-8"))
    lab.config.write_text("what = ")
    with pytest.raises(LabError, match="not TOML"):
        export_with_card(lab, store, "d", "alpaca", out)
    assert (out.read_bytes(), Path(f"{out}.card.md").read_text("utf-8")) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["d.jsonl", "d.jsonl.card.md", "lab"]


def test_a_card_names_the_languages_of_its_rows(lab: Lab, store: Store) -> None:
    add(store, 0)
    statement = "一加一等于多少？请你仔细地把两个数加起来，然后写出答案。"
    problem = NewProblem(statement, "translation/zh", "z", "2", licence="MIT")
    trace = trace_of(problem, "cheap", "<think>\n我们把两个数加起来，再检查一下。\n</think>\n\n答案是 \\boxed{2}。")
    with store.db.atomic():
        problems.add(store.db, [problem])
        traces.add(store.db, [(trace, statement)])
    datasets.create(store.db, "d", ALL)
    text = text_of(lab, store, "d")
    assert sorted(front(text)["language"]) == ["en", "zh"]
    assert "zh 1" in text


def test_the_languages_of_a_large_dataset_are_drawn_by_chance(
    lab: Lab, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("o1lab.distill.datasets.card._LANGUAGE_ROWS", 10)
    for number in range(60):
        add(store, number)
    datasets.create(store.db, "d", ALL)
    text = text_of(lab, store, "d")
    looked = int(text.split("random sample of ")[1].split("\\")[0])
    assert 0 < looked < 30
    assert f"| rows by language | en {looked} \\(of a random sample of {looked}\\) |" in text
    assert front(text)["language"] == ["en"]
