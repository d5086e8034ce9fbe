"""The form that sets up a run: every part of the recipe with its help, faults told beside their field."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from textual import work
from textual.binding import Binding, BindingType

from o1lab.paths import assets_dir
from o1lab.train import phases
from o1lab.train import recipe as recipes
from o1lab.train.recipe import Recipe
from o1lab.widgets.form import Field
from screens.forms.form_screen import FormScreen
from screens.train import fields


class TrainForm(FormScreen[Recipe]):
    """Pick base, dataset, adapter, schedule and device; then preflight."""

    TITLE = "TRAIN  new run"
    CSS_PATH: ClassVar[list[Any]] = [assets_dir() / "styles" / "train.tcss"]
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+r", "go", "Preflight", priority=True, tooltip="Look the run over, then launch it"),
        Binding("ctrl+l", "load_recipe", "Recipe file", tooltip="Fill the form from a recipe file"),
        *FormScreen.KEYS,
    ]
    SECTIONS = fields.SECTIONS
    GO = "Look it over (preflight)"

    options: fields.Options | None = None

    async def look(self) -> tuple[Mapping[str, Field], Mapping[str, str]]:
        context = self.context
        options = await self.in_thread(lambda: fields.look(context.lab, context.config, context.store.db))
        start = await self.in_thread(fields.starting_values, options, context.config, self.values.get("dataset"))
        self.options = options
        values = {**start, **self.values}
        return fields.fields(options), {name: fields.as_text(name, value) for name, value in values.items()}

    def judge(self, texts: Mapping[str, str]) -> tuple[Recipe | None, dict[str, str]]:
        return fields.judge(texts)

    def first_field(self) -> str:
        return "base" if self.options and self.options.datasets else "dataset"

    async def action_go(self) -> None:
        """Look the run over; what is wrong with the form comes first."""
        recipe = await self.finished()
        if recipe is not None:
            from screens.train.preflight import PreflightScreen

            self.app.push_screen(PreflightScreen(self.context, recipe, launched=self.done))

    @work
    async def action_load_recipe(self) -> None:
        """Fill the form from a recipe file: one of the lab's, one that came with o1lab, or any path."""
        from o1lab.widgets.dialogs import PromptDialog

        known = dict(self.options.recipes) if self.options else {}
        name = await self.app.push_screen_wait(
            PromptDialog("Recipe file", placeholder="a name or a path", completions=list(known))
        )
        if not name:
            return
        try:
            values = await self.in_thread(lambda: recipes.load_values(known.get(name) or Path(name).expanduser()))
            phases.require_one(values)
        except Exception as error:
            self.report(error)
            return
        for field, value in values.items():
            if field in fields.FIELDS:
                self.row(field).set_text(fields.as_text(field, value))
