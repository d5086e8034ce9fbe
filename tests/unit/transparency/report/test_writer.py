"""The report of a run: complete, without what must stay private, never half-written."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from o1lab.errors import NotFoundError, RefusedError, UsageError
from o1lab.paths import Lab
from o1lab.train.run_directory import RunDir
from o1lab.transparency.report import cards, sections
from o1lab.transparency.report.redaction import redactor
from o1lab.transparency.report.writer import write_report
from store import Store, datasets, teacher_runs
from store.teacher_runs import Outcome, TeacherRun
from tests.support import lab_seed
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
    }  # fmt: skip
    text = (written.folder / "report.md").read_text("utf-8")
    for title in ("Data", "Training", "Results", "Case studies", "Ablations", "Limitations"):
        assert f"\n## {title}" in text
    assert "lora_r: 16" in text and "Krippendorff" not in text
    manifest = json.loads((written.folder / "report.json").read_text("utf-8"))
    assert manifest["stages"][0]["recipe"]["lora_r"] == 16
    assert manifest["tti"]["total"] == written.score.total
    card = (written.folder / "model" / "README.md").read_text("utf-8")
    assert yaml.safe_load(card.split("---\n")[1])["library_name"] == "peft"
    assert yaml.safe_load((written.folder / "CITATION.cff").read_text("utf-8"))["cff-version"] == "1.2.0"


def test_the_template_of_the_recipe_is_shown(lab: Lab, store: Store, run: RunDir) -> None:
    recipe = yaml.safe_load(run.recipe.read_text("utf-8"))
    own = {"chat_template": "{# own #}{{ messages }}", "chat_template_kwargs": {"enable_thinking": True}}
    run.recipe.write_text(yaml.safe_dump(recipe | own))
    text = (write_report(lab, store, run.id, None).folder / "report.md").read_text("utf-8")
    shown = text[text.index("## Prompts and templates") :]
    assert "Chat template of the recipe" in shown and "{# own #}{{ messages }}" in shown
    assert '{"enable_thinking": true}' in shown


def test_keys_home_user_and_host_stay_out(lab: Lab, store: Store, run: RunDir) -> None:
    folder = write_report(lab, store, None, None).folder
    for path in (one for one in folder.rglob("*") if one.is_file()):
        text = path.read_text("utf-8")
        for private in (KEY, "marie", "gpu-box-17", "pierre", str(lab.root)):
            assert private not in text, (path.name, private)
    text = (folder / "report.md").read_text("utf-8")
    assert "I am USER on HOST, my key is [key], my files are in ~/x and LAB" in text


def test_ordinary_words_are_not_touched(lab: Lab) -> None:
    redact = redactor(lab)
    assert redact("the gpu box, a lab, roots and hosts") == "the gpu box, a lab, roots and hosts"


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


def test_a_section_that_cannot_be_made_says_so(
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
