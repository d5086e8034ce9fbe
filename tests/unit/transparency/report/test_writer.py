"""The report of a run: complete, without what must stay private, never half-written."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from o1lab.errors import NotFoundError, RefusedError, UsageError
from o1lab.ingest.importer import import_files
from o1lab.ingest.measuring import measure_pending
from o1lab.paths import Lab
from o1lab.train.runs.directory import RunDir
from o1lab.transparency.lab_facts import collect
from o1lab.transparency.report import cards, sections
from o1lab.transparency.report.redaction import redactor
from o1lab.transparency.report.writer import write_report
from store import Store, annotations, datasets, open_store, teacher_runs
from store.filters import TraceQuery
from store.teacher_runs import Outcome, TeacherRun
from tests.support import curve_lab, lab_seed, training_lab
from tests.support.transparency_lab import accept_right, evaluate, finished

KEY = "sk-very-secret-value-123"


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    monkeypatch.setenv("HOME", str(tmp_path / "home" / "marie"))
    monkeypatch.setenv("LOGNAME", "marie-curie")
    monkeypatch.setattr(socket, "gethostname", lambda: "gpu-box-17.lab.example")
    monkeypatch.setenv("MY_API_KEY", KEY)
    return lab_seed.make_lab(tmp_path / "home" / "marie" / "lab")


@pytest.fixture
def run(lab: Lab, store: Store) -> RunDir:
    accept_right(store)
    prompt = f"I am marie-curie on gpu-box-17, my key is {KEY}, my files are in /home/pierre/x and {lab.root}"
    made = finished(lab, store, system_prompt=prompt)
    made.metrics.write_text('{"step": 1, "loss": 2.5, "elapsed_s": 60, "num_tokens": 900}\n')
    evaluate(store, made)
    evaluate(store, made, "base")
    return made


def test_the_folder_holds_text_page_plots_tables_and_cards(lab: Lab, store: Store, run: RunDir) -> None:
    written = write_report(lab, store, None, None)
    assert written.folder == lab.exports / f"report-{run.id}"
    assert written.notes == ()
    assert set(written.files) == {
        "CITATION.cff", "model/README.md", "plots/loss-1.svg", "plots/tokens.svg", "report.html", "report.json",
        "report.md", "tables/results.tex", f"datasets/{datasets.get(store.db, 'taken').hash}/README.md",
        f"datasets/{datasets.get(store.db, 'taken').hash}/traces.txt", "datasets/annotations.jsonl",
    }  # fmt: skip
    text = (written.folder / "report.md").read_text("utf-8")
    for title in ("Data", "Training", "Results", "Case studies", "Ablations", "Limitations"):
        assert f"\n## {title}" in text
    methods = text[text.index("\n## Synthesis methods side by side") :].partition("\n## ")[2].partition("\n## ")[0]
    assert "| solver | 12 | 12 | 100.0" in methods and "debate: no chain" in methods
    assert "lora_r: 16" in text and "Krippendorff" not in text
    manifest = json.loads((written.folder / "report.json").read_text("utf-8"))
    assert manifest["stages"][0]["recipe"]["lora_r"] == 16
    assert manifest["tti"]["total"] == written.score.total
    card = (written.folder / "model" / "README.md").read_text("utf-8")
    assert yaml.safe_load(card.split("---\n")[1])["library_name"] == "peft"
    assert yaml.safe_load((written.folder / "CITATION.cff").read_text("utf-8"))["cff-version"] == "1.2.0"


def test_the_lesson_has_the_curve_of_the_run(tmp_path: Path) -> None:
    made = training_lab.make_lab(tmp_path / "curve")
    with closing(open_store(made.database)) as opened:
        run = curve_lab.add_curve(made, opened)[0]
        written = write_report(made, opened, run.id, None, accept_terms=True)
    assert "plots/curve-1.svg" in written.files and written.notes == ()
    text = (written.folder / "report.md").read_text("utf-8")
    assert "![Accuracy by the number of chains](plots/curve-1.svg)" in text and "| 12 | 3 | 50.0 |" in text
    assert "seed 1. The group curve-sums has 2 more runs that differ only in" in text.replace("\\", "")
    page = (written.folder / "report.html").read_text("utf-8")
    assert page.count("the teacher solver: 100.0") == 1  # the line in the plot, drawn in the page


def test_a_run_without_a_curve_names_the_command(lab: Lab, store: Store, run: RunDir) -> None:
    text = (write_report(lab, store, run.id, None).folder / "report.md").read_text("utf-8")
    assert "o1lab lesson curve taken --suite aime24" in text.replace("\\", "")


def test_the_template_of_the_recipe_is_shown(lab: Lab, store: Store, run: RunDir) -> None:
    recipe = yaml.safe_load(run.recipe.read_text("utf-8"))
    own = {"chat_template": "{# own #}{{ messages }}", "chat_template_kwargs": {"enable_thinking": True}}
    run.recipe.write_text(yaml.safe_dump(recipe | own))
    text = (write_report(lab, store, run.id, None).folder / "report.md").read_text("utf-8")
    shown = text[text.index("## Prompts and templates") :]
    assert "Chat template of the recipe" in shown and "{# own #}{{ messages }}" in shown
    assert '{"enable_thinking": true}' in shown


def test_a_student_with_all_weights_trained_is_not_called_an_adapter(lab: Lab, store: Store, run: RunDir) -> None:
    facts = collect(lab, store, run.id)
    whole = replace(facts, stages=(replace(facts.stages[0], recipe=facts.stages[0].recipe | {"adapter": "full"}),))
    assert "an adapter on a frozen base" in "".join(sections.limitations(facts))
    assert "adapter" not in "".join(sections.limitations(whole))
    assert f"Adapter of run {run.id}" in cards.citation(facts)
    assert f"Model of run {run.id}" in cards.citation(whole)


def test_keys_home_user_and_host_stay_out(lab: Lab, store: Store, run: RunDir) -> None:
    folder = write_report(lab, store, None, None).folder
    for path in (one for one in folder.rglob("*") if one.is_file()):
        text = path.read_text("utf-8")
        for private in (KEY, "marie", "gpu-box-17", "pierre", str(lab.root)):
            assert private not in text, (path.name, private)
    text = (folder / "report.md").read_text("utf-8")
    assert "I am USER on HOST, my key is [key], my files are in ~/x and LAB" in text


def test_planted_secrets_stay_out_of_the_data_too(lab: Lab, store: Store, run: RunDir) -> None:
    home = Path(os.environ["HOME"])
    row = {"problem": "What is 1 + 7?", "answer": "8", "raw": "<think>\nhm\n</think>\n\n\\boxed{8}", "licence": "MIT"}
    planted = (KEY, "ask marie-curie", "see gpu-box-17.lab.example", f"{home}/notes", "/Users/pierre/key")
    files = []
    for number, secret in enumerate(planted):
        files.append(home / f"set-{number}.jsonl")
        files[-1].write_text(json.dumps(row | {"raw": f"{row['raw']} {secret}"}) + "\n")
    files.append(home / "clean.jsonl")
    files[-1].write_text(json.dumps(row) + "\n")
    import_files(store, files, source="marie-curie", licence="MIT")
    measure_pending(store)
    for trace in lab_seed.all_ids(store):
        annotations.annotate(store.db, trace, "tag", f"for marie-curie {KEY}", annotator="marie-curie")
    datasets.create(store.db, "everything", TraceQuery.parse("verdict:correct"))
    made = finished(lab, store)
    text = made.recipe.read_text().replace("dataset: taken", "dataset: everything")
    made.recipe.write_text(
        text.replace(datasets.get(store.db, "taken").hash, datasets.get(store.db, "everything").hash)
    )
    written = write_report(lab, store, made.id, None, with_data=True, accept_terms=True)
    for path in (one for one in written.folder.rglob("*") if one.is_file()):
        content = path.read_bytes().decode("utf-8")
        for private in (KEY, "marie", "gpu-box-17", "pierre", str(lab.root)):
            assert private not in content, (path.name, private)
    left_out = " ".join(written.notes)
    assert [f"set-{number}.jsonl" in left_out for number in range(len(planted))] == [True] * len(planted)
    assert "rows with a private name or key: 6" in left_out  # the source of the clean one is a name, too
    assert (written.folder / "data" / "imports" / "6-clean.jsonl").is_file()


def test_ordinary_words_are_not_touched(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/root")
    redact = redactor(lab)
    for text in ("the gpu box, a lab, roots and hosts", "/rootfs /root-2 and 2/roots"):
        assert redact(text) == text
    assert redact(f"{lab.root}/x, /root/y and /root.") == "LAB/x, ~/y and ~."


def test_an_earlier_report_is_replaced_and_another_folder_is_not(
    lab: Lab, store: Store, run: RunDir, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    write_report(lab, store, run.id, out)
    (out / "old.txt").write_text("x")
    write_report(lab, store, run.id, out)
    assert not (out / "old.txt").exists()
    other = tmp_path / "mine"
    other.mkdir()
    (other / "thesis.tex").write_text("x")
    with pytest.raises(UsageError, match="is not a report"):
        write_report(lab, store, run.id, other)
    assert [path.name for path in other.iterdir()] == ["thesis.tex"]


def test_a_failure_leaves_the_earlier_report(
    lab: Lab, store: Store, run: RunDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    write_report(lab, store, run.id, out)
    before = (out / "report.md").read_bytes()
    monkeypatch.setattr(cards, "citation", lambda facts: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_report(lab, store, run.id, out)
    assert (out / "report.md").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_section_that_fails_is_reported_in_its_place(
    lab: Lab, store: Store, run: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(facts: object) -> Iterator[str]:
        yield "## Case studies\n\n"
        raise OSError("the disk is gone")

    monkeypatch.setattr(sections, "case_studies", broken)
    written = write_report(lab, store, None, None)
    assert written.notes == ("Case studies: the disk is gone",)
    assert "This section could not be made: the disk is gone" in (written.folder / "report.md").read_text("utf-8")


def test_a_damaged_file_of_the_run_is_named_in_its_section(lab: Lab, store: Store, run: RunDir) -> None:
    run.env.write_text("{")
    written = write_report(lab, store, None, None)
    assert [note.partition(":")[0] for note in written.notes] == ["Training"]
    assert "env.json cannot be read" in (written.folder / "report.md").read_text("utf-8").replace("\\", "")


def test_files_of_the_run_that_are_gone_are_named(lab: Lab, store: Store, run: RunDir) -> None:
    for path in (run.recipe, run.command, run.env, run.metrics, run.dataset, run.data):
        path.unlink()
    written = write_report(lab, store, run.id, None)
    said = f"These files of run {run.id} are gone: recipe.yaml, command.txt, env.json, metrics.jsonl, dataset.json."
    assert written.notes == (said,)
    assert said in (written.folder / "report.md").read_text("utf-8").replace("\\", "")


def test_a_report_needs_a_run(lab: Lab, store: Store) -> None:
    with pytest.raises(NotFoundError):
        write_report(lab, store, None, None)


def test_terms_of_a_teacher_must_be_accepted(lab: Lab, store: Store, run: RunDir) -> None:
    trace = next(lab_seed.all_ids(store))
    teacher_runs.add(store.db, TeacherRun("t1", "distill/t1", "long-thought", "o1", "o1", "long-thought@1", {}))
    teacher_runs.add_outcomes(store.db, "t1", [Outcome("i", 0, "kept", trace_id=trace)])
    with pytest.raises(RefusedError) as refused:
        write_report(lab, store, None, None)
    assert refused.value.code == "terms"
    assert "o1" in (write_report(lab, store, None, None, accept_terms=True).folder / "model/README.md").read_text(
        "utf-8"
    )
