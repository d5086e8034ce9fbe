"""Options that all commands share: each command has them, and they are read from the invocation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer

from o1lab.cli.base.command import Verbs
from o1lab.cli.base.output import emit, invocation, invoked
from o1lab.cli.jobs.verbs import REQUESTS
from o1lab.cli.main import run
from o1lab.config import init_lab
from o1lab.jobs.preparing import CHANGEABLE


def invocation_of(verbs: Verbs, *arguments: str) -> Any:
    """Run a command line and return its invocation."""
    with invoked() as one:
        verbs(list(arguments), standalone_mode=False)
        return one


def test_a_command_has_them_without_naming_them(capsys: pytest.CaptureFixture[str]) -> None:
    verbs = Verbs()

    @verbs.command("look", lists=True)
    def look(what: str) -> None:
        emit({"what": what}, text=["Seen:", what])

    plain = invocation_of(verbs, "sky")
    assert capsys.readouterr().out == "Seen:\nsky\n"
    given = invocation_of(verbs, "sky", "--json", "--lab", "here", "--format", "csv")
    assert json.loads(capsys.readouterr().out) == {"what": "sky"}
    assert (plain.lab_dir, plain.as_json, plain.form) == (None, False, None)
    assert (given.lab_dir, given.as_json, given.form) == (Path("here"), True, "csv")


def test_text_is_made_only_if_it_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with invoked() as one:
        one.as_json = True
        emit({"a": 1}, text=lambda: pytest.fail("made"))
    assert capsys.readouterr().out == '{"a": 1}\n'


def test_an_option_of_the_command_replaces_the_shared_one() -> None:
    verbs = Verbs()
    seen: list[str] = []

    @verbs.command("write", lists=True)
    def write(form: Annotated[str, typer.Option("--format")] = "md") -> None:
        seen.append(form)

    assert invocation_of(verbs, "--format", "tex").form is None
    assert seen == ["tex"]


def test_the_lab_is_named_before_or_after_the_verb(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    init_lab(tmp_path / "a")
    for arguments in (["--lab", str(tmp_path / "a"), "runs", "ls"], ["runs", "ls", "--lab", str(tmp_path / "a")]):
        assert run([*arguments, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["items"] == []
    assert run(["runs", "ls", "--lab", str(tmp_path / "b"), "--json"]) == 3


def test_an_invocation_ends_with_its_command(tmp_path: Path) -> None:
    assert run(["runs", "ls", "--lab", str(tmp_path), "--json"]) == 3
    assert not invocation().as_json
    assert invocation().lab_dir is None


def test_a_resume_offers_the_settings_that_may_change() -> None:
    assert REQUESTS == CHANGEABLE
