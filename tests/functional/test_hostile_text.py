"""Text of others never acts on the terminal: every verb that prints it, and every screen and dialog that shows it."""

from __future__ import annotations

import json

import pytest
from textual.app import App
from textual.drivers.headless_driver import HeadlessDriver
from textual.widgets import Input

from o1lab.app import MODES, LabApp
from o1lab.cli.main import run
from o1lab.paths import Lab
from o1lab.widgets.dialogs import PreviewDialog, PromptDialog
from screens.base.context import open_context
from screens.traces.screen import TracesScreen
from store import annotations, open_store
from tests.support.compare_lab import until
from tests.support.hostile_lab import GROUP, HOSTILE, WORK, drawn, forbidden, make_hostile_lab

VERBS = (
    "doctor", "traces ls", "traces show TRACE", "traces search markup", "problems ls", "problems show PROBLEM",
    "problems rules", "problems filter --dry-run", "dataset ls", "distill ls", "distill prompts", "runs ls",
    "runs show aaaa-1", "runs watch aaaa-1", "runs show GROUP", "runs stop GROUP",
    "lesson aaaa-1", "eval ls", "eval show 11fe0003", "eval samples 57ade002", "eval table",
    "eval suites", "eval figures 57ade002", "eval plot 57ade002", "chat hi -m nobody", "distill -e nobody",
    "import HOSTILE", "tti", "tti --self --history", "tti WORK", "report --accept-terms",
)  # fmt: skip


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    return make_hostile_lab(tmp_path_factory.mktemp("hostile") / "lab")


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the app writes to the terminal."""
    parts: list[str] = []
    monkeypatch.setattr(App, "is_headless", False)
    monkeypatch.setattr(HeadlessDriver, "write", lambda _self, data: parts.append(data))
    return parts


@pytest.mark.parametrize("as_json", [False, True], ids=["text", "json"])
@pytest.mark.parametrize("verb", VERBS)
def test_no_verb_prints_what_a_terminal_obeys(
    lab: Lab, verb: str, as_json: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    store = open_store(lab.database)
    trace, problem = store.db.execute("SELECT id, problem_id FROM traces").fetchone()
    store.close()
    names = {
        "TRACE": trace,
        "PROBLEM": problem,
        "HOSTILE": HOSTILE.replace("\x00", "").replace("\ud800", ""),
        "WORK": WORK,
        "GROUP": GROUP,
    }
    arguments = [names.get(word, word) for word in verb.split()]
    status = run(["--lab", str(lab.root), *arguments, *(["--json"] if as_json else [])])
    out, err = capsys.readouterr()
    assert "Something went wrong" not in out + err and "No such" not in err, err
    assert out or err
    assert not forbidden((out if not as_json else out.replace("\u0335", "")) + err)
    if as_json and status != 2:
        json.loads(out)


@pytest.mark.parametrize("mode", [mode.name for mode in MODES])
async def test_no_screen_writes_what_a_terminal_obeys(lab: Lab, mode: str, written: list[str]) -> None:
    app = LabApp(open_context(lab), mode=mode)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: "markup" in drawn(pilot) or mode in ("lab", "compare"), "the hostile text")
        await pilot.press("j", "enter", "question_mark")
        await pilot.pause()
        await pilot.press("escape", "ctrl+p", *"markup")
        await pilot.pause()
    assert "\x1b[" in "".join(written)
    assert not forbidden("".join(written))


async def test_the_comparison_of_a_group_draws_its_names(lab: Lab, written: list[str]) -> None:
    app = LabApp(open_context(lab), mode="train")
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: "markup" in drawn(pilot), "the run")
        await pilot.press("b")
        await until(pilot, lambda: isinstance(app.screen, PreviewDialog), "the comparison")
        await pilot.pause()
        assert "1 run, 1 failed" in drawn(pilot)
    assert not forbidden("".join(written))


async def test_the_tags_dialog_draws_stored_text_and_changes_nothing(lab: Lab, written: list[str]) -> None:
    app = LabApp(open_context(lab), mode="traces")
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: isinstance(app.screen, TracesScreen) and app.screen.shown is not None, "the chain")
        await pilot.press("t")
        await until(pilot, lambda: isinstance(app.screen, PromptDialog), "the dialog")
        line = app.screen.query_one(Input)
        assert "\x1b]52" in line.value
        await pilot.press("home")
        await pilot.pause()
        assert "ok␛]52;c;" in drawn(pilot)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, TracesScreen), "the screen below")
        await app.workers.wait_for_complete()
    assert not forbidden("".join(written))
    store = open_store(lab.database)
    assert [one.kind for one in annotations.everything(store.db)] == ["tag", "note", "decision", "span"]
    store.close()
