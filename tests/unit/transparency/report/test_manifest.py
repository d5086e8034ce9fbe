"""report.json and the data beside it: complete, without private names, refused where it is damaged."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from o1lab.ingest.importer import import_files
from o1lab.paths import Lab
from o1lab.small_files import UnreadableError
from o1lab.train.runs.directory import RunDir
from o1lab.transparency.report.manifest import VERSION, read_manifest
from o1lab.transparency.report.writer import write_report
from store import Store, annotations, datasets, exclusions, problems
from store.exclusions import RuleRun
from store.filters import TraceQuery
from tests.support import lab_seed
from tests.support.transparency_lab import evaluate

R1 = "<think>\nhm\n</think>\n\n27"


def imported(store: Store, path: Path, *rows: dict[str, str], **options: str) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    import_files(store, [path], **options)  # type: ignore[arg-type]  # options of the import
    return path


def test_it_says_what_another_lab_needs(lab: Lab, store: Store, run: RunDir, tmp_path: Path) -> None:
    imported(store, tmp_path / "a.jsonl", {"problem": "p", "raw": R1}, {"x": "1"}, licence="MIT")
    exclusions.record_runs(store.db, [RuleRun("image", 3, 7, 2, "2026-01-01")])
    [problem, *_] = problems.page(store.db)
    exclusions.rule_on(store.db, [problem.id], "keep", annotator="ann", note="private words")
    annotations.annotate(store.db, next(lab_seed.all_ids(store)), "note", "private words", annotator="ann")
    evaluate(store, run)
    folder = write_report(lab, store, run.id, None).folder
    found = read_manifest(folder)
    assert (found.version, found.run, found.with_data) == (VERSION, run.id, False)
    [one] = found.imports
    assert (one.name, one.options, one.copy) == ("a.jsonl", {"licence": "MIT"}, "")
    assert (one.counts["rows"], one.counts["rejected"]) == (2, 1)
    assert [vars(rule) for rule in found.rules] == [{"rule": "image", "version": 3, "looked": 7, "excluded": 2}]
    assert found.rulings == [(problem.id, "keep")]
    [dataset] = found.datasets
    made = datasets.get(store.db, "taken")
    assert (dataset.hash, dataset.query, dataset.rows, dataset.trained) == (made.hash, made.query, made.rows, True)
    assert (folder / dataset.traces).read_text().split() == datasets.trace_ids(store.db, "taken")
    assert found.stages[0].recipe["dataset_hash"] == made.hash
    [evaluation] = found.evaluations
    assert (evaluation.suite, evaluation.settings["max_tokens"], evaluation.value) == ("aime24", 512, 50.0)
    assert evaluation.interval is not None and evaluation.interval[0] < 50 < evaluation.interval[1]
    lines = [json.loads(line) for line in (folder / "datasets/annotations.jsonl").read_text().splitlines()]
    assert {one["kind"] for one in lines} == {"decision"}
    assert {one["annotator"] for one in lines} == {"person 1"}
    assert "private words" not in "".join(path.read_text() for path in folder.rglob("*") if path.is_file())


def test_a_mixture_comes_after_its_parts(lab: Lab, store: Store, run: RunDir) -> None:
    from o1lab.distill.datasets.selection import mix
    from tests.support.transparency_lab import finished

    datasets.create(store.db, "odd", TraceQuery.parse("verdict:incorrect"))
    choice, phase = mix(store, ["odd", "taken"])
    datasets.snapshot(store.db, "both", choice.ids, phase=phase, query="odd + taken", selection=choice.selection)
    made = finished(lab, store)
    text = made.recipe.read_text()
    made.recipe.write_text(
        text.replace("dataset: taken", "dataset: both").replace(
            datasets.get(store.db, "taken").hash, datasets.get(store.db, "both").hash
        )
    )
    found = read_manifest(write_report(lab, store, made.id, None).folder)
    assert [(one.name, one.trained) for one in found.datasets] == [("odd", False), ("taken", False), ("both", True)]


def test_data_is_added_where_licence_and_names_allow_it(
    lab: Lab, store: Store, run: RunDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = imported(store, tmp_path / "kept.jsonl", {"problem": "p", "raw": R1, "licence": "MIT"})
    imported(store, tmp_path / "none.jsonl", {"problem": "q", "raw": R1})
    imported(store, tmp_path / "changed.jsonl", {"problem": "r", "raw": R1}, licence="MIT").write_text("{}")
    imported(store, tmp_path / "gone.jsonl", {"problem": "s", "raw": R1}, licence="MIT").unlink()
    monkeypatch.setenv("SOME_API_KEY", "a-very-secret-key")
    imported(store, tmp_path / "secret.jsonl", {"problem": "a-very-secret-key", "raw": R1}, licence="MIT")
    written = write_report(lab, store, run.id, None, with_data=True)
    found = read_manifest(written.folder)
    copies = {one.name: one.copy for one in found.imports}
    assert copies == {
        "kept.jsonl": "data/imports/1-kept.jsonl", "none.jsonl": "", "changed.jsonl": "", "gone.jsonl": "",
        "secret.jsonl": "",
    }  # fmt: skip
    assert (written.folder / copies["kept.jsonl"]).read_bytes() == kept.read_bytes()
    reasons = "\n".join(found.left_out)
    for words in (
        "none.jsonl: it has no recorded licence", "changed.jsonl: it has changed", "gone.jsonl: it is no longer where",
        "secret.jsonl: it holds a private name",
    ):  # fmt: skip
        assert words in reasons
    assert written.notes == tuple(found.left_out)
    rows = [json.loads(line) for line in (written.folder / "data/traces.jsonl").read_text().splitlines()]
    assert [one["id"] for one in rows] == datasets.trace_ids(store.db, "taken")
    accepted = read_manifest(write_report(lab, store, run.id, None, with_data=True, accept_terms=True).folder)
    assert [one.name for one in accepted.imports if one.copy] == ["kept.jsonl", "none.jsonl"]


def test_rows_without_licence_or_with_a_private_name_are_left_out(
    lab: Lab, store: Store, run: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, *rest = datasets.trace_ids(store.db, "taken")
    with store.db.atomic():
        store.db.conn.execute("UPDATE traces SET licence = NULL WHERE id = ?", [first])
        store.db.conn.execute("UPDATE traces SET key = 'a-very-secret-key' WHERE id = ?", [second])
    monkeypatch.setenv("SOME_API_KEY", "a-very-secret-key")
    found = write_report(lab, store, run.id, None, with_data=True)
    rows = [json.loads(line) for line in (found.folder / "data/traces.jsonl").read_text().splitlines()]
    assert [one["id"] for one in rows] == rest
    assert set(found.notes) == {"rows without a recorded licence: 1", "rows with a private name or key: 1"}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "it is not a report"),
        ("{", "it is not JSON"),
        ("[]", "does not state its version"),
        ('{"version": 99}', "it has version 99"),
        ('{"version": 1}', "earlier o1lab"),
        ('{"version": 2, "run": "x"}', "Field required"),
        (f'{{"version": {VERSION}, "made_by": 3}}', "made_by"),
    ],
)
def test_a_damaged_report_is_refused(tmp_path: Path, content: str | None, said: str) -> None:
    if content is not None:
        (tmp_path / "report.json").write_text(content)
    with pytest.raises(UnreadableError, match=said) as refused:
        read_manifest(tmp_path)
    assert refused.value.hint
