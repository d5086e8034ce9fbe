"""Setting up a run with the keyboard alone: the form, preflight, launching."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input, Select, TextArea

from o1lab.app import LabApp
from o1lab.config import load_config
from o1lab.errors import LabError
from o1lab.models.description import Description
from o1lab.paths import Lab
from o1lab.settings import settings_of, values_of
from o1lab.train import launch
from o1lab.train.preflight.report import Bin, Memory, Preflight, Problem, SampleToken, Tokens
from o1lab.train.recipes.probe import Probe
from o1lab.train.recipes.recipe import Recipe
from o1lab.train.recipes.recipe_file import dump
from o1lab.train.runs.directory import RunDir, find_run
from o1lab.widgets.form import FieldRow
from screens.base.context import open_context
from screens.train import preflight, preflight_text
from screens.train.form import TrainForm, read_options
from screens.train.preflight import PreflightScreen
from screens.train.screen import TrainScreen
from store import open_store
from tests.support.compare_lab import screen_shown, shown, until
from tests.support.fake_runs import write_run
from tests.support.forms import field, form_of
from tests.support.training_lab import add_replay, make_lab

FOUND = Preflight(
    ok=True,
    rows=24,
    train_rows=24,
    tokens=Tokens(p50=40, p95=60, max=70, total=1000),
    trained_tokens=600,
    total_steps=8,
    memory_bytes=2_500_000_000,
    memory=Memory(weights=500_000_000, adapter=2_000_000_000, available=9_000_000_000),
    command="o1lab train --dataset sums",
    histogram=[Bin(low=30, high=40, count=16), Bin(low=40, high=50, count=8), Bin(low=50, high=60, count=0)],
    sample=[
        SampleToken(text="user\n", trained=False),
        SampleToken(text="1 + 2?", trained=False),
        SampleToken(text="<think>", trained=True),
        SampleToken(text="3\x1b", trained=True),
    ],
    thought_survives=True,
    end_of_turn="<|im_end|>",
    end_of_turn_trained=True,
    device="cpu",
    dtype="bf16",
    trainable_parameters=4_880_000,
)


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return make_lab(tmp_path / "lab")


def app_on(lab: Lab) -> LabApp:
    return LabApp(open_context(lab), mode="train")


async def test_every_part_of_a_recipe_has_a_field_that_a_file_fills(lab: Lab, tmp_path: Path) -> None:
    path = tmp_path / "other.yaml"
    path.write_text("steps: 11\nschedule: linear\nprobes:\n- prompt: 2 + 2?\n  gold: '4'\n")
    app = app_on(lab)
    async with app.run_test(size=(120, 60)) as pilot:
        form = await form_of(pilot, TrainForm)
        names = [row.field.name for row in form.query(FieldRow)]
        assert sorted(names) == sorted(set(Recipe.model_fields) - {"dataset_hash", "replay_hash", "stop_hopeless"})
        for row in form.query(FieldRow):
            assert row.field.help.startswith(Recipe.model_fields[row.field.name].description or "?")
        assert "Rank of the adapter" in shown(pilot)
        await pilot.press("ctrl+l")
        await until(pilot, lambda: pilot.app.screen is not form, "the question")
        pilot.app.screen.query_one(Input).value = str(path)  # a hundred keys would take seconds
        await pilot.press("enter")
        await until(pilot, lambda: pilot.app.screen is form and field(form, "steps").text == "11", "the values")
        assert field(form, "schedule").text == "linear"
        editor = field(form, "probes").editor
        assert isinstance(editor, TextArea) and editor.text == "2 + 2? => 4"


async def test_a_small_terminal_shows_the_help_and_the_fault_of_a_field_whose_text_is_kept(lab: Lab) -> None:
    app = app_on(lab)
    async with app.run_test(size=(80, 24)) as pilot:
        form = await form_of(pilot, TrainForm)
        *others, last = (field(form, name) for name in form.settings if field(form, name).display)
        assert form.focus_chain[: len(others)] == [row.editor for row in others]
        others[-1].editor.focus()
        await pilot.press("tab")
        assert form.focused is last.editor
        await until(pilot, lambda: "Problem of preflight to accept" in shown(pilot), "its help")
        assert last.region.overlaps(form.query_one("#fields").region)

        field(form, "lora_r").editor.focus()
        await pilot.press("x")
        await until(pilot, lambda: "✗ Input should be a valid integer" in shown(pilot), "the fault")
        await pilot.press("ctrl+r")
        assert pilot.app.screen is form
        await pilot.press("backspace")
        await until(pilot, lambda: "✗" not in shown(pilot), "the fault gone")

        editor = field(form, "steps").editor
        assert isinstance(editor, Input)
        editor.focus()
        await pilot.press("4", "2", "escape")
        await until(pilot, lambda: isinstance(pilot.app.screen, TrainScreen), "the list")
        again = await form_of(pilot, TrainForm)
        assert field(again, "steps").text == "42"


async def test_without_a_dataset_the_form_says_where_one_is_made(tmp_path: Path) -> None:
    from o1lab.config import init_lab

    app = app_on(init_lab(tmp_path / "empty"))
    async with app.run_test(size=(80, 24)) as pilot:
        await form_of(pilot, TrainForm)
        await pilot.press("ctrl+r")
        await until(pilot, lambda: "make one on the Traces screen" in shown(pilot), "where to make one")


async def test_a_recipe_file_for_the_dataset_is_where_the_form_begins(lab: Lab) -> None:
    (lab.root / "recipes").mkdir()
    kept = Recipe(dataset="sums", steps=7, batch_size=3, probes=[Probe(prompt="1 + 1?", gold="2"), Probe(prompt="Hm")])
    (lab.root / "recipes" / "mine.yaml").write_text(dump(kept))
    app = app_on(lab)
    async with app.run_test(size=(80, 24)) as pilot:
        form = await form_of(pilot, TrainForm)
        assert field(form, "steps").text == "7"
        assert field(form, "probes").text == "1 + 1? => 2\nHm"
        recipe, faults = form.judge(form.texts())
        assert faults == {} and recipe == kept


def test_imported_adapters_and_whole_models_are_offered(lab: Lab) -> None:
    for name, files in (("kims", ("adapter_config.json", "adapter_model.safetensors")), ("whole", ("config.json",))):
        (lab.models / name).mkdir(parents=True)
        for file in files:
            (lab.models / name / file).write_text("{}")
    Description("import", base="tiny").write(lab.models / "kims")
    store = open_store(lab.database)
    try:
        offer = read_options(lab, load_config(lab), store.db)
    finally:
        store.close()
    assert offer.choices["init_from"] == (("imported kims, on tiny", "models/kims"),)
    assert str(lab.models / "whole") in offer.suggestions["base"]


async def test_a_new_run_like_this_one_that_goes_on_from_its_adapter(lab: Lab) -> None:
    recipe = Recipe(dataset="sums", steps=9, learning_rate=1e-3)
    write_run(lab.runs, "aaaa0001", recipe=recipe, saved=[50, 100])
    app = app_on(lab)
    async with app.run_test(size=(120, 40)) as pilot:
        screen = pilot.app.screen
        assert isinstance(screen, TrainScreen)
        await until(pilot, lambda: screen.jobs.detail, "the run")
        form = await form_of(pilot, TrainForm, "U")
        assert field(form, "steps").text == "9"
        editor = field(form, "init_from").editor
        assert isinstance(editor, Select)
        editor.focus()
        await pilot.press("enter", "down", "enter")  # the first after "a fresh adapter"
        await until(pilot, lambda: field(form, "init_from").text == "aaaa0001/step-100", "the last checkpoint")
        judged, _ = form.judge(form.texts())
        assert judged is not None
        assert judged.init_from == "aaaa0001/step-100" and judged.learning_rate == 1e-3
        assert "• init from" in shown(pilot) and "• steps" not in shown(pilot)
        field(form, "steps").editor.focus()
        await pilot.press("end", "0")
        await until(pilot, lambda: "• steps" in shown(pilot), "the mark of a changed field")
        await pilot.press("tab", "shift+tab")
        await until(pilot, lambda: "(• changed; was: 9)" in shown(pilot), "the value of the other run")
        await pilot.press("end", "backspace")
        await until(pilot, lambda: "• steps" not in shown(pilot), "no mark")


async def to_preflight(pilot: Pilot[int], look: Callable[..., Preflight], monkeypatch: pytest.MonkeyPatch) -> None:
    """Start preflight in the form. ``look`` is called in place of its process."""
    monkeypatch.setattr(preflight, "run_preflight", look)
    await pilot.press("ctrl+r")
    await screen_shown(pilot, PreflightScreen, "preflight")


async def test_what_is_in_order_can_be_launched(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    launched: list[Recipe] = []
    go_on = threading.Event()

    def counting(*_: Any, progress: Callable[[int, int], None], **__: Any) -> Preflight:
        progress(1200, 4000)
        go_on.wait(60)
        return FOUND

    def start(lab: Lab, recipe: Recipe, *, store: Any = None) -> tuple[RunDir, int]:
        launched.append(recipe)
        return write_run(lab.runs, "feed0001", "running", steps=2, recipe=recipe), 1

    monkeypatch.setattr(launch, "launch", start)
    app = app_on(lab)
    async with app.run_test(size=(120, 60)) as pilot:
        await form_of(pilot, TrainForm)
        await to_preflight(pilot, counting, monkeypatch)
        await until(pilot, lambda: "row 1,200 of 4,000" in shown(pilot), "the row")
        go_on.set()
        await until(pilot, lambda: "✓ Ready. Press enter" in shown(pilot), "the verdict")
        text = shown(pilot)
        assert "⟦<think>3␛⟧" in text and "24 in the dataset" in text
        assert "about 2.5 GB of 9.0 GB free" in text and "o1lab train --dataset sums" in text
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, TrainScreen), "the way to the run")
        screen = pilot.app.screen
        assert isinstance(screen, TrainScreen)
        await until(pilot, lambda: screen.jobs.detail and screen.jobs.detail.line.id == "feed0001", "the run")
        assert [recipe.dataset for recipe in launched] == ["sums"]
        assert screen.draft == {}


async def test_what_is_not_in_order_cannot(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    problem = Problem(code="over_length", message="3 rows are too long.", hint="Raise max_length.")
    bad = FOUND.model_copy(update={"ok": False, "over_length": 3, "problems": [problem]})
    begun, ended = threading.Event(), threading.Event()
    launched: list[object] = []

    def waiting(*_: Any, cancelled: Any, **__: Any) -> Preflight:
        begun.set()
        while not cancelled():
            threading.Event().wait(0.01)
        ended.set()
        raise LabError("Preflight was cancelled.", code="cancelled")

    def without_torch(*_: Any, **__: Any) -> Preflight:
        raise LabError("Training needs torch.", "Install the extra.")

    monkeypatch.setattr(launch, "launch", lambda *_, **__: launched.append(1))
    app = app_on(lab)
    async with app.run_test(size=(80, 24)) as pilot:
        form = await form_of(pilot, TrainForm)
        await to_preflight(pilot, lambda *_, **__: bad, monkeypatch)
        await until(pilot, lambda: "✗ 3 rows are too long." in shown(pilot), "the problem")
        assert "Raise max_length." in shown(pilot)
        await pilot.press("enter", "escape")
        await until(pilot, lambda: pilot.app.screen is form, "the form again")

        await to_preflight(pilot, waiting, monkeypatch)
        await until(pilot, begun.is_set, "the beginning")
        assert "esc cancels" in shown(pilot)
        await pilot.press("escape")
        await until(pilot, ended.is_set, "the end")
        await until(pilot, lambda: pilot.app.screen is form, "the form again")
        assert "Preflight was cancelled" not in shown(pilot)

        await to_preflight(pilot, without_torch, monkeypatch)
        await until(pilot, lambda: "✗ Training needs torch. Install the extra." in shown(pilot), "one sentence")
        await pilot.press("enter", "escape")
        await until(pilot, lambda: pilot.app.screen is form, "the form again")
        assert launched == []


def test_the_report_shows_nothing_that_was_not_measured() -> None:
    problem = Problem(code="base_missing", message="No base model is called x.", hint="Choose another.")
    text = preflight_text.report_text(
        Preflight(rows=24, problems=[problem], command="o1lab train"), Recipe(dataset="x")
    ).plain
    assert "24 in the dataset" in text
    assert "Checks" not in text and "tokens" not in text


@pytest.mark.parametrize(
    ("text", "probes"),
    [
        ("What is 1 + 1? => 2", [{"prompt": "What is 1 + 1?", "gold": "2"}]),
        ("a => b => c\n\nno gold", [{"prompt": "a => b", "gold": "c"}, {"prompt": "no gold", "gold": None}]),
        ("two\\nlines =>", [{"prompt": "two\nlines", "gold": None}]),
    ],
)
def test_probes_are_a_line_each(text: str, probes: list[dict[str, str | None]]) -> None:
    recipe = Recipe.model_validate({"dataset": "d"} | values_of(Recipe, {"probes": text}))
    assert [probe.model_dump() for probe in recipe.probes] == probes
    assert settings_of(Recipe)["probes"].as_text(probes) == "\n".join(str(probe) for probe in recipe.probes)


def test_rows_over_the_limit_are_marked_in_the_histogram() -> None:
    text = preflight_text.histogram(FOUND.histogram, 45).plain.splitlines()
    assert "!" not in text[0] and "over the limit" in text[1] and "over the limit" not in text[2]
    assert text[0].count("█") == 2 * text[1].count("█") == preflight_text.BAR_CELLS


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_from_the_form_to_a_finished_run(
    lab: Lab, tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real thing with a tiny model: preflight's process, the detached worker, its curve on the screen."""
    pytest.importorskip("trl", reason="the train extra is not installed")
    monkeypatch.setenv("O1LAB_CACHE", str(tmp_path / "cache"))
    quick = {"base": str(tiny_base), "dataset": "sums", "steps": 4, "batch_size": 4, "max_length": 128, "dtype": "fp32",
             "device": "cpu", "save_steps": 0, "eval_steps": 0, "probe_tokens": 4,
             "probes": [Probe(prompt="What is 1 + 1?", gold="2")]}  # fmt: skip
    (lab.root / "recipes").mkdir()
    (lab.root / "recipes" / "quick.yaml").write_text(dump(Recipe.model_validate(quick)))
    app = app_on(lab)
    async with app.run_test(size=(120, 60)) as pilot:
        await form_of(pilot, TrainForm)
        await pilot.press("ctrl+r")
        screen = await screen_shown(pilot, PreflightScreen, "preflight")
        await until(pilot, lambda: screen.found is not None, "preflight")
        assert screen.found is not None and screen.found.ok, screen.found
        await until(pilot, lambda: "✓ Ready" in shown(pilot) and "⟦<think>" in shown(pilot), "the mask")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, TrainScreen), "the run")
        live = pilot.app.screen
        assert isinstance(live, TrainScreen)
        ended = ("finished", "failed", "dead")
        await until(pilot, lambda: live.jobs.detail and live.jobs.detail.line.state in ended, "the end")
        assert live.jobs.detail is not None
        run = find_run(lab, live.jobs.detail.line.id)
        assert live.jobs.detail.line.state == "finished", run.log_tail()
        assert live.jobs.detail.checkpoints == (4,)
        assert "step 4/4" in shown(pilot) and "> What is 1 + 1?" in shown(pilot)


