"""The form of a teacher run."""

from __future__ import annotations

from typing import Any, ClassVar

from rich.text import Text

from o1lab.config import Config
from o1lab.distill import runs
from o1lab.distill.estimate import Estimate, estimate
from o1lab.distill.items import count_items
from o1lab.distill.settings import TeacherRunSettings
from o1lab.inference.prompts import all_prompts
from o1lab.paths import Lab, assets_dir
from o1lab.serve.registry import list_models
from screens.distill.text import estimate_text
from screens.forms.estimating_form import EstimatingForm
from screens.forms.settings_form import FormOptions, model_choices
from store.connection import Store


class DistillForm(EstimatingForm[TeacherRunSettings, Estimate]):
    """Form for method, teacher, problems, sampling and budgets; launches the run."""

    TITLE = "DISTILL  new run"
    CSS_PATH: ClassVar[list[Any]] = [assets_dir() / "styles" / "distill.tcss"]
    MODEL = TeacherRunSettings
    WHOLE = "method"

    async def read_form_options(self) -> FormOptions:
        return await self.in_thread(read_options, self.context.lab, self.context.config)

    def first_field(self) -> str:
        return "endpoint"

    async def estimate(self, settings: TeacherRunSettings) -> Estimate:
        """Count the items, which is fast, then estimate calls, tokens and cost."""
        number = await self.uncancelled(count, self.context.store, settings)
        self.show(Text(f"{number:,} items × {settings.n} …"))
        return await self.uncancelled(estimate, self.context.lab, self.context.store, settings)

    def estimate_text(self, settings: TeacherRunSettings, found: Estimate) -> Text:
        return estimate_text(found, settings.n)

    async def confirmation(self, settings: TeacherRunSettings) -> tuple[str, Text]:
        found = await self.estimated(settings)
        return f"Ask {settings.endpoint} for {found.samples:,} samples?", estimate_text(found, settings.n)

    async def launch(self, settings: TeacherRunSettings) -> str:
        return await self.in_thread(launch, self.context.lab, settings)


def read_options(lab: Lab, config: Config) -> FormOptions:
    """Read the models and prompts of the lab; the default is the first teacher or model. Call it in a thread."""
    models = list_models(lab, config)
    prompts = tuple((f"{one.label}  ({one.method})", one.label) for one in reversed(all_prompts(lab)))
    teacher = next((ref for ref in models if ref.role == "teacher"), models[0])
    choices = model_choices(models)
    notes = {"prompt": "Press L on the Distill screen to see and edit them."}
    options = {"endpoint": choices, "student": choices, "critic": choices, "prompt": prompts}
    return FormOptions(options, start={"endpoint": teacher.id}, notes=notes)


def count(store: Store, settings: TeacherRunSettings) -> int:
    """Count the items of a run. Call it in a thread."""
    with store.explained():
        return count_items(store, settings)


def launch(lab: Lab, settings: TeacherRunSettings) -> str:
    """Create a run, start its process and return its id. Call it in a thread."""
    folder = runs.start(lab, settings)
    runs.TEACHER_RUNS.launch(folder)
    return folder.id
