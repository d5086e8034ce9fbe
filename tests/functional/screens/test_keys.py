"""The keys of the app: to its screens, out of it, and those that o1lab.toml changes."""

from __future__ import annotations

from pathlib import Path

from o1lab.app import LabApp
from o1lab.config import init_lab
from o1lab.widgets.dialogs import ConfirmDialog, GoDialog
from screens.base.context import open_context
from screens.compare.prompt_sets import LetterKeys
from screens.distill.screen import DistillScreen
from screens.jobs.screen import JobsScreen
from screens.traces.screen import TracesScreen
from screens.train.form import TrainForm
from tests.support.compare_lab import shown, until
from tests.support.lab_seed import seeded_context


async def test_an_action_has_its_new_key(tmp_path: Path) -> None:
    lab = init_lab(tmp_path / "lab")
    lab.config.write_text(
        f'{lab.config.read_text()}\n[keys]\nnew_run = "f12"\nswitch_mode_distill = "f9"\nstopp = "x"\n'
    )
    app = LabApp(open_context(lab))
    async with app.run_test(size=(120, 30), notifications=True) as pilot:
        await until(pilot, lambda: "f9 Distill" in shown(pilot), "the key in the footer")
        await pilot.press("f9")
        await until(pilot, lambda: isinstance(app.screen, DistillScreen), "the screen")
        await pilot.press("ctrl+n")
        await pilot.pause()
        assert isinstance(app.screen, DistillScreen)
        await pilot.press("f12")
        await until(pilot, lambda: not isinstance(app.screen, DistillScreen), "the form")
        await until(pilot, lambda: "there is no action 'stopp'" in shown(pilot), "what is wrong")


async def test_a_table_of_keys_that_cannot_be_read_leaves_the_keys_as_they_are(tmp_path: Path) -> None:
    lab = init_lab(tmp_path / "lab")
    lab.config.write_text(f"{lab.config.read_text()}\n[keys]\nnew_run = 7\n")
    app = LabApp(open_context(lab))
    async with app.run_test(size=(120, 30), notifications=True) as pilot:
        await until(pilot, lambda: "keys.new_run" in shown(pilot), "what is wrong")
        await pilot.press("f3")
        await until(pilot, lambda: isinstance(app.screen, DistillScreen), "the screen")


async def test_the_palette_names_the_new_key_of_a_letter(tmp_path: Path) -> None:
    lab = init_lab(tmp_path / "lab")
    lab.config.write_text(f'{lab.config.read_text()}\n[keys]\nrun_save_prompt = "Z"\n')
    app = LabApp(open_context(lab), mode="compare")
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: app.screen.query("PromptInput"), "the screen")
        found = {binding.description: binding.key for binding in LetterKeys(app.screen).commands()}
        assert (found["Save prompt"], found["Prompt sets"]) == ("Z", "L")


async def test_screens_are_reached_without_f_keys_also_while_typing(tmp_path: Path) -> None:
    app = LabApp(seeded_context(tmp_path / "lab", 4), mode="compare")
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.screen.query("PromptInput"), "the prompt")
        for number, mode in enumerate(("lab", "traces", "distill", "train"), 1):
            await pilot.press(f"alt+{number}")
            await until(pilot, lambda mode=mode: app.current_mode == mode, mode)
        await pilot.press("alt+5", "ctrl+g")
        await until(pilot, lambda: isinstance(app.screen, GoDialog), "the list of screens")
        await until(pilot, lambda: "7  Transparency" in shown(pilot), "its lines")
        await pilot.press("2")
        await until(pilot, lambda: app.current_mode == "traces", "the screen")
        await pilot.press("ctrl+g", "escape")
        await pilot.pause()
        assert app.current_mode == "traces" and isinstance(app.screen, TracesScreen)


async def test_q_closes_the_reader_first(tmp_path: Path) -> None:
    app = LabApp(seeded_context(tmp_path / "lab", 4), mode="traces")
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: isinstance(app.screen, TracesScreen) and app.screen.shown, "the chain")
        screen = app.screen
        assert isinstance(screen, TracesScreen)
        await pilot.press("enter")
        await until(pilot, lambda: screen.reader.has_focus_within, "the reader")
        await pilot.press("question_mark")
        await until(pilot, lambda: screen.query("HelpPanel"), "the help")
        await pilot.press("q")
        await until(pilot, lambda: not screen.query("HelpPanel"), "the help closed")
        await pilot.press("q")
        await until(pilot, lambda: screen.table.has_focus, "the list")
        assert app.is_running and app._exit is False
        await pilot.press("q")
        await until(pilot, lambda: app._exit, "the end")


async def test_q_asks_when_a_prompt_or_a_form_would_be_lost(tmp_path: Path) -> None:
    app = LabApp(seeded_context(tmp_path / "lab", 4), mode="compare")
    async with app.run_test(size=(100, 30)) as pilot:
        await until(pilot, lambda: app.screen.query("PromptInput"), "the prompt")
        await pilot.press(*"why", "escape", "q")
        await until(pilot, lambda: isinstance(app.screen, ConfirmDialog), "the question")
        await until(pilot, lambda: "The prompt that was not sent." in shown(pilot), "what would be lost")
        await pilot.press("n")
        await until(pilot, lambda: not isinstance(app.screen, ConfirmDialog), "the app again")
        assert app._exit is False

        await pilot.press("alt+4")
        await until(pilot, lambda: isinstance(app.screen, JobsScreen), "the Train screen")
        train = app.screen
        assert isinstance(train, JobsScreen)
        await pilot.press("ctrl+n")
        await until(pilot, lambda: app.screen.query("#go") and app.screen.focused, "the form")
        await pilot.pause()
        assert train.would_lose() == ""  # nothing was changed
        form = app.screen
        assert isinstance(form, TrainForm)
        form.row("steps").editor.focus()
        await pilot.press("4", "2", "escape")
        await until(pilot, lambda: app.screen is train and train.draft, "the change")
        await pilot.press("q")
        await until(pilot, lambda: "The form of a new" in shown(pilot), "what would be lost")
        await pilot.press("y")
        await until(pilot, lambda: app._exit, "the end")


async def test_the_help_lists_the_keys_of_the_part_with_the_focus_first(tmp_path: Path) -> None:
    app = LabApp(seeded_context(tmp_path / "lab", 4), mode="traces")
    async with app.run_test(size=(120, 80)) as pilot:
        await until(pilot, lambda: isinstance(app.screen, TracesScreen) and app.screen.shown, "the chain")
        await pilot.press("enter", "question_mark")
        await until(pilot, lambda: "On this screen" in shown(pilot), "the help")
        text = shown(pilot)
        places = [text.index(words) for words in ("Here", "Go to the next", "Scroll down", "On this screen")]
        assert places == sorted(places)
