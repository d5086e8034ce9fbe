"""Each error code of the program is provoked by a test."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeGuard

import pytest

from o1lab.config import ClusterConfig, init_lab, load_config
from o1lab.demo import headless
from o1lab.demo.seed import seed_demo
from o1lab.errors import O1LabError, RefusedError
from o1lab.evaluate.run import measure as measuring
from o1lab.inference.engines.ray import connect
from o1lab.models import student
from o1lab.models.base import resolve_base
from o1lab.paths import Lab
from o1lab.serve import vllm, web
from o1lab.serve.registry import ModelRef, open_model
from o1lab.small_files import read_text
from o1lab.train import launch
from o1lab.train.parent_run import origin
from o1lab.train.preflight.report import inspect_run
from o1lab.train.recipes.recipe import Recipe
from o1lab.train.rows import read_rows
from o1lab.train.runs.directory import RunDir
from o1lab.transparency.report import pdf
from store.errors import explained
from tests.support.fake_runs import write_run
from tests.support.lab_seed import seeded_context
from tests.support.tempers import TEMPERS

ROOT = Path(__file__).parents[2]
Patch = pytest.MonkeyPatch
NOT_PROVOKED = {
    "environment": "the default of the base class: every error has a code of its own or its subclass's",
}
"""Codes without a test, with the reason."""


def _texts(node: ast.AST) -> Iterator[str]:
    """The values of a literal, or of both branches of a conditional expression."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.IfExp):
        yield from _texts(node.body)
        yield from _texts(node.orelse)


_Nodes = list[ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef | ast.keyword | ast.Assign | ast.Call]


def _nodes(file: Path) -> _Nodes:
    """What may have a code in a file."""
    kinds = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef | ast.keyword | ast.Assign | ast.Call
    return [node for node in ast.walk(ast.parse(file.read_text("utf-8"))) if isinstance(node, kinds)]


def _positions(nodes: _Nodes) -> Iterator[tuple[str, int]]:
    """The place of the argument ``code`` of each function, method and class with fields that has one.

    A class method is named with its class, other methods with a dot.
    """
    for node in nodes:
        if isinstance(node, ast.ClassDef):
            fields = [one.target.id for one in node.body if isinstance(one, ast.AnnAssign) and _is_name(one.target)]
            if "code" in fields:
                yield node.name, fields.index("code")
            for method in node.body:
                if isinstance(method, ast.FunctionDef | ast.AsyncFunctionDef) and "code" in (
                    names := _arguments(method)
                ):
                    own = any(ast.unparse(one) == "classmethod" for one in method.decorator_list)
                    name = f"{node.name}.{method.name}" if own else f".{method.name}"
                    yield node.name if method.name == "__init__" else name, names.index("code") - 1
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            names = _arguments(node)
            if "code" in names and names[0] not in ("self", "cls"):
                yield node.name, names.index("code")


def _is_name(node: ast.expr) -> TypeGuard[ast.Name]:
    return isinstance(node, ast.Name)


