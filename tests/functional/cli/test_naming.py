"""Names on the command line, for every verb: ids, their beginnings, keys, completion, lists, the place of ``--lab``."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import typer

from o1lab.cli.base.output import invoked
from o1lab.cli.main import run
from o1lab.cli.verbs import PARTS, program
from o1lab.config import init_lab
from o1lab.distill.datasets import control, pairs, selection
from o1lab.evaluate.report import render
from o1lab.ingest import exporting
from o1lab.ingest.formats import SYNTHESES
from o1lab.paths import Lab
from o1lab.remembered import KINDS, SavedFilters
from store import datasets, evaluations, open_store, problems, trees
from store.errors import NotFoundError
from store.filters import TraceQuery
from store.records import NewProblem
from store.trees import NewTree
from tests.support import evaluate_lab, lab_seed
from tests.support.fake_runs import write_run

PROGRAM: Any = program()
NOT_NAMES = {
    "folder", "file", "files", "out", "query", "words", "text", "prompt", "work", "tags",  # files, filters, free text
    "create name", "rename name", "add name", "rename new", "pairs name", "push repo",  # names that do not exist yet
    "import source",  # a folder or a repository
}  # fmt: skip
"""Arguments that name nothing in a lab, some with the verb that they belong to."""
FILTERS = {"eval table", "eval plot", "compare ask"}
"""Verbs whose argument is a word of their own as well as an id."""


def verbs(command: Any = PROGRAM, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Yield each command that does something, by its words."""
    children = getattr(command, "commands", {})
    if path and (not children or command.invoke_without_command) and not command.hidden:
        yield " ".join(path), command
    for name, child in children.items():
        yield from verbs(child, (*path, name))


VERBS = dict(verbs())
LISTS = [verb for verb, command in VERBS.items() if verb.endswith(" ls")]
ARGUMENTS = [
    (verb, param)
    for verb, command in VERBS.items()
    for param in command.get_params(typer.Context(command))
    if param.param_type_name == "argument" and not {param.name, f"{verb.split()[-1]} {param.name}"} & NOT_NAMES
]
EACH_ARGUMENT = pytest.mark.parametrize(("verb", "param"), ARGUMENTS, ids=[f"{v} {p.name}" for v, p in ARGUMENTS])


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """A lab in which two things of each kind have ids with the same beginning."""
    made = lab_seed.make_lab(tmp_path_factory.mktemp("labs") / "lab", 80)
    store = open_store(made.database)
    with store.db.atomic():
        for at in range(20):
            (problem,) = problems.add(store.db, [NewProblem(f"Search for {at}.", "deep", f"s:{at}")])
            trees.add(
                store.db,
                [NewTree(problem, [{"id": "a", "text": str(at), "correct": True}], "finder", "deep", f"s:{at}")],
            )
    datasets.create(store.db, "long", TraceQuery.parse("verdict:correct"), phase=2)
    datasets.create(store.db, "long-more", TraceQuery.parse("verdict:incorrect"), phase=2)
    for name in ("cc110000", "cc120000"):
        evaluate_lab.put(store, evaluate_lab.evaluation(name, evaluate_lab.BASE), evaluate_lab.SAYS[evaluate_lab.BASE])
        add_job(made.evals / name)
    store.close()
    SavedFilters(made).save(TraceQuery, "hard", "verdict:wrong")
    for name in ("aa110000", "aa120000"):
        write_run(made.runs, name)
    for name in ("bb110000", "bb120000"):
        add_job(made.distill / name)
    for name in ("dd110000", "dd120000"):
        add_job(made.rounds / name)
    (made.models / "kims").mkdir(parents=True)
    return made


def add_job(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "settings.json").write_text("{}")


def offered(lab: Lab, verb: str, param: Any, typed: str = "", **before: str) -> list[str]:
    """Return the names that a shell completes an argument with."""
    words = verb.split()
    parent = typer.Context(PROGRAM, info_name=words[0])
    context = typer.Context(VERBS[verb], info_name=words[-1], parent=parent)
    context.params |= before
    with invoked() as one:
        one.lab_dir = lab.root
        return [item.value for item in param.shell_complete(context, typed)]


def twins(names: list[str], exact: set[str]) -> tuple[str, list[str]] | None:
    """Return the beginning that two ids share, and those that have it; None if no two do."""
    for one in names:
        for length in (2, 1):
            alike = [name for name in names if name.startswith(one[:length])]
            if len(alike) > 1 and one[:length] not in exact:
                return one[:length], alike
    return None


