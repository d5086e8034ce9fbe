"""The form that sets up an evaluation: what it will come to stands below while it is being written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from rich.text import Text
from textual import work
from textual.binding import Binding, BindingType

from o1lab.evaluate.run import control
from o1lab.evaluate.run.estimate import Estimate, estimate
from o1lab.evaluate.run.settings import EvaluationSettings
from o1lab.paths import Lab, assets_dir
from o1lab.text import one_line, visible
from o1lab.widgets.dialogs import ConfirmDialog
from o1lab.widgets.form import Field
from screens.evaluate import fields
from screens.evaluate.fields import Options, SuiteHere
from screens.forms.estimating_form import EstimatingForm, budget_words


class EvaluateForm(EstimatingForm[EvaluationSettings, Estimate]):
    """Pick suite, model, samples, sampling, judge and budgets; then launch."""

    TITLE = "EVALUATE  new evaluation"
    CSS_PATH: ClassVar[list[Any]] = [assets_dir() / "styles" / "evaluate.tcss"]
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+r", "go", "Launch", priority=True, tooltip="See what it comes to, then launch the evaluation"),
        *EstimatingForm.KEYS,
    ]
    SECTIONS = fields.SECTIONS
    GO = "See what it comes to, and launch"

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.options = Options()

    async def look(self) -> tuple[Mapping[str, Field], Mapping[str, str]]:
        context = self.context
        self.options = await self.in_thread(fields.look, context.lab, context.config, context.store)
        given = {name: fields.text_of(value) for name, value in self.values.items()}
        return fields.fields(self.options), fields.starting_values(self.options) | given

    def judge(self, texts: Mapping[str, str]) -> tuple[EvaluationSettings | None, dict[str, str]]:
        return fields.judge(texts, self.options)

    def first_field(self) -> str:
        return "suite"

    def is_relevant(self, name: str, texts: Mapping[str, str]) -> bool:
        return fields.is_relevant(name, self.options.suite(texts["suite"]))

    def _here(self, settings: EvaluationSettings) -> SuiteHere | None:
        """The suite, where its own items are taken."""
        return self.options.by_name.get(settings.suite) if settings.items_file is None else None

    def instead(self, settings: EvaluationSettings) -> Text | None:
        here = self._here(settings)
        return missing_text(here.missing, remote=here.remote) if here is not None and here.missing else None

    async def estimate(self, settings: EvaluationSettings) -> Estimate:
        return await self.whole(estimate, self.context.lab, self.context.store, settings)

    def estimate_words(self, settings: EvaluationSettings, found: Estimate) -> Text:
        return estimate_text(found, settings, self.context.lab)

    @work(exclusive=True, group="launch")
    async def action_go(self) -> None:
        """See what it comes to, then launch it: in a process that outlives this app."""
        settings = await self.finished()
        if settings is None:
            return
        here = self._here(settings)
        remote = here is not None and here.remote
        try:
            words = (
                Text("Its items come from the hub first.")
                if remote
                else self.estimate_words(settings, await self.estimated(settings))
            )
        except Exception as error:
            self.report(error)
            return
        words.append(budget_words(settings.budget_usd, settings.budget_tokens))
        question = f"Put {settings.suite} to {settings.model}?"
        if not await self.app.push_screen_wait(ConfirmDialog(question, words, yes="Launch", no="Not yet")):
            return
        if remote:
            self.app.notify("The items are being fetched from the hub; this may take a while.", markup=False)
        try:
            identity = await self.in_thread(launch, self.context.lab, settings)
        except Exception as error:
            self.report(error)
            return
        self.done(identity)


def estimate_text(found: Estimate, settings: EvaluationSettings, lab: Lab) -> Text:
    """What an evaluation will come to, and where its items come from."""
    text = Text.assemble(
        (f"{found.items:,} items × {settings.samples:,} = {found.samples:,} samples", "bold"),
        f", {found.calls:,} calls{' and those of the judge' if found.judged else ''}",
        f", {found.cached:,} samples answered already\n" if found.cached else "\n",
        ("at most  ", "dim"), f"{found.most_output_tokens:,} tokens out, {_dollars(found.most_cost_usd)}",
        (f"   each up to {settings.max_tokens:,} at temperature ", "dim"),
        ("the server's" if settings.temperature is None else f"{settings.temperature:g}", "dim"), "\n",
    )  # fmt: skip
    origin = found.origin.removeprefix(f"{lab.root}/").removeprefix(f"{assets_dir()}/")
    return text.append("items    ", "dim").append(f"{one_line(found.suite, 40)}, {one_line(origin, 200)}")


def _dollars(most: float | None) -> str:
    return "price not known" if most is None else f"${most:,.4f} for these" if most else "free of charge"


def missing_text(missing: str, *, remote: bool) -> Text:
    """What a suite still needs before it can be put."""
    sign = "↓ its items are fetched from the hub when it is launched. " if remote else "✗ "
    return Text(f"{sign}{'' if remote else visible(missing)}", "" if remote else "yellow")


def launch(lab: Lab, settings: EvaluationSettings) -> str:
    """Make an evaluation and start its process; its id (for a thread)."""
    folder = control.start(lab, settings)
    control.launch_detached(folder)
    return folder.id
