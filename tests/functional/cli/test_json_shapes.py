"""The JSON shape and the exit status of every verb with ``--json``, recorded on one seeded lab.

The shapes are in ``tests/fixtures/json_shapes.json``, written as ``tests/support/json_shapes.py`` says. Record a new
verb, or output that changes on purpose, with::

    RECORD_JSON_SHAPES=1 python -m pytest tests/functional/cli/test_json_shapes.py

Read the diff of the file before you commit it: keys and exit statuses are a contract with scripts.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from o1lab.cli.verbs import program
from o1lab.paths import Lab
from store import Store, conversations, open_store, suitability
from store import annotations as annotation_log
from store.conversations import Vote
from store.evaluations import ItemRow
from tests.support import evaluate_lab, figures_lab, training_lab, votes
from tests.support.declared_files import undeclared
from tests.support.eval_lab import EvalServer, make_lab, write_suite
from tests.support.fake_runs import write_run
from tests.support.json_shapes import RECORDED, Recorder
from tests.support.lens_lab import add_scores

PATIENCE_S = 120

EXCLUDED = {
    "": "without a verb the app opens",
    "demo": "opens the app, or trains for minutes; its report has tests of its own",
    "compare wait": "the same as runs wait",
    "distill wait": "the same as runs wait",
    "eval wait": "the same as runs wait",
    "hardware": "depends on the machine; it has tests of its own",
    "man": "the number of pages; test_manual.py has it",
    "moves train": "needs scikit-learn; tests/functional/cli/test_moves.py has its keys",
    "serve": "runs until it is killed; its ready line is tested in test_cli_serving.py",
    "web": "runs until it is killed; its ready line is tested in test_web.py",
}
"""Verbs whose output is not recorded, with the reason."""

RUN = evaluate_lab.RUN
PAIR = ("base-1", "student-1")
TRAIN = "A train {} north at 60 miles per hour for 3 hours and then stops. How many miles from home is it now?"
RAW = "<think>\nThe problem is short. Wait, is it? 20 + 7 = 27.\n</think>\n\nSo \\boxed{27}\n"
CHAINS: list[dict[str, Any]] = [
    {"problem": "What is 20 + 7?", "raw": RAW, "model": "sky", "gold_answer": "27", "licence": "MIT"},
    {"problem": "What is 20 + 8?", "raw": RAW, "model": "sky", "gold_answer": "28"},
    {"problem": "What is 20 + 9?", "raw": "<think>\nThis one is cut", "model": "sky", "gold_answer": "29"},
    {"problem": "Why is the sky blue?", "raw": "Because \\boxed{27}", "model": "gemma"},
]
PROBLEMS: list[dict[str, Any]] = [
    {"problem": TRAIN.format("travels"), "answer": "180", "licence": "MIT"},
    {"problem": TRAIN.format("runs"), "answer": "180"},
    {"problem": "Prove that $n^2+n$ is even.", "solution": "One of two neighbours is even."},
]
SUMS = [{"problem": f"What is {a} + {a + 7}?", "answer": str(2 * a + 7)} for a in (100, 101, 102)]
EDITOR = """
import pathlib, sys
path = pathlib.Path(sys.argv[1])
text = path.read_text("utf-8")
if text.rstrip().endswith("</think>"):
    text = text.partition("<think>")[0] + "<think>\\nWait, let me add.\\n</think>\\n\\n\\\\boxed{42}\\n"
else:
    text = text.rstrip() + "\\nBe brief.\\n"