async def test_replay_is_a_share_and_then_a_choice_of_datasets(lab: Lab) -> None:
    async with app_on(lab).run_test(size=(120, 60)) as pilot:
        screen = pilot.app.screen
        assert isinstance(screen, TrainScreen)
        form = await form_of(pilot, TrainForm)
        field(form, "replay").set_text("0.1")
        assert "o1lab dataset replay --base smollm2-135m" in form.judge(form.texts())[1]["replay"]
        field(form, "replay").set_text("0")
        assert "replay" not in form.judge(form.texts())[1]

        await pilot.press("escape")
        await until(pilot, lambda: pilot.app.screen is screen, "the list")
        screen.draft.clear()
        store = open_store(lab.database)
        made = add_replay(store, "smollm2-135m", 3)
        store.close()
        form = await form_of(pilot, TrainForm)
        assert field(form, "dataset").text == "sums", (
            "the newest dataset is that of the answers, which is not trained on"
        )
        choice = field(form, "replay_dataset")
        assert not choice.display
        field(form, "replay").set_text("0.1")
        await until(pilot, lambda: choice.display, "the choice of the dataset")
        offered = [value for _, value in choice.field.choices]
        assert offered == ["", made.name]
        assert "3 rows of smollm2-135m" in choice.field.choices[1][0]
        choice.set_text(made.name)
        recipe = form.judge(form.texts())[0]
        assert recipe is not None
        assert (recipe.replay, recipe.replay_dataset) == (0.1, made.name)
        field(form, "replay").set_text("2")
        assert "replay" in form.judge(form.texts())[1]
