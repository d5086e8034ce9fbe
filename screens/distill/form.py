"""The form that sets up a teacher run: what it will come to stands below while it is being written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from rich.text import Text
from textual import work
from textual.binding import Binding, BindingType

from o1lab.distill import runs
from o1lab.distill.estimate import Estimate, estimate
from o1lab.distill.items import count_items
from o1lab.distill.settings import TeacherRunSettings
from o1lab.paths import Lab, assets_dir
from o1lab.widgets.dialogs import ConfirmDialog
from o1lab.widgets.form import Field
from screens.distill import fields
from screens.distill.text import estimate_text
from screens.forms.estimating_form import EstimatingForm, budget_words
from store.connection import Store


class DistillForm(EstimatingForm[TeacherRunSettings, Estimate]):
    """Pick method, teacher, problems, sampling and budgets; then launch."""

    TITLE = "DISTILL  new run"
    CSS_PATH: ClassVar[list[Any]] = [assets_dir() / "styles" / "distill.tcss"]
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+r", "go", "Launch", priority=True, tooltip="See what it comes to, then launch the run"),
        *EstimatingForm.KEYS,
    ]
    SECTIONS = fields.SECTIONS
    GO = "See what it comes to, and launch"

    async def look(self) -> tuple[Mapping[str, Field], Mapping[str, str]]:
        options = await self.in_thread(fields.look, self.context.lab, self.context.config)
        values = {**fields.starting_values(options), **self.values}
        return fields.fields(options), {name: fields.as_text(one) for name, one in values.items()}

    def judge(self, texts: Mapping[str, str]) -> tuple[TeacherRunSettings | None, dict[str, str]]:
        return fields.judge(texts)

    def first_field(self) -> str:
        return "endpoint"

    def is_relevant(self, name: str, texts: Mapping[str, str]) -> bool:
        """Only the fields that mean something for the method are shown."""
        return fields.is_relevant(name, texts["method"])

    async def estimate(self, settings: TeacherRunSettings) -> Estimate:
        """The items are counted at once, then the calls, tokens and money."""
        number = await self.whole(count, self.context.store, settings)
        self.say(Text(f"{number:,} items × {settings.n} …"))
        return await self.whole(estimate_in, self.context.lab, self.context.store, settings)

    def estimate_words(self, settings: TeacherRunSettings, found: Estimate) -> Text:
        return estimate_text(found, settings.n)

    @work(exclusive=True, group="launch")
    async def action_go(self) -> None:
        """See what it comes to, then launch it: in a process that outlives this app."""
        settings = await self.finished()
        if settings is None:
            return
        try:
            found = await self.estimated(settings)
        except Exception as error:
            self.report(error)
            return
        question = f"Ask {settings.endpoint} for {found.samples:,} samples?"
        words = self.estimate_words(settings, found).append(budget_words(settings.budget_usd, settings.budget_tokens))
        if not await self.app.push_screen_wait(ConfirmDialog(question, words, yes="Launch", no="Not yet")):
            return
        try:
            run_id = await self.in_thread(launch, self.context.lab, settings)
        except Exception as error:
            self.report(error)
            return
        self.done(run_id)


def count(store: Store, settings: TeacherRunSettings) -> int:
    """How many items a run would have (for a thread)."""
    with store.explained():
        return count_items(store, settings)


def estimate_in(lab: Lab, store: Store, settings: TeacherRunSettings) -> Estimate:
    """What a run would come to (for a thread)."""
    return estimate(lab, store, settings)


def launch(lab: Lab, settings: TeacherRunSettings) -> str:
    """Make a run and start its process; its id (for a thread)."""
    folder = runs.start(lab, settings)
    runs.launch_detached(folder)
    return folder.id