path.write_text(text, "utf-8")
"""


@pytest.fixture
def server() -> Iterator[EvalServer]:
    with EvalServer() as server:
        yield server


@pytest.fixture
def lab(tmp_path: Path, server: EvalServer, monkeypatch: pytest.MonkeyPatch) -> Lab:
    """A lab with a suite, endpoints, two stored evaluations and training runs; problems and traces are imported."""
    monkeypatch.setenv("O1LAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    editor = tmp_path / "editor.py"
    editor.write_text(EDITOR, "utf-8")
    monkeypatch.setenv("VISUAL", f"{sys.executable} {editor}")
    lab = make_lab(tmp_path / "lab", server.url, 6, input_usd=1.0, output_usd=10.0)
    store = open_store(lab.database)
    for name, model in zip(PAIR, (evaluate_lab.BASE, evaluate_lab.STUDENT), strict=True):
        evaluate_lab.put(store, evaluate_lab.evaluation(name, model), evaluate_lab.SAYS[model])
    put_evaluations(store)
    store.close()
    sample = {"step": 50, "prompt": "What is 964 + 494?", "gold": "1458", "text": "1458", "correct": True}
    learned = write_run(lab.runs, RUN, saved=(50, 100), samples=[sample], log="Loading.\nDone.\n")
    rows = [
        {"trace_id": f"{at:016x}", "prompt": evaluate_lab.item(at).question, "thought": "By columns.", "solution": "1"}
        for at in range(8)
    ]
    learned.data.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    write_run(lab.runs, "failed-1", "failed", steps=0, message="It broke.", hint="Mend it.", age=10)
    write_run(lab.runs, "dead-1", "running", steps=20, heartbeat=1.0, age=20)
    write_run(lab.runs, "live-1", "running", steps=40, saved=(20,), age=30)
    for seed, state in ((1, "finished"), (2, "failed")):
        in_group = write_run(lab.runs, f"group-{seed}", state, age=40, log="Done.\n")
        in_group.group_file.write_text(json.dumps({"name": "sweep", "varies": {"seed": seed}}), "utf-8")
    return lab


def put_evaluations(store: Store) -> None:
    """Evaluations whose figures have parts that those of the pair have not."""
    grouped = [
        (
            ItemRow(
                f"i{at}", "Why?", ("1",), f"g{at // 2}", ("plain", "wrong-hint")[at % 2], {"wrong": "7", "weight": 2}
            ),
            "cwic",
        )
        for at in range(6)
    ]
    answers = {row.item: ["1", "7", None, "1"] for row, _ in grouped}
    figures_lab.put(store, "grouped", grouped, suite="hints", answers=answers)
    requests = [(ItemRow(f"r{at}", "How?", (("comply", "refuse")[at % 2],)), "cw"[at // 2 % 2]) for at in range(8)]
    done = {row.item: [("refused", "complied")[at % 3 == 0]] for at, (row, _) in enumerate(requests)}
    figures_lab.put(store, "refusing", requests, suite="requests", family="safety", scorer="refusal@1", answers=done)


def lines(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


def ended(answer: dict[str, Any]) -> None:
    """Return when the process that a verb started has ended."""
    with suppress(psutil.NoSuchProcess):
        psutil.Process(answer["pid"]).wait(PATIENCE_S)


def come_alive(folder: Path) -> None:
    """Let the status of a job say that this process works on it."""
    path = folder / "status.json"
    status = json.loads(path.read_text("utf-8"))
    status |= {"state": "running", "host": socket.gethostname(), "pid": os.getpid(), "pid_started": None}
    path.write_text(json.dumps(status | {"heartbeat": time.time()}), "utf-8")


def test_the_shapes_of_all_verbs(
    lab: Lab, server: EvalServer, tiny_base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    o1lab = Recorder(lab.root, capsys)
    record_lab(o1lab, tmp_path)
    record_curating(o1lab, tmp_path)
    record_datasets(o1lab, lab, tiny_base, tmp_path)
    record_distilling(o1lab, server, lab)
    record_runs(o1lab)
    record_evaluating(o1lab, server, lab)
    record_samples(o1lab, tmp_path)
    record_transparency(o1lab)
    record_errors(o1lab, tmp_path)
    o1lab.compare("lab")
    assert undeclared(lab) == ["methods.md", "plot.svg", "table.md", "talk.txt"]  # written by this test


def record_lab(o1lab: Recorder, folder: Path) -> None:
    o1lab("init", folder / "new", in_lab=False)
    o1lab("doctor", status=False)
    o1lab("keys")
    model = folder / "model"
    model.mkdir()
    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        (model / name).write_text("{}", "utf-8")
    o1lab("models fetch", model)
    o1lab("models forget", "teacher")
    o1lab("models merge", "solver", folder / "merged", what="no adapter")
    o1lab("models ls", "--kind", "program")
    o1lab("models import", folder / "nowhere", what="no folder")
    kept = o1lab.lab / "models" / "kept"
    kept.mkdir(parents=True)
    (kept / "config.json").write_text("{}", "utf-8")
    o1lab("models rm", "kept", "--yes")
    (kept := folder / "adapter").mkdir()
    (kept / "adapter_config.json").write_text('{"base_model_name_or_path": "smollm2-135m"}', "utf-8")
    (kept / "adapter_model.safetensors").write_text("", "utf-8")
    o1lab("models push", kept, "kim/sums", "--base", "kim/base", "--dry-run")
    o1lab("chat", "What is 100 + 107?", "-m", "teacher")
    o1lab("chat", "What is 100 + 107?", "-m", "teacher", "-m", "judge", what="two models")


def record_curating(o1lab: Recorder, folder: Path) -> None:
    o1lab("import", lines(folder / "chains.jsonl", CHAINS), "--source", "here")
    o1lab("import", lines(folder / "problems.jsonl", [*PROBLEMS, {"oops": 1}]), what="a bad row")
    o1lab("import", lines(folder / "sums.jsonl", SUMS), what="problems")
    (folder / "shards").mkdir()
    (folder / "shards" / "README.md").write_text("# Sums", "utf-8")
    (folder / "shards" / "empty.jsonl").touch()
    o1lab("import", folder / "shards", what="a folder")
    problem = o1lab("problems ls")["items"][0]["id"]
    o1lab("problems filter", "--dry-run", what="dry run")
    o1lab("problems filter")
    o1lab("problems rules")
    twin = o1lab("problems ls", "excluded:duplicate", what="excluded")["items"][0]["id"]
    o1lab("problems keep", twin, "--note", "It is another train.")
    o1lab("problems show", twin)
    o1lab("problems show", problem, what="without a finding")
    o1lab("problems exclude", twin)
    o1lab("problems leave", twin)
    trace = o1lab("traces ls", "--verdict", "correct", what="filtered")["items"][0]["id"]
    store = open_store(Lab(o1lab.lab).database)
    suitability.choose(store.db, add_scores(store.db, trace, "a-student").model, "a-student")
    store.close()
    o1lab("traces ls")
    o1lab("traces search", "short")
    o1lab("filters save", "short", "chars<1k")
    o1lab("filters save", "short", "chars<2k", what="replaced")
    o1lab("traces ls", "saved:short", what="saved filter")
    o1lab("filters ls")
    o1lab("filters rm", "short")
    o1lab("annotate", trace, "--accept", what="decision")
    o1lab("annotate", trace, "--span", "0:8:set-up", what="span")
    o1lab("annotate", trace, "--rating", "4", what="rating")
    o1lab("annotate", trace, "--note", "Well done.")
    o1lab("annotate", trace, "--wrong-step", "1", what="wrong step")
    o1lab("annotate", trace, "--label", "1:slip", what="label")
    o1lab("annotate", trace, "--move", "1:verify", what="kind of a move")
    o1lab("moves label")
    o1lab("moves agreement")
    o1lab("labels ls")
    o1lab("labels add", "guess")
    o1lab("labels set", "guess", "--digit", "1")
    o1lab("labels rename", "guess", "lucky guess")
    o1lab("labels rm", "guess")
    o1lab("traces show", trace)
    o1lab("annotate", trace, "--undo", what="undo")
    store = open_store(Path(o1lab.lab) / "lab.db")
    for annotator, value in (("ann", "1"), ("bo", "none")):
        annotation_log.annotate(store.db, trace, "wrong_step", value, annotator=annotator, span=(0, 9))
    o1lab("traces steps")
    o1lab("traces show", o1lab("traces ls", "--teacher", "gemma", what="by teacher")["items"][0]["id"], what="bare")
    o1lab("trees make", "--problems", "source:sums", "--limit", "1")
    o1lab("trees ls")
    tree = o1lab("trees walk", "--dead-ends", "1")["items"][0]
    o1lab("trees show", tree["tree_id"])
    o1lab("traces show", tree["trace_id"], what="of a tree")
    kept = folder / "annotations.jsonl"
    o1lab("annotations export", kept)
    strange = json.loads(kept.read_text("utf-8").splitlines()[0]) | {"id": "other", "trace_id": "0" * 16}
    with kept.open("a", encoding="utf-8") as file:
        file.write(json.dumps(strange) + "\n")
    o1lab("annotations merge", kept)
    for annotator, value in (("ann", "accept"), ("bo", "reject"), ("cai", "reject")):
        annotation_log.annotate(store.db, trace, "decision", value, annotator=annotator)
    o1lab("annotations agreement")
    o1lab("annotate", trace, "--adjudicate", "accept", what="adjudication")
    o1lab("annotations assign", "--to", "ann", "--to", "bo", "--overlap", "1")
    o1lab("annotations assign", "--clear", what="cleared")
    store.close()


def record_datasets(o1lab: Recorder, lab: Lab, base: Path, folder: Path) -> None:
    config = lab.config.read_text("utf-8")
    # The tokenizer of the base counts tokens. To convert the embedded student for it takes half a minute.
    lab.config.write_text(f"base = {json.dumps(str(base))}\n{config}", "utf-8")
    o1lab("dataset create", "accepted")
    o1lab("dataset create", "sampled", "--keep", "verified", what="sampled")
    o1lab("dataset create", "mixed", "--from", "accepted", "--from", "sampled", "--seed", "1", what="mixed")
    o1lab("dataset ls")
    o1lab("dataset show", "accepted")
    o1lab("dataset show", "sampled", what="sampled")
    o1lab("dataset show", "mixed", what="mixed")
    o1lab("dataset drops", "sampled")
    o1lab("dataset control", "sampled", "--match", "tokens")
    o1lab("dataset subset", "sampled")
    o1lab("dataset export", "sampled", "--out", folder / "sampled.jsonl")
    o1lab("dataset card", "sampled")
    o1lab("dataset pairs", "better", what="no pairs")
    store = open_store(lab.database)
    votes.voted(store, "Why is grass green?", "It reflects green light.", "It is.")
    store.close()
    o1lab("dataset pairs", "better", "--from", "votes")
    o1lab("dataset show", "better", what="pairs")
    o1lab("dataset export", "better", "--out", folder / "better.jsonl", what="pairs")
    o1lab("dataset control", "better", what="of pairs")
    lab.config.write_text(config, "utf-8")


def record_distilling(o1lab: Recorder, server: EvalServer, lab: Lab) -> None:
    begin = ("--endpoint", "teacher", "--problems", "source:sums", "--max-tokens", "64")
    o1lab("distill", *begin, "--estimate", what="estimate without experience")
    made = o1lab("distill", *begin)
    o1lab("distill", *begin, "--estimate", what="estimate")
    o1lab("distill", *begin, "--budget-tokens", "80", what="out of budget")
    ended(o1lab("distill", *begin, "--detach", what="detached"))
    server.treat = lambda question, _: "moderated" if question[0] == 101 else "ok"
    failed = o1lab("distill", *begin, what="with failures")
    server.treat = None
    o1lab("distill ls")
    o1lab("distill show", made["id"])
    o1lab("distill show", failed["id"], what="with failures")
    come_alive(lab.distill / made["id"])
    o1lab("distill pause", made["id"])
    o1lab("distill go-on", made["id"])
    o1lab("distill stop", made["id"])
    o1lab("distill show", made["id"], what="running")
    o1lab("distill resume", failed["id"], "--budget-tokens", "100000")
    record_managing(o1lab, "distill", failed["id"])
    (lab.root / "talk.txt").write_text("What is 700 + 1?\nWhat is 701 + 1?\n", "utf-8")
    o1lab("dataset replay", "--base", "my/base", "--endpoint", "teacher", "--prompts", lab.root / "talk.txt")
    o1lab("distill prompts")
    o1lab("distill prompts show", "long-thought")
    o1lab("distill prompts edit", "long-thought")
    o1lab("traces judge-steps", "--judge", "teacher", "--limit", "1", "--max-tokens", "64")
    o1lab("traces judge-steps", "--judge", "teacher", "--limit", "1", "--estimate", what="estimate")
    problem = o1lab("problems ls", '"20 + 7"', what="by words")["items"][0]["id"]
    draft = lab.root / "drafts" / f"{problem}-ann.md"
    draft.parent.mkdir()
    draft.write_text("<think>\nI try.\n</think>\n\n", "utf-8")
    o1lab("distill drafts")
    o1lab("distill write", problem)


def record_runs(o1lab: Recorder) -> None:
    o1lab("runs ls")
    o1lab("runs show", RUN)
    o1lab("runs show", "failed-1", what="failed")
    o1lab("runs show", "live-1", what="running")
    o1lab("runs watch", RUN)
    o1lab("runs watch", "failed-1", what="failed")
    o1lab("runs show", "sweep", what="group")
    o1lab("runs ls", "sweep", what="of a group")
    o1lab("runs diff", RUN, "failed-1")
    o1lab("runs wait", RUN, "sweep", what="with a failure")
    o1lab("runs export", RUN, "metrics.csv")
    o1lab("runs wait", "live-1", "--timeout", "0", what="timed out")
    o1lab("status")
    o1lab("runs stop", "live-1")
    o1lab("runs rm", "sweep", "--yes", what="group")
    record_managing(o1lab, "runs", "failed-1")


def record_transparency(o1lab: Recorder) -> None:
    o1lab("tti")
    for scorer in ("ann", "bo"):
        o1lab("tti", "Mine", "--item", "sources", "--answer", "no", "--scorer", scorer, what=f"answer of {scorer}")
    o1lab("tti", "Mine", what="work")
    o1lab("tti", "Mine", "--history", what="history")
    o1lab("tti", "--self", "--run", RUN, what="self")
    report = o1lab("report", RUN, "--accept-terms")
    o1lab("reproduce", report["dir"], "--lab", o1lab.lab.parent / "again")
    o1lab("lesson show", RUN)
    o1lab("lesson", RUN, what="short for lesson show")
    o1lab("lesson curve", "sampled", "--suite", "sums", "--steps", "2", "--dry-run", what="dry run")
    o1lab("methods")
    o1lab("methods", "--out", o1lab.lab / "methods.md", what="to a file")


def record_managing(o1lab: Recorder, kind: str, identity: str) -> None:
    """The verbs that leave nothing of a job behind."""
    o1lab(f"{kind} rename", identity, "first try")
    o1lab(f"{kind} note", identity, "with a low budget")
    o1lab(f"{kind} tag", identity, "keep")
    o1lab(f"{kind} archive", identity)
    o1lab(f"{kind} rm", identity, what="without --yes")
    o1lab(f"{kind} rm", identity, "--yes")


def record_evaluating(o1lab: Recorder, server: EvalServer, lab: Lab) -> None:
    o1lab("eval suites")
    broken = lab.suites / "broken.yaml"
    broken.write_text("name: broken\n", "utf-8")
    o1lab("eval suites", what="one is broken")
    broken.unlink()
    o1lab("eval suite", "sums")
    o1lab("eval suite", "aime24", what="without items")
    begin = ("sums", "--model", "teacher")
    made = o1lab("eval run", *begin, "--samples", "2", "--force-answer", "8")
    o1lab("eval", *begin, "--limit", "3", what="short for eval run")
    o1lab("eval run", *begin, "--no-reuse", "--budget-tokens", "50", what="out of budget")
    ended(o1lab("eval run", *begin, "--no-reuse", "--detach", what="detached"))
    server.treat = lambda question, _: "moderated" if question[0] == 101 else "ok"
    failed = o1lab("eval run", *begin, "--seed", "7", what="with failures")
    server.treat = None
    write_suite(lab, version=2, scorer={"name": "judge"})
    o1lab("eval run", "--rescore", failed["id"], "--judge", "judge", what="scored again")
    write_suite(lab)
    o1lab("eval ls")
    o1lab("eval show", made["id"])
    o1lab("eval show", failed["id"], what="with failures")
    o1lab("eval figures", made["id"])
    o1lab("eval figures", "base-1", what="variants")
    o1lab("eval figures", "grouped", what="groups and weights")
    o1lab("eval figures", "refusing", what="refusals")
    o1lab("eval compare", *PAIR)
    o1lab("eval table", *PAIR)
    for table in ("accuracy", "general"):
        o1lab("eval table", table, *PAIR, what=table)
    o1lab("eval language", *PAIR)
    o1lab("eval profile", *PAIR)
    o1lab("eval table", "accuracy", "--out", lab.root / "table.md", what="to a file")
    o1lab("eval plot", *PAIR)
    o1lab("eval plot", "right-wrong", *PAIR, what="right-wrong")
    o1lab("eval plot", *PAIR, "--svg", lab.root / "plot.svg", what="to a file")
    come_alive(lab.evals / made["id"])
    o1lab("eval pause", made["id"])
    o1lab("eval go-on", made["id"])
    o1lab("eval stop", made["id"])
    o1lab("eval show", made["id"], what="running")
    o1lab("eval resume", failed["id"], "--budget-tokens", "100000")
    record_managing(o1lab, "eval", failed["id"])


def record_samples(o1lab: Recorder, folder: Path) -> None:
    o1lab("eval samples", "base-1")
    trace = o1lab("eval label", "student-1", "add:3")["trace_id"]
    o1lab("annotate", trace, "--span", "0:9:begins", what="a sample's trace")
    o1lab("eval sample", "student-1", "add:3")
    o1lab("eval sample", "base-1", "add:5", what="failed")
    o1lab("eval nearest", "student-1", "add:3", "--limit", "2")
    o1lab("eval case", *PAIR, "add:3", "--out", folder / "case.html")
    o1lab("eval agreement", *PAIR, what="not complete")
    ticket = o1lab("eval rate", *PAIR)["next"]["sample"]
    o1lab("eval rate", *PAIR, "--sample", ticket, "--value", "80", what="a mark")
    o1lab("eval rate", *PAIR, "--undo", what="undo")
    o1lab("eval rate", *PAIR, "--thoughts", what="thoughts")
    o1lab("eval rate", *PAIR, "--export", folder / "sheet.csv", what="export")
    o1lab("eval rate", *PAIR, "--import", folder / "sheet.csv", what="import")
    o1lab("eval agreement", *PAIR, "--now")
    o1lab("eval calibrate", PAIR[0])
    o1lab("eval calibrate", PAIR[0], "--sample", "1", "--label", "correct", what="a label")


def record_errors(o1lab: Recorder, folder: Path) -> None:
    o1lab("nonsense", what="no such verb")
    o1lab("traces show", "0000", what="not found")
    o1lab("traces ls", "--verdict", "perhaps", what="usage")
    o1lab("traces search", "*", what="no query")
    o1lab("runs resume", RUN, what="finished")
    o1lab("dataset create", "none", "--where", "source:nowhere", what="nothing chosen")
    o1lab("distill", what="no teacher")
    o1lab("lens", "--where", "chars>0", "--model", "solver", what="no scores")
    o1lab("suitability", "chars>0", "--model", "solver", what="no scores")
    o1lab("converge", what="nothing named")
    o1lab("anchors", "0000", what="not found")
    o1lab("eval run", "sums", "--model", "nobody", what="no model")
    o1lab("traces ls", in_lab=False, what="no lab")


def test_the_shapes_of_comparing(lab: Lab, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    o1lab = Recorder(lab.root, capsys)
    store = open_store(lab.database)
    conversations.save_prompt_set(store.db, "sums", ["What is 100 + 107?", "What is 101 + 108?"])
    store.close()
    o1lab("compare rank", what="no vote")
    panes = ("-m", "teacher", "-m", "teacher,temperature=0.7,system=Be brief, please.")
    made = o1lab("compare ask", "sums", *panes)
    other = o1lab("compare ask", "sums", *panes, "--limit", "1", "--detach", what="detached")
    ended(other)
    o1lab("compare ask", "sums", "-m", "teacher", what="one contestant")
    o1lab("compare ask", "nothing", *panes, what="no such set")
    store = open_store(lab.database)
    ids = sorted(one.id for one in conversations.page(store.db) if one.round == made["id"])
    for identity, winner in zip(ids, ("teacher", "tie"), strict=True):
        shown = tuple({"pane": pane, "temperature": hot} for pane, hot in enumerate((0.0, 0.7)))
        place = 1 if winner == "teacher" else None
        conversations.vote(store.db, Vote(identity, 1, winner, ("teacher", "teacher"), True, "tester", shown, place))
    store.close()
    o1lab("compare tag-prompt", "What is 100 + 107?", "easy")
    o1lab("compare tag-prompt", "What is 100 + 107?", what="shown")
    o1lab("compare rank")
    o1lab("compare votes")
    o1lab("compare ls")
    o1lab("compare show", made["id"])
    come_alive(lab.rounds / made["id"])
    o1lab("compare pause", made["id"])
    o1lab("compare go-on", made["id"])
    o1lab("compare stop", made["id"])
    o1lab("compare show", made["id"], what="running")
    ended(o1lab("compare resume", other["id"], "--budget-tokens", "100000", "--detach"))
    record_managing(o1lab, "compare", other["id"])
    o1lab.compare("comparing")
    assert undeclared(lab) == []


@pytest.mark.slow
def test_the_shapes_of_training(
    tmp_path: Path, tiny_base: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is trained: the preflight looks at a tiny base, and what is launched has a base without weights."""
    pytest.importorskip("trl", reason="the train extra is not installed")
    monkeypatch.setenv("O1LAB_CACHE", str(tmp_path / "cache"))
    o1lab = Recorder(training_lab.make_lab(tmp_path / "lab").root, capsys)
    empty = tmp_path / "empty"
    empty.mkdir()
    words = ["--dataset", "sums"]
    for setting in ("steps=2", "batch_size=4", "max_length=128", "dtype=fp32", "device=cpu"):
        words += ["--set", setting]
    o1lab("train", *words, "--base", tiny_base, "--dry-run", what="dry run")
    o1lab("train", *words, "--base", empty, "--dry-run", what="dry run, refused")
    o1lab("train", *words, "--base", empty, what="refused")
    made = o1lab("train", *words, "--base", empty, "--no-check")
    o1lab("train", *words, "--base", empty, "--no-check", "--wait", what="waited for")
    ended(made)
    ended(o1lab("runs resume", made["run_id"]))
    o1lab("runs show", made["run_id"], what="resumed")
    recipe = tmp_path / "phases.yaml"
    phases = [{"dataset": "sums", "steps": 1}, {"dataset": "sums", "steps": 1}]
    recipe.write_text(json.dumps({"base": str(empty), "device": "cpu", "phases": phases}), "utf-8")
    o1lab("train", "--recipe", recipe, "--dry-run", what="dry run of phases")
    o1lab("train", *words, "--base", tiny_base, "--seed", "1,2", "--dry-run", what="dry run of a group")
    o1lab("train", *words, "--base", empty, "--seed", "1,2", "--no-check", "--wait", what="group")
    o1lab.compare("training")
    assert undeclared(Lab(tmp_path / "lab")) == []


def verbs() -> Iterator[str]:
    """Every verb of the program: the commands, and the groups that do something by themselves."""

    def walk(command: Any, words: tuple[str, ...]) -> Iterator[str]:
        below = getattr(command, "commands", None)
        if below is None or getattr(command, "invoke_without_command", False):
            yield " ".join(words)
        for name, one in (below or {}).items():
            yield from walk(one, (*words, name))

    return walk(program(), ())


def test_every_verb_is_recorded_or_excluded() -> None:
    """Runs last, so that it sees what the others record."""
    recorded = json.loads(RECORDED.read_text("utf-8"))
    names = {name.partition(" (")[0] for part in recorded.values() for name in part}
    program = set(verbs())
    assert program - names - EXCLUDED.keys() == set(), "verbs without a record"
    assert EXCLUDED.keys() - program == set(), "excluded verbs that do not exist"
    assert EXCLUDED.keys() & names == set(), "excluded verbs that are recorded"
