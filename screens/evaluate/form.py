"""The form of an evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from rich.text import Text

from o1lab.config import Config
from o1lab.errors import LabError, O1LabError
from o1lab.evaluate.run import control
from o1lab.evaluate.run.estimate import Estimate, estimate
from o1lab.evaluate.run.settings import EvaluationSettings
from o1lab.evaluate.scorers import needs_judge
from o1lab.evaluate.suites.loading import find_origin
from o1lab.evaluate.suites.suite import Suite, SuiteFile, all_suites
from o1lab.format import money
from o1lab.paths import Lab, assets_dir, offline
from o1lab.serve.registry import list_models
from o1lab.settings import Setting
from o1lab.text import one_line, visible
from screens.forms.estimating_form import EstimatingForm
from screens.forms.settings_form import FormOptions, model_choices
from store.connection import Store
from store.errors import StoreError


@dataclass(frozen=True)
class ListedSuite:
    """A suite in the list. ``missing`` says which items are missing and what to do; ``remote``: the hub has them."""

    file: SuiteFile
    missing: str = ""
    remote: bool = False

    @property
    def sign(self) -> str:
        return "✗" if self.file.suite is None or (self.missing and not self.remote) else "↓" if self.remote else "✓"

    @property
    def label(self) -> str:
        suite = self.file.suite
        if suite is None:
            return f"{self.sign} {one_line(self.file.name, 30)}  cannot be read"
        return f"{self.sign} {one_line(suite.label, 30)}  {one_line(suite.title, 50)}"


class EvaluateForm(EstimatingForm[EvaluationSettings, Estimate]):
    """Form for suite, model, samples, sampling, judge and budgets; launches the evaluation."""

    TITLE = "EVALUATE  new evaluation"
    CSS_PATH: ClassVar[list[Any]] = [assets_dir() / "styles" / "evaluate.tcss"]
    MODEL = EvaluationSettings
    WHOLE = "suite"

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.suites: dict[str, ListedSuite] = {}

    async def read_form_options(self) -> FormOptions:
        context = self.context
        listed, options = await self.in_thread(read_options, context.lab, context.config, context.store)
        self.suites = {one.file.name: one for one in listed}
        return options

    def is_relevant(self, setting: Setting, texts: Mapping[str, str]) -> bool:
        suite = self._suite(texts)
        return setting.name != "judge" or suite is None or needs_judge(suite.scorer)

    def defaults(self, texts: Mapping[str, str]) -> Mapping[str, Any]:
        suite = self._suite(texts)
        return control.sampling_of(suite) if suite is not None else {}

    def check(self, texts: Mapping[str, str]) -> Mapping[str, str]:
        listed, suite = self.suites.get(texts["suite"]), self._suite(texts)
        if listed is not None and suite is None:
            return {"suite": listed.file.problem}
        if suite is not None and needs_judge(suite.scorer) and not texts["judge"]:
            return {"judge": "The scorer of this suite needs a judge: choose a model."}
        return {}

    def _suite(self, texts: Mapping[str, str]) -> Suite | None:
        listed = self.suites.get(texts["suite"])
        return listed.file.suite if listed is not None else None

    def _missing(self, settings: EvaluationSettings) -> ListedSuite | None:
        """Return the suite if its items are needed and not in the lab."""
        listed = self.suites.get(settings.suite) if settings.items_file is None else None
        return listed if listed is not None and listed.missing else None

    def no_estimate(self, settings: EvaluationSettings) -> Text | None:
        missing = self._missing(settings)
        if missing is None:
            return None
        if missing.remote:
            return Text("↓ The items are downloaded from the hub at the launch.")
        return Text(f"✗ {visible(missing.missing)}", "yellow")

    async def estimate(self, settings: EvaluationSettings) -> Estimate:
        return await self.uncancelled(estimate, self.context.lab, self.context.store, settings)

    def estimate_text(self, settings: EvaluationSettings, found: Estimate) -> Text:
        return estimate_text(found, settings, self.context.lab)

    async def confirmation(self, settings: EvaluationSettings) -> tuple[str, Text]:
        missing = self._missing(settings)
        if missing is not None and missing.remote:
            cost = Text("The items are downloaded from the hub first.")
        else:
            cost = self.estimate_text(settings, await self.estimated(settings))
        return f"Evaluate {settings.model} on {settings.suite}?", cost

    async def launch(self, settings: EvaluationSettings) -> str:
        missing = self._missing(settings)
        if missing is not None and missing.remote:
            self.app.notify("Downloading the items from the hub; this may take a while.", markup=False)
        return await self.in_thread(launch, self.context.lab, settings)


def read_options(lab: Lab, config: Config, store: Store) -> tuple[list[ListedSuite], FormOptions]:
    """Read the suites of the lab, those with items first, and the models. Call it in a thread.

    The defaults are the first suite and the latest student. A lab without a student gets the solver.
    """
    with store.explained():
        suites = [_listed(lab, store, one) for one in all_suites(lab)]
    suites.sort(key=lambda one: ("✓↓✗".index(one.sign), one.file.name))
    models = list_models(lab, config)
    choices = model_choices(models)
    model = next((ref for ref in models if ref.role == "student"), None)
    model = model or next((ref for ref in models if ref.source == "solver"), None)
    start = {"suite": suites[0].file.name if suites else "", "model": model.id if model else ""}
    labels = tuple((one.label, one.file.name) for one in suites)
    notes = {"suite": "Its items: ✓ in the lab, ↓ on the hub, ✗ missing."}
    return suites, FormOptions({"suite": labels, "model": choices, "judge": choices}, start=start, notes=notes)


def _listed(lab: Lab, store: Store, one: SuiteFile) -> ListedSuite:
    if one.suite is None:
        return ListedSuite(one, one.problem)
    try:
        find_origin(lab, store, one.suite, fetch=False)
    except StoreError:
        raise
    except LabError as error:
        remote = one.suite.items.hub is not None and not offline()
        missing = error.code == "no_items"
        words = f"The items are not in the lab. {error.hint}" if missing else f"{error.message} {error.hint}"
        return ListedSuite(one, words.strip(), remote)
    except O1LabError as error:
        return ListedSuite(one, str(error))
    return ListedSuite(one)


def estimate_text(found: Estimate, settings: EvaluationSettings, lab: Lab) -> Text:
    """Format the estimate of an evaluation, and the origin of its items."""
    text = Text.assemble(
        (f"{found.items:,} items × {settings.samples:,} = {found.samples:,} samples", "bold"),
        f", {found.calls:,} calls{', plus those of the judge' if found.judged else ''}",
        f", {found.cached:,} samples already answered\n" if found.cached else "\n",
        ("at most  ", "dim"), f"{found.most_output_tokens:,} tokens out, {_dollars(found.most_cost_usd)}",
        (f"   each up to {settings.max_tokens:,} at temperature ", "dim"),
        ("the server's" if settings.temperature is None else f"{settings.temperature:g}", "dim"), "\n",
    )  # fmt: skip
    origin = found.origin.removeprefix(f"{lab.root}/").removeprefix(f"{assets_dir()}/")
    return text.append("items    ", "dim").append(f"{one_line(found.suite, 40)}, {one_line(origin, 200)}")


def _dollars(most: float | None) -> str:
    return f"{money(most)} for these" if most else money(None) if most is None else "free of charge"


def launch(lab: Lab, settings: EvaluationSettings) -> str:
    """Create an evaluation, start its process and return its id. Call it in a thread."""
    folder = control.start(lab, settings)
    control.EVALUATIONS.launch(folder)
    return folder.id