def line(verb: str, param: Any, value: str) -> list[str]:
    """Return a command line with ``value`` for one argument and something valid for the others."""
    valid = {"item": "add:1", "number": "0", "name": "new", "text": "words"}
    words = verb.split()
    for one in VERBS[verb].get_params(typer.Context(VERBS[verb])):
        if one is param:
            words.append(value)
        elif one.param_type_name == "argument" and one.required:
            words.append(valid.get(one.name, "cc110000"))
    more = {
        "eval case": ["--out", "no-such-folder/case.md"],
        "annotate": ["--accept"],
        "lesson curve": ["--suite", "x"],
        "dataset export": ["--out", "x"],
    }
    more |= {"eval rate": ["--value", "1", "--sample", "x"]}
    return [*words, *more.get(verb, [])]


def test_there_is_something_to_go_through() -> None:
    assert len(LISTS) >= 7
    assert len(ARGUMENTS) >= 50


@EACH_ARGUMENT
def test_each_argument_that_names_something_is_completed(verb: str, param: Any, lab: Lab) -> None:
    names = offered(lab, verb, param, identity="cc11", before="cc11")
    assert names
    assert offered(lab, verb, param, names[0][:3], identity="cc11", before="cc11")
    assert offered(lab, verb, param, "no such thing", identity="cc11", before="cc11") == []


CHOICES = {
    ("dataset create", "keep"): get_args(selection.Keep),
    ("dataset create", "per_problem"): selection.PER_PROBLEM,
    ("dataset create", "no_drop"): selection.RULES,
    ("dataset control", "match"): get_args(control.Match),
    ("dataset export", "form"): exporting.FORMATS,
    ("dataset pairs", "source"): pairs.SOURCES,
    ("dataset pairs", "by"): get_args(pairs.By),
    ("eval samples", "outcome"): evaluations.OUTCOMES,
    ("eval table", "form"): render.FORMATS,
    ("filters ls", "of"): KINDS,
    ("import", "synthesis"): SYNTHESES,
}


@pytest.mark.parametrize(("verb", "name"), CHOICES)
def test_an_option_offers_the_choices_of_the_part_that_reads_it(verb: str, name: str) -> None:
    context = typer.Context(VERBS[verb])
    option = next(one for one in VERBS[verb].get_params(context) if one.name == name)
    words = "|".join(CHOICES[verb, name])
    assert option.get_help_record(context)[0].endswith((f"<{words}>", f"<list[{words}]>"))


def test_wait_is_completed_with_jobs_of_all_kinds(lab: Lab) -> None:
    argument = next(
        one for one in VERBS["runs wait"].get_params(typer.Context(VERBS["runs wait"])) if one.name == "jobs"
    )
    assert {"aa110000", "bb110000", "cc110000", "dd110000"} <= {*offered(lab, "runs wait", argument)}


