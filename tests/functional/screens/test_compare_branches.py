"""Branches in Compare: an answer is cut or changed and a model goes on, versions are walked, prompts asked again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from textual.document._document import Document
from textual.pilot import Pilot
from textual.widgets import OptionList

from o1lab.chains import parse
from o1lab.chat.prefixes import Prefix, written_by
from o1lab.paths import Lab
from o1lab.serve.registry import ModelRef
from screens.base.context import open_context
from screens.compare.branches import TreeDialog
from screens.compare.edit_dialog import EditDialog, begun, boundaries, with_line_ends
from screens.compare.screen import CompareScreen
from screens.traces.screen import TracesScreen
from store import open_store, problems, traces
from store.conversations import Span
from store.records import NewProblem, NewTrace
from tests.support.compare_lab import Recording, answered, ask, comparing, lab_with, saved, shown, text_of, until
from tests.support.fault_server import FaultServer

QUESTION = "What is 964 + 494?"
SOLVER = ("solver",)


@pytest.fixture
def hosted() -> Iterator[FaultServer]:
    with FaultServer() as server:
        yield server


@pytest.fixture
def lab(tmp_path: Path, hosted: FaultServer) -> Lab:
    return lab_with(tmp_path / "lab", {"hosted": hosted})


async def opened(pilot: Pilot[int], screen: CompareScreen) -> EditDialog:
    screen.panes.focus_current()
    await pilot.press("ctrl+e")
    await until(pilot, lambda: isinstance(pilot.app.screen, EditDialog), "the dialog")
    dialog = pilot.app.screen
    assert isinstance(dialog, EditDialog)
    await until(pilot, lambda: len(dialog.models) > 1, "the models of the lab")
    return dialog


async def test_a_changed_carry_changes_what_follows_and_both_answers_are_versions(lab: Lab) -> None:
    async with comparing(lab, SOLVER) as (pilot, screen):
        await ask(pilot, screen, QUESTION)
        await answered(pilot, screen)
        first = saved(lab)[-1]
        assert first.raw is not None and "\\boxed{1458}" in first.content
        dialog = await opened(pilot, screen)
        at = dialog.text.index("Tens")
        dialog.put_cursor(at)
        await pilot.press(*"Hm")
        assert "changed" in shown(pilot) and "are left out" in shown(pilot)
        await pilot.press("ctrl+r")
        await until(pilot, lambda: pilot.app.screen is screen, "the screen")
        await answered(pilot, screen)
        (question, before, after) = saved(lab)
        assert (question.pane, before.shown, after.shown) == (None, False, True)
        assert after.raw is not None and after.raw.startswith(first.raw[:at] + "Hm")
        assert [(span.kind, span.name) for span in after.spans] == [
            ("model", "solver"), ("person", screen.context.annotator), ("model", "solver"),
        ]  # fmt: skip
        assert "2/2" in shown(pilot) and "written by solver 0" in text_of(screen, 0)
        await pilot.press("<")
        await until(pilot, lambda: "1/2" in shown(pilot), "the first version")
        assert "Hm" not in text_of(screen, 0)
        assert [one.id for one in saved(lab, branches=False)] == [question.id, before.id]
        await pilot.press(">")
        await until(pilot, lambda: "2/2" in shown(pilot), "the second version")


async def test_a_hosted_model_is_refused_with_the_text_kept(lab: Lab) -> None:
    async with comparing(lab, SOLVER) as (pilot, screen):
        await ask(pilot, screen, QUESTION)
        await answered(pilot, screen)
        dialog = await opened(pilot, screen)
        dialog.put_cursor(20)
        await pilot.press(*"mine", "tab")
        models = dialog.query_one(OptionList)
        assert models.has_focus
        models.highlighted = next(at for at, ref in enumerate(dialog.models) if ref.id == "hosted")
        await pilot.press("ctrl+r")
        await until(pilot, lambda: "cannot continue" in str(dialog.query_one("#message").render()), "the refusal")
        assert dialog.text[20:24] == "mine" and len(saved(lab)) == 2
        await pilot.press("escape")
        await until(pilot, lambda: "Discard the changed text?" in shown(pilot), "the question")
        await pilot.press("n")
        await until(pilot, lambda: pilot.app.screen is dialog, "the dialog again")
        assert dialog.text[20:24] == "mine"


async def test_a_cut_inside_a_command_moves_to_its_start_and_says_so(lab: Lab) -> None:
    async with comparing(lab, SOLVER) as (pilot, screen):
        await ask(pilot, screen, QUESTION)
        await answered(pilot, screen)
        dialog = await opened(pilot, screen)
        at = dialog.text.index("\\boxed")
        dialog.put_cursor(at + 3)
        await pilot.press("ctrl+r")
        await until(
            pilot, lambda: "LaTeX command \\boxed" in str(dialog.query_one("#message").render()), "the sentence"
        )
        assert dialog.at == at
        await pilot.press("ctrl+up")
        end = dialog.at
        assert end < at
        await pilot.press("ctrl+r")
        await until(pilot, lambda: pilot.app.screen is screen, "the screen")
        await answered(pilot, screen)
        first, continued = (one for one in saved(lab) if one.pane is not None)
        assert (continued.raw or "").startswith((first.raw or "")[:end]) and "\\boxed{1458}" in continued.content


async def test_an_earlier_prompt_is_called_back_and_asked_instead(lab: Lab) -> None:
    async with comparing(lab, SOLVER) as (pilot, screen):
        for question in (QUESTION, "What is 100 + 200?"):
            await ask(pilot, screen, question)
            await answered(pilot, screen)
        screen.prompt.focus()
        await pilot.press(*"draft", "up", "up")
        assert screen.prompt.text == QUESTION
        await pilot.press("up")
        assert screen.prompt.text == QUESTION, "there is none before the first"
        await pilot.press("down", "down")
        assert (screen.prompt.text, screen.prompt.recalled) == ("draft", None)
        await pilot.press("up", "up")
        assert "ctrl+b asks it instead" in shown(pilot)
        screen.prompt.text = "What is 111 + 222?"
        await pilot.press("ctrl+b")
        await until(pilot, lambda: screen.controller.turn == 3, "the new question")
        await answered(pilot, screen)
        assert "What is 100 + 200?" not in text_of(screen, 0) and "\\boxed{333}" in text_of(screen, 0)
        assert screen.prompt.text == ""
        screen.panes.focus_current()
        await pilot.press("<")
        await until(pilot, lambda: "\\boxed{300}" in text_of(screen, 0), "the other branch to its end")
        await pilot.press("H")
        await until(pilot, lambda: isinstance(pilot.app.screen, TreeDialog), "the tree")
        await until(pilot, lambda: "111 + 222" in shown(pilot), "its lines")
        await pilot.press(*"boxed{333", "enter")
        await until(pilot, lambda: "\\boxed{333}" in text_of(screen, 0), "the branch of that answer")


async def test_editing_an_answer_of_an_earlier_turn_begins_a_branch_there(lab: Lab) -> None:
    async with comparing(lab, SOLVER) as (pilot, screen):
        for question in (QUESTION, "What is 100 + 200?"):
            await ask(pilot, screen, question)
            await answered(pilot, screen)
        screen.panes.focus_current()
        await pilot.press("H")
        await until(pilot, lambda: "boxed{1458}" in shown(pilot), "the tree")
        await pilot.press(*"boxed{1458", "ctrl+e")
        await until(pilot, lambda: isinstance(pilot.app.screen, EditDialog), "the dialog")
        dialog = pilot.app.screen
        assert isinstance(dialog, EditDialog)
        dialog.put_cursor(dialog.text.index("Tens"))
        await pilot.press("ctrl+r")
        await until(pilot, lambda: pilot.app.screen is screen, "the screen")
        await answered(pilot, screen)
        assert screen.controller.turn == 1 and "100 + 200" not in text_of(screen, 0)
        assert len([one for one in saved(lab) if one.pane is None]) == 2, "the second question stays on its branch"


async def test_a_chain_of_the_traces_is_opened_and_a_model_goes_on(tmp_path: Path) -> None:
    lab = lab_with(tmp_path / "lab", {})
    store = open_store(lab.database)
    raw = "<think>\nOnes: 4 + 4 = 8.\n\nWait, let me check the tens.\n\nTens: 6 + 9 = 15.\n</think>\n\n\\boxed{1358}"
    problem = NewProblem(QUESTION, "test", key="sum")
    parsed = parse.parse(raw)
    made = NewTrace(
        problem.id, "sky", raw, parsed.thought or (0, 0), parsed.solution or (0, 0), True, parsed.format, "test",
        key="sum", context=({"role": "system", "content": "Add."}, {"role": "user", "content": QUESTION}),
    )  # fmt: skip
    with store.db.atomic():
        problems.add(store.db, [problem])
        traces.add(store.db, [(made, QUESTION)])
    store.close()
    app = Recording(open_context(lab), mode="traces")
    async with app.run_test(size=(100, 30)) as pilot:
        reading = app.screen
        assert isinstance(reading, TracesScreen)
        await until(pilot, lambda: reading.shown is not None, "the chain")
        await pilot.press("tab", "]")
        await pilot.press("ctrl+e")
        await until(pilot, lambda: isinstance(app.screen, EditDialog), "the dialog in Compare")
        dialog = app.screen
        assert isinstance(dialog, EditDialog)
        await until(pilot, lambda: dialog.is_mounted and dialog.at > 0, "the cursor")
        await until(pilot, lambda: "solver" in [ref.id for ref in dialog.models], "the models")
        assert raw[: dialog.at].endswith(("8.\n\n", "tens.\n\n"))
        models = dialog.query_one(OptionList)
        models.highlighted = [ref.id for ref in dialog.models].index("solver")
        await pilot.press("ctrl+r")
        await until(pilot, lambda: isinstance(app.screen, CompareScreen), "Compare")
        screen = app.screen
        assert isinstance(screen, CompareScreen)
        await answered(pilot, screen)
        assert "2/2" in shown(pilot) and "\\boxed{1458}" in text_of(screen, 0)
        await pilot.press("escape", "<")
        await until(pilot, lambda: "\\boxed{1358}" in text_of(screen, 0), "the chain itself")
        controller = screen.controller
        identity = controller.session.record.id
        await controller.begin(controller.refs)
        assert controller.settings.system is None, "the chain's system prompt is its conversation's alone"
        await controller.reopen(identity)
        assert controller.settings.system == "Add."
    (question, chain, continued) = saved(lab)
    assert (question.content, chain.raw) == (QUESTION, raw)
    assert continued.settings["system"] == "Add."
    assert [span.name for span in continued.spans] == ["sky", "solver"]


def test_what_is_inserted_is_the_persons_also_where_the_same_words_follow() -> None:
    text = "Tens: 6 + 9 = 15.\nWait, the tens carry 1.\n"
    at = text.index("Wait")
    inserted = "Tens: 15, carry 1. "
    made = begun(Prefix(text, written_by(text, "m")), text[:at] + inserted + text[at:], at + len(inserted), "anna")
    assert made.spans == (Span(0, at, "model", "m"), Span(at, at + len(inserted), "person", "anna"))


ODD = "<think>\r\nOne.\nTwo.\u2028Three.\x0cFour.\n</think>\x85Five.\u2028"


@pytest.mark.parametrize("text", [ODD, ODD + "\n", "a\r\nb\n", "\n", "", "a\r", "a\u2028"])
def test_lines_of_an_unchanged_text_keep_their_ends(text: str) -> None:
    lines = with_line_ends(text, tuple(Document(text).lines))
    assert "".join(lines) == text


@pytest.mark.parametrize(
    ("old", "new"), [("Two.", "Two and a half."), ("Two.", "2.\nAnd a half."), ("One.\nTwo.\u2028", "")]
)
def test_lines_around_a_change_keep_their_ends(old: str, new: str) -> None:
    changed = ODD.replace(old, new)
    lines = with_line_ends(ODD, tuple(Document(changed).lines))
    assert "".join(lines) == changed


async def test_odd_line_ends_are_no_change(lab: Lab) -> None:
    gone: list[Prefix] = []
    whole = Prefix(ODD, written_by(ODD, "solver"))

    async def more() -> tuple[Prefix, list[ModelRef]]:
        return whole, []

    async def go(prefix: Prefix, ref: ModelRef) -> None:
        gone.append(prefix)

    async with comparing(lab, SOLVER) as (pilot, screen):

        async def shown_dialog() -> EditDialog:
            dialog = EditDialog(whole, screen.controller.refs, "solver", person="anna", more=more, go=go)
            pilot.app.push_screen(dialog)
            await until(pilot, lambda: dialog.is_mounted and dialog.query("#answer"), "the dialog")
            await pilot.pause()
            return dialog

        dialog = await shown_dialog()
        assert (dialog.text, dialog.at) == (ODD, len(ODD))
        for at in (*boundaries(ODD), ODD.index("Three") + 2):
            dialog.put_cursor(at)
            assert dialog.at == at
        await pilot.press("x", "backspace", "escape")
        await until(pilot, lambda: pilot.app.screen is screen, "the screen, without a question")
        dialog = await shown_dialog()
        dialog.put_cursor(ODD.index("Four"))
        await pilot.press("ctrl+r")
        await until(pilot, lambda: pilot.app.screen is screen, "the screen again")
    assert gone == [Prefix(ODD[: ODD.index("Four")], written_by(ODD[: ODD.index("Four")], "solver"))]


def test_the_moves_of_a_text_are_found_once(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "<think>\nOnes first.\n\nWait, the tens.\n</think>\n\n3, once"
    found = boundaries(text)
    assert found[0] > 0 and text[found[-1] :].startswith("\n</think>")
    monkeypatch.setattr("screens.compare.edit_dialog.segment", None)
    assert boundaries(text) == found
