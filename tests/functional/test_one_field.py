"""One line in a settings model is a field of the form, an option, a part of the recipe file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any

import pytest
from pydantic import Field

from o1lab.app import LabApp
from o1lab.cli import verbs
from o1lab.cli.main import run
from o1lab.paths import Lab
from o1lab.settings import Display
from o1lab.train import launch
from o1lab.train.recipes import recipe, recipe_file
from o1lab.train.recipes.recipe import Recipe
from o1lab.widgets.form import FieldRow
from screens.base.context import open_context
from screens.train.form import TrainForm
from tests.support.compare_lab import until
from tests.support.training_lab import make_lab

HELP = "Evaluations without progress before the run stops."


class Patient(Recipe):
    """A recipe with one more field."""

    patience: Annotated[int | None, Display("Schedule", empty="never")] = Field(default=None, ge=1, description=HELP)


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    monkeypatch.setattr(recipe, "Recipe", Patient)
    monkeypatch.setattr(recipe_file, "Recipe", Patient)
    monkeypatch.setattr(TrainForm, "MODEL", Patient)
    verbs._program.cache_clear()  # an earlier test has made it, with the recipe of o1lab
    yield make_lab(tmp_path / "lab")
    verbs._program.cache_clear()


async def test_it_is_in_the_form(lab: Lab) -> None:
    app = LabApp(open_context(lab), mode="train")
    async with app.run_test(size=(120, 60)) as pilot:
        await pilot.press("ctrl+n")
        await until(pilot, lambda: pilot.app.screen.query("#go") and pilot.app.screen.focused, "the form")
        form = pilot.app.screen
        assert isinstance(form, TrainForm)
        row = form.query_one("#row-patience", FieldRow)
        assert row.field.help == HELP and row.field.placeholder == "never"
        row.set_text("0")
        assert "patience" in form.judge(form.texts())[1]
        row.set_text("3")
        made: Any = form.judge(form.texts())[0]
        assert made.patience == 3


def test_it_is_an_option(lab: Lab, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", "--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert f"--patience <int>,... {HELP} [default: never; x>=1]" in text
    launched: list[Any] = []

    def start(lab: Lab, chosen: Recipe) -> tuple[SimpleNamespace, int]:
        launched.append(chosen)
        return SimpleNamespace(id="r", path=lab.runs, launch=lambda: None), 1

    monkeypatch.setattr(launch, "launch", start)
    arguments = ["--lab", str(lab.root), "train", "--dataset", "sums", "--no-check"]
    assert run([*arguments, "--patience", "3"]) == 0
    assert run([*arguments, "--set", "patience=4"]) == 0
    assert [one.patience for one in launched] == [3, 4]
    assert run([*arguments, "--patience", "0"]) == 2
    assert "patience: Input should be greater than or equal to 1" in capsys.readouterr().err


def test_it_is_in_the_recipe_file(lab: Lab, tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(recipe_file.dump(recipe_file.resolve({"dataset": "sums", "patience": 5})), "utf-8")
    assert "patience: 5" in path.read_text("utf-8")
    assert recipe_file.load(path).model_dump()["patience"] == 5