def _arguments(function: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    return [one.arg for one in (*function.args.posonlyargs, *function.args.args)]


def _called(call: ast.Call) -> list[str]:
    """The names under which a called function may be in the table of :func:`_positions`."""
    whole = ast.unparse(call.func)
    if whole.startswith("log."):  # a warning of a log has no code
        return []
    return [whole, "." + whole.rpartition(".")[2]] if isinstance(call.func, ast.Attribute) else [whole]


def _codes(nodes: _Nodes, positions: Mapping[str, int]) -> Iterator[str]:
    """The values of ``code="..."`` in calls and of ``code = "..."``, and of arguments at the place of ``code``."""
    own = {**positions, **dict(_positions(nodes))}
    for node in nodes:
        if isinstance(node, ast.keyword | ast.Assign):
            names = [node.arg] if isinstance(node, ast.keyword) else map(ast.unparse, node.targets)
            yield from _texts(node.value) if "code" in names else ()
        elif isinstance(node, ast.Call):
            at = next((own[name] for name in _called(node) if name in own), None)
            yield from _texts(node.args[at]) if at is not None and at < len(node.args) else ()


_ASSERTED = re.compile(r"\bcodes?\b|\bfaults\b|\bstopped_by\b|\breasons?\b")


def _asserted(tree: ast.Module) -> Iterator[str]:
    """The texts with which the asserts and parameters of tests compare codes, including those of tables they name."""
    tables: dict[str, ast.AST] = {}
    for statement in tree.body:
        if isinstance(statement, ast.Assign | ast.AnnAssign) and statement.value:
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            value = statement.value
            table = ast.Tuple([key for key in value.keys if key]) if isinstance(value, ast.Dict) else value
            tables |= {target.id: table for target in targets if isinstance(target, ast.Name)}
    for test in tree.body:
        if not isinstance(test, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        asserts = [node for node in ast.walk(test) if isinstance(node, ast.Assert)]
        asserts = [node for node in asserts if _ASSERTED.search(ast.unparse(node))]
        if not asserts:
            continue
        loops = [node.iter for node in ast.walk(test) if isinstance(node, ast.For)]
        places: list[ast.AST] = [*asserts, *test.decorator_list, *loops]
        named = {node.id for place in places for node in ast.walk(place) if isinstance(node, ast.Name)}
        places += [tables[name] for name in sorted(named & tables.keys())]
        for place in places:
            yield from (text for node in ast.walk(place) for text in _texts(node))


def test_each_code_is_provoked_by_a_test() -> None:
    files = [_nodes(file) for part in ("o1lab", "store") for file in (ROOT / part).rglob("*.py")]
    found = (pair for nodes in files for pair in _positions(nodes))
    shared = {name: at for name, at in found if not name.lstrip(".").startswith("_")}  # others only in their own file
    codes = {code for nodes in files for code in _codes(nodes, shared)}
    assert len(codes) > 110, "the codes are written otherwise: correct _codes"
    tests = [file.read_text("utf-8") for file in (ROOT / "tests").rglob("test_*.py")]
    provoked = {text for test in tests if _ASSERTED.search(test) for text in _asserted(ast.parse(test))}
    provoked |= {temper.code for temper in TEMPERS.values()}  # each is sent in test_transport.py
    left = sorted(codes - provoked)
    assert left == sorted(NOT_PROVOKED)


# --- provocations of the codes that no other test asserts --------------------------------------------


def _adapter(folder: Path, patch: Patch) -> None:
    (folder / "adapter_config.json").write_text('{"r": 8, "modules_to_save": ["lm_head"]}')
    vllm._rank([folder])


def _ray_without_gpus(_folder: Path, patch: Patch) -> None:
    data = SimpleNamespace(DataContext=SimpleNamespace(get_current=SimpleNamespace))
    fake = {"data": data, "init": lambda *_, **__: None, "cluster_resources": dict, "shutdown": lambda: None}
    patch.setitem(sys.modules, "ray", SimpleNamespace(**fake))  # type: ignore[arg-type]  # in place of the module
    patch.setitem(sys.modules, "ray.data", data)  # type: ignore[arg-type]  # in place of the module
    connect(ClusterConfig(), 1)


def _no_ray(_folder: Path, patch: Patch) -> None:
    patch.setitem(sys.modules, "ray", None)  # type: ignore[arg-type]  # None makes the import fail
    connect(ClusterConfig(), 0)


def _config(folder: Path, _patch: Patch) -> None:
    lab = init_lab(folder / "lab")
    lab.config.write_text("[nonsense]\n")
    load_config(lab)


def _convert(folder: Path, patch: Patch) -> None:
    patch.setattr(sys, "executable", "/bin/false")
    student._convert(folder / "x.gguf", folder / "student", lambda _line: None)


def _cache(folder: Path, patch: Patch) -> None:
    (folder / "file").write_text("")
    patch.setenv("O1LAB_CACHE", str(folder / "file"))
    patch.setattr(student, "require_train_extra", lambda *_: None)
    resolve_base(student.STUDENT)


def _cancelled(folder: Path, patch: Patch) -> None:
    program = folder / "python"
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(0o755)
    patch.setattr(sys, "executable", str(program))
    inspect_run(RunDir(folder / "run"), cancelled=lambda: True)


def _preflight(folder: Path, patch: Patch) -> None:
    patch.setattr(sys, "executable", "/bin/false")
    inspect_run(RunDir(folder / "run"))


def _no_rows(folder: Path, _patch: Patch) -> None:
    (folder / "data.jsonl").write_text("")
    read_rows(folder / "data.jsonl")


def _starts_from(folder: Path, state: str, base: str) -> None:
    lab = init_lab(folder / "lab")
    write_run(lab.runs, "aaaa0001", state, recipe=Recipe(dataset="d", base=base))
    origin(lab, Recipe(dataset="d", base="mine", init_from="aaaa0001/end"))


async def _gone(_folder: Path, _patch: Patch) -> None:
    await open_model(ModelRef("12/m", "student", "m", "server"))


def _init_missing(folder: Path, _patch: Patch) -> None:
    compute = pytest.importorskip("o1lab.train.trainer.compute", reason="the train extra is not installed")
    compute.init_checkpoint(Recipe(dataset="d", init_from="aaaa/step-1"), folder)


def _not_a_model(folder: Path, _patch: Patch) -> None:
    (folder / "file").write_text("")
    resolve_base(str(folder / "file"))


def _name_taken(folder: Path, _patch: Patch) -> None:
    from store import datasets
    from store.filters import TraceQuery

    db = seeded_context(folder / "lab", 4).store.db
    datasets.create(db, "good", TraceQuery())
    datasets.create(db, "good", TraceQuery(), phase=1)


def _no_pip(_folder: Path, patch: Patch) -> None:
    patch.setattr("importlib.util.find_spec", lambda _name: None)
    patch.setattr("shutil.which", lambda _name: None)
    student._pip()


def _no_terminal(folder: Path, patch: Patch) -> None:
    from o1lab.app import run_app

    patch.setattr(sys, "stdin", SimpleNamespace(isatty=lambda: False))
    run_app(Lab(folder))


def _no_trainer(_folder: Path, patch: Patch) -> None:
    patch.setattr("importlib.util.find_spec", lambda _name: None)
    launch.require_trainer()


def _not_a_demo(folder: Path, _patch: Patch) -> None:
    seeded_context(folder / "lab", 2).store.close()
    seed_demo(folder / "lab")


async def _evaluation(folder: Path, patch: Patch) -> None:
    async def failed(*_: Any, **__: Any) -> Any:
        return SimpleNamespace(state="failed", failed=0, message="No key.", hint="Set it.")

    started = SimpleNamespace(id="e1", settings=lambda: SimpleNamespace(model="m", suite="sums"))
    control = SimpleNamespace(read_settings=lambda *_: None, start=lambda *_: started)
    patch.setattr(measuring, "control", control)
    patch.setattr(measuring, "EvaluationRunner", lambda *_, **__: SimpleNamespace(work=failed))
    manager: Any = None
    await measuring.measure(Lab(folder), "sums", "m", manager)


async def _training(folder: Path, patch: Patch) -> None:
    run = write_run(folder, "aaaa0001", "failed", message="The disk is full.")
    patch.setattr(headless.launch, "launch", lambda *_: (run, None))
    seeded: Any = SimpleNamespace(lab=Lab(folder))
    await headless._train(seeded, Recipe(dataset="d"), lambda _line: None)


def _vllm_ended(_folder: Path, _patch: Patch) -> None:
    with subprocess.Popen(["/bin/false"]) as child:
        vllm._wait_ready(child, 1, 60, deque(["No GPU."]))


def _sqlite(message: str, kind: str = "OperationalError") -> None:
    import sqlite3

    with explained(Path("lab.db")):
        raise getattr(sqlite3, kind)(message)


def _no_browser(_folder: Path, patch: Patch) -> None:
    patch.setattr("shutil.which", lambda _name: None)
    pdf.find_browser()


PROVOKED: dict[str, Callable[[Path, Patch], Any]] = {
    "adapter": _adapter,
    "adapter_of_other_base": lambda folder, _: _starts_from(folder, "running", "other"),
    "browser": lambda folder, _: pdf.print_pdf("/bin/false", folder / "page.html", folder / "page.pdf"),
    "busy": lambda *_: _sqlite("database is locked"),
    "cache": _cache,
    "cancelled": _cancelled,
    "config": _config,
    "convert": _convert,
    "disk_full": lambda *_: _sqlite("database or disk is full"),
    "empty_dataset": _no_rows,
    "evaluation": _evaluation,
    "gone": _gone,
    "init_missing": _init_missing,
    "model": _not_a_model,
    "name_taken": _name_taken,
    "no_browser": _no_browser,
    "no_gpu": _ray_without_gpus,
    "no_pip": _no_pip,
    "no_ray": _no_ray,
    "no_terminal": _no_terminal,
    "no_train_extra": lambda *_: student.require_train_extra("It", ("no_such_package",)),
    "no_trainer": _no_trainer,
    "no_vllm": lambda folder, _: vllm.vllm_command(str(folder / "none")),
    "not_a_demo": _not_a_demo,
    "origin_ended": lambda folder, _: _starts_from(folder, "failed", "mine"),
    "port": lambda *_: web.listen_for_web(99_999, None),
    "preflight": _preflight,
    "store": lambda *_: _sqlite("file is not a database", "DatabaseError"),
    "training": _training,
    "unreadable": lambda folder, _: read_text(folder / "none"),
    "unwritable": lambda *_: _sqlite("attempt to write a readonly database"),
    "vllm": _vllm_ended,
}


@pytest.mark.parametrize("code", PROVOKED)
async def test_the_error_has_its_code_and_a_message(code: str, tmp_path: Path, monkeypatch: Patch) -> None:
    with pytest.raises(O1LabError) as caught:
        if waits := PROVOKED[code](tmp_path, monkeypatch):
            await waits
    assert (caught.value.code, caught.value.as_json()["error"]["code"]) == (code, code)
    assert caught.value.message
    refused = {"adapter_of_other_base", "empty_dataset", "not_a_demo", "origin_ended"}
    assert isinstance(caught.value, RefusedError) == (code in refused)
