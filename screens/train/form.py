"""The form of a training run; preflight follows it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from textual.binding import BindingType

from o1lab.config import Config
from o1lab.errors import UsageError
from o1lab.jobs.device_queue import visible_gpus
from o1lab.models.checkpoints import checkpoint_step
from o1lab.models.imported import imported_models
from o1lab.paths import Lab, assets_dir
from o1lab.text import one_line
from o1lab.train import phases
from o1lab.train.adapter import MODELS
from o1lab.train.launch import RUNS
from o1lab.train.launchers import LAUNCHERS
from o1lab.train.parent_run import END
from o1lab.train.recipes import recipe_file
from o1lab.train.recipes.objective import PREFERENCE_RATE
from o1lab.train.recipes.recipe import Recipe
from o1lab.train.replay import command, replay_datasets, replayed_base
from o1lab.widgets.keys import Binding
from screens.base.screen import task
from screens.forms.settings_form import Choices, FormOptions, SettingsForm
from store import datasets
from store.records import Dataset
from store.sqlite import Database


class TrainForm(SettingsForm[Recipe]):
    """Form for base, dataset, adapter, schedule and device; continues with preflight."""

    TITLE = "TRAIN  new run"
    CSS_PATH: ClassVar[list[Any]] = [assets_dir() / "styles" / "train.tcss"]
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+r", "go", "Preflight", priority=True, tooltip="Check the run, then launch it"),
        Binding("ctrl+l", "load_recipe", "Recipe file", tooltip="Fill the form from a recipe file"),
        *SettingsForm.KEYS,
    ]
    MODEL = Recipe
    GO = "Preflight"
    WHOLE = "max_length"

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.recipes: dict[str, Path] = {}
        self.has_datasets = False
        self.has_replay = False

    async def read_form_options(self) -> FormOptions:
        context = self.context
        self.recipes = await self.in_thread(recipe_files, context.lab)
        options = await self.in_thread(read_options, context.lab, context.config, context.store.db)
        known = [value for _, value in options.choices["dataset"]]
        self.has_datasets = bool(known)
        self.has_replay = bool(options.choices["replay_dataset"])
        dataset = self.values.get("dataset") or (known[0] if known else None)
        if dataset is None:
            return options
        start = await self.in_thread(starting_values, self.recipes, dataset)
        paired = await self.in_thread(pair_values, context.store.db, dataset)
        return FormOptions(
            options.choices, options.suggestions, {**options.start, **paired, **start, "dataset": dataset}
        )

    def first_field(self) -> str:
        return "base" if self.has_datasets else "dataset"

    def defaults(self, texts: Mapping[str, str]) -> Mapping[str, Any]:
        return {"base": self.context.config.base}

    def check(self, texts: Mapping[str, str]) -> Mapping[str, str]:
        wrong = {} if texts["dataset"] else {"dataset": "Choose a dataset; make one on the Traces screen (d)."}
        if self.settings["replay_dataset"].relevant(texts) and not self.has_replay:
            base = texts["base"] or self.context.config.base
            wrong["replay"] = f"No base has answered general prompts in this lab yet: {command(base)}"
        return wrong

    async def action_go(self) -> None:
        """Open preflight if the form is valid."""
        recipe = await self.finished()
        if recipe is not None:
            from screens.train.preflight import PreflightScreen

            self.app.push_screen(PreflightScreen(self.context, recipe, launched=self.done))

    @task(dialog=True)
    async def action_load_recipe(self) -> None:
        """Fill the form from a recipe file: one of the lab, a built-in one, or any path."""
        from o1lab.widgets.dialogs import PromptDialog

        known = self.recipes
        name = await self.app.push_screen_wait(
            PromptDialog("Recipe file", placeholder="a name or a path", completions=list(known))
        )
        if not name:
            return
        values = await self.in_thread(lambda: recipe_file.load_values(known.get(name) or Path(name).expanduser()))
        phases.require_one(values)
        texts = {field: one.as_text(values[field]) for field, one in self.settings.items() if field in values}
        for field, text in texts.items():
            self.row(field).set_text(text)


def read_options(lab: Lab, config: Config, db: Database) -> FormOptions:
    """Read the bases, datasets, adapters and devices of the lab and the machine. Call it in a thread."""
    adapters: list[tuple[str, str]] = []
    waiting: list[tuple[str, str]] = []
    for run, state in ((each, each.info()) for each in RUNS.directories(lab)):
        adapters += [
            (f"run {run.id} step {checkpoint_step(path)} ({state.state})", f"{run.id}/{path.name}")
            for path in reversed(run.checkpoints())
        ]
        if state.active:
            waiting.append((f"run {run.id} when it has finished", f"{run.id}/{END}"))
    adapters += [
        (f"imported {one.name}, on {one_line(one.base, 40)}", f"{MODELS}/{one.name}")
        for one in imported_models(lab)
        if one.kind == "adapter" and not one.problem
    ]
    choices: dict[str, Choices] = {
        "dataset": tuple(
            (f"{one_line(one.name, 40)}  {_rows(one)}, {one.hash[:8]}", one.name)
            for one in sorted(datasets.all_datasets(db), key=lambda one: bool(replayed_base(one)))
        ),
        "init_from": (*adapters, *waiting),
        "replay_dataset": tuple(
            (f"{one_line(one.name, 40)}  {one.rows:,} rows of {one_line(replayed_base(one), 40)}", one.name)
            for one in replay_datasets(db)
        ),
        "on": tuple((f"{name}: {one.about}", name) for name, one in LAUNCHERS.all().items()),
        "device": tuple((name, name) for name in ("auto", "cpu", *(f"cuda:{i}" for i in range(len(visible_gpus()))))),
    }
    local = sorted(str(path.parent) for path in lab.models.glob("*/config.json"))
    bases = tuple(dict.fromkeys([config.base, Recipe.model_fields["base"].default, *local]))
    return FormOptions(choices, {"base": bases}, {"base": config.base})


def pair_values(db: Database, dataset: str) -> dict[str, Any]:
    """Return the values to begin with for a dataset of pairs; empty for another. Call it in a thread."""
    kinds = {one.kind for one in datasets.all_datasets(db) if one.name == dataset}
    return {"objective": "dpo", "learning_rate": PREFERENCE_RATE} if kinds == {"pairs"} else {}


def _rows(dataset: Dataset) -> str:
    return f"{dataset.rows:,} pairs" if dataset.kind == "pairs" else f"{dataset.rows:,} rows, phase {dataset.phase}"


def recipe_files(lab: Lab) -> dict[str, Path]:
    """Return the recipe files by name; those of the lab replace built-in ones. Call it in a thread."""
    folders = (assets_dir() / "recipes", lab.recipes)
    return {path.stem: path for folder in folders for path in sorted(folder.glob("*.yaml"))}


def starting_values(files: Mapping[str, Path], dataset: str) -> dict[str, Any]:
    """Return the values of the first recipe file for the dataset; empty if there is none. Call it in a thread."""
    for path in files.values():
        try:
            values = recipe_file.load_values(path)
        except UsageError:
            continue
        if values.get("dataset") == dataset:
            return values
    return {}