def test_verbs_of_evaluations_take_a_name(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    about = lab.evals / "cc120000" / "about.json"
    about.write_text('{"name": "mine"}')
    for verb in ("figures", "samples", "calibrate"):
        assert run(["--lab", str(lab.root), "eval", verb, "mine"]) == 0, capsys.readouterr().err
    about.unlink()


@EACH_ARGUMENT
def test_a_beginning_that_several_have_names_them(
    verb: str, param: Any, lab: Lab, capsys: pytest.CaptureFixture[str]
) -> None:
    names = offered(lab, verb, param, identity="cc11", before="cc11")
    alike = twins([name for name in names if ":" not in name] or names, {"long"})
    if verb in FILTERS or alike is None or names[0] in ("smollm2-135m", "solver", "aime24", "debate-critic"):
        return  # these arguments are no ids
    if names[0].startswith("long"):
        alike = ("lon", ["long", "long-more"])
    assert run(["--lab", str(lab.root), *line(verb, param, alike[0])]) == 4
    said = capsys.readouterr().err
    assert "Candidates: " in said
    assert sum(name in said for name in alike[1]) >= 2


@pytest.mark.parametrize("verb", LISTS)
def test_each_list_has_headers_three_formats_and_the_lab_anywhere(
    verb: str, lab: Lab, capsys: pytest.CaptureFixture[str]
) -> None:
    words, place = verb.split(), ["--lab", str(lab.root)]
    shown = []
    for arguments in ([*place, *words], [words[0], *place, *words[1:]], [*words, *place]):
        assert run(arguments) == 0
        shown.append(capsys.readouterr().out)
    assert shown[0] == shown[1] == shown[2]
    header = shown[0].splitlines()[0]
    assert header == header.upper() and header.split()[0] in ("ID", "NAME")
    assert run([*place, *words, "--format", "table"]) == 0
    assert capsys.readouterr().out == shown[0]
    answers = []
    for option in (["--json"], ["--format", "json"], ["--format=json"]):
        assert run([*place, *words, *option]) == 0
        answer = json.loads(capsys.readouterr().out)
        for item in answer["items"]:
            item["age_s"] = None  # of runs: it grows between two lists
        answers.append(answer)
    assert answers[0] == answers[1] == answers[2]
    assert run([*place, *words, "--format", "csv"]) == 0
    table = list(csv.reader(io.StringIO(capsys.readouterr().out)))
    assert {*table[0]} | {"age_s"} == {*answers[0]["items"][0]}
    assert len(table) == len(answers[0]["items"]) + 1


@pytest.mark.parametrize("option", [["--json"], ["--format", "json"], ["--format=json"]])
def test_an_error_is_json_too(option: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["runs", "ls", "--lab", str(tmp_path / "none"), *option]) == 3
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "no_lab"


def test_a_trace_is_named_as_the_app_names_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The keys of traces often begin with the model's name, which the app shows in a column of its own."""

    def told(*arguments: str, status: int = 0) -> Any:
        assert run(["--lab", str(tmp_path / "lab"), *arguments, "--json"]) == status
        return json.loads(capsys.readouterr().out)

    init_lab(tmp_path / "lab")
    rows = [
        {
            "id": f"{model}__amc:{number}",
            "problem": f"Is {number} > 0?",
            "response": "<think>Yes.</think>",
            "model": model,
        }
        for model, number in (("m-1", 19), ("m-2", 19), ("m-1", 2))
    ]
    (tmp_path / "chains.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    told("import", str(tmp_path / "chains.jsonl"))
    assert told("traces", "show", "amc:2")["provenance"]["key"] == "m-1__amc:2"
    several = told("traces", "show", "amc:19", status=4)["error"]
    assert "  m-1  unverifiable  no decision\n" in several["hint"] and "  m-2  unverifiable" in several["hint"]
    assert told("traces", "show", "c:19", status=4)["error"]["message"].startswith("No trace")


def test_a_key_names_a_problem_its_tree_and_its_only_trace(lab: Lab, tmp_path: Path, ask: Callable[..., Any]) -> None:
    by_key = ask("problems", "show", "add:3")
    assert by_key == ask("problems", "show", "hand:add:3") == ask("problems", "show", by_key["id"][:9])
    assert ask("trees", "show", "s:4")["key"] == "s:4"
    several = ask("traces", "show", "add:3", status=4)["error"]
    assert "Several traces" in several["message"]
    named = [line for line in several["hint"].splitlines()[1:] if not line.startswith("and more")]
    traces = {one["id"]: one for one in ask("traces", "ls", "key:add:3")["items"]}
    assert several["hint"].startswith("Candidates: ") and len(named) > 1
    for line in named:  # which of them it is, can be seen
        identity, model, verdict, decision = line.split("  ")
        one = traces[identity]
        assert (model, verdict) == (one["model"], one["verdict"] or "not verified")
        assert decision == (one["decision"] or "no decision")
    assert ask("problems", "show", "add:nothing", status=4)["error"]["code"] == "not_found"
    assert ask("traces", "show", "add:nothing", status=4)["error"]["code"] == "not_found"


def test_a_key_and_a_beginning_of_an_id_are_not_guessed_between(tmp_path: Path) -> None:
    store = open_store(init_lab(tmp_path / "lab").database)
    with store.db.atomic():
        (first,) = problems.add(store.db, [NewProblem("One.", "a", "1")])
        (second,) = problems.add(store.db, [NewProblem("Two.", "a", first[:4])])
    with pytest.raises(Exception, match="Several problems") as failed:
        problems.resolve(store.db, first[:4])
    assert first in failed.value.hint and second in failed.value.hint  # type: ignore[attr-defined]
    assert problems.resolve(store.db, f"a:{first[:4]}").id == second
    assert problems.resolve(store.db, first[:5]).id == first
    store.close()


def test_a_key_does_not_give_way_to_an_id_that_begins_like_it(tmp_path: Path) -> None:
    store = open_store(init_lab(tmp_path / "lab").database)

    def tree_of(key: str) -> str:
        with store.db.atomic():
            (problem,) = problems.add(store.db, [NewProblem(f"Search for {key}.", "deep", key)])
            trees.add(store.db, [NewTree(problem, [{"id": "a", "text": key, "correct": True}], "finder", "deep", key)])
        return next(one.id for one in trees.page(store.db, problems.EVERYTHING) if one.problem_id == problem)

    first = tree_of("one")
    keyed = tree_of(first[:2])
    with pytest.raises(NotFoundError, match="Several trees") as told:
        trees.get(store.db, first[:2])
    assert first in told.value.hint and keyed in told.value.hint
    assert trees.get(store.db, f"deep:{first[:2]}").id == keyed
    assert trees.get(store.db, first).id == first == trees.get(store.db, first[:7]).id
    store.close()


def test_a_hash_in_full_or_in_part_names_a_dataset(lab: Lab, ask: Callable[..., Any]) -> None:
    found = ask("dataset", "show", "long")
    assert ask("dataset", "show", found["hash"][:6])["name"] == "long"
    assert "long-more" in ask("dataset", "show", "long-", status=4)["error"]["hint"]


def complete(shell: str, lab: Lab, *words: str) -> subprocess.CompletedProcess[str]:
    """Ask the installed program as a shell does."""
    given = " ".join(["o1lab", *words])
    env = os.environ | {"_O1LAB_COMPLETE": f"complete_{shell}", "O1LAB_LAB": str(lab.root)}
    env |= {"COMP_WORDS": given, "COMP_CWORD": str(len(words)), "_TYPER_COMPLETE_ARGS": given}
    env |= {"_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    program = Path(sysconfig.get_path("scripts")) / "o1lab"
    return subprocess.run([program], env=env, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (("runs", "show", "aa"), ["aa110000", "aa120000"]),
        pytest.param(("distill", "show", "bb"), ["bb110000", "bb120000"], marks=pytest.mark.exhaustive),
        pytest.param(("eval", "show", "cc12"), ["cc120000"], marks=pytest.mark.exhaustive),
        (("eval", "sample", "cc11", "add:3"), ["add:3"]),
        pytest.param(("dataset", "show", "long-"), ["long-more"], marks=pytest.mark.exhaustive),
        (("train", "--dataset", "long-"), ["long-more"]),
        (("eval", "run", "math50"), ["math500"]),
        (("distill", "--endpoint", "sol"), ["solver"]),
        (("problems", "show", "add:1"), [f"add:{at}" for at in (1, *range(10, 20))]),
    ],
)
def test_a_shell_completes(lab: Lab, words: tuple[str, ...], names: list[str]) -> None:
    assert sorted(complete("bash", lab, *words).stdout.split()) == sorted(names)


def test_completion_imports_little_and_names_nothing_outside_a_lab(lab: Lab, tmp_path: Path) -> None:
    code = (
        "import sys\nfrom o1lab.cli.main import run\nsys.argv[0] = 'o1lab'\n"
        "heavy = {'torch', 'textual', 'openai', 'rich', 'numpy', 'yaml'}\n"
        "try:\n    run([])\nfinally:\n    print('HEAVY', heavy & {*sys.modules})"
    )
    env = os.environ | {"_O1LAB_COMPLETE": "complete_bash", "COMP_WORDS": "o1lab traces show ", "COMP_CWORD": "3"}
    here = {"env": env | {"O1LAB_LAB": str(lab.root)}, "capture_output": True, "text": True, "timeout": 60}
    done = subprocess.run([sys.executable, "-c", code], **here)  # type: ignore[call-overload]
    assert "HEAVY set()" in done.stdout and len(done.stdout.split()) > 20
    empty = complete("bash", Lab(tmp_path), "traces", "show", "")
    assert (empty.stdout.strip(), empty.stderr) == ("", "")


def test_no_text_of_a_file_reaches_the_shell(tmp_path: Path) -> None:
    r"""zsh evaluates the descriptions: typer escapes ``$``, but not the backslash before it."""
    lab = init_lab(tmp_path / "lab")
    store = open_store(lab.database)
    bad = "\\$(touch owned) `touch owned` \"; touch owned; ''\x1b[2J \n"
    with store.db.atomic():
        problems.add(store.db, [NewProblem(f"{bad} {at}", "x", f"$(touch owned){at}") for at in range(3)])
        problems.add(store.db, [NewProblem("Good.", "x", "good-key")])
    store.close()
    for shell in ("bash", "zsh", "fish"):
        out = complete(shell, lab, "problems", "show", "").stdout
        assert "good-key" in out
        assert not set("`;\x1b") & set(out) and "$" not in out and "\\" not in out.replace("\\\\:", "")


def test_the_table_of_commands_is_what_their_modules_have() -> None:
    for part, names in PARTS.items():
        found = program([names[0]])
        assert tuple(found.commands) == names, part
        assert found.commands.keys() < PROGRAM.commands.keys()


@pytest.mark.parametrize("words", [[], ["--help"], ["--lab", "traces"], ["trace"], ["--version"], ["--lab"]])
def test_without_a_known_command_all_are_there(words: list[str]) -> None:
    assert list(program(words).commands) == list(PROGRAM.commands)


@pytest.mark.parametrize("before", [[], ["--lab", "runs"], ["--lab=runs"], ["--fresh"]])
def test_one_command_imports_only_its_module(before: list[str]) -> None:
    code = f"import sys; from o1lab.cli.verbs import program; program({[*before, 'filters', 'ls', 'runs']!r}); "
    code += "print([name for name in sys.modules if name in ('o1lab.cli.filters', 'o1lab.cli.train')])"
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['o1lab.cli.filters']"
