"""The form that sets up an evaluation: what it will come to stands below while it is being written."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, ClassVar

from rich.text import Text
from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.css.query import NoMatches
from textual.widgets import Static

from o1lab.errors import O1LabError, from_store
from o1lab.evaluate import runs
from o1lab.evaluate.estimate import Estimate, estimate
from o1lab.evaluate.settings import EvaluationSettings
from o1lab.locations import Lab, assets_dir
from o1lab.text import one_line, visible
from o1lab.widgets.dialogs import ConfirmDialog
from o1lab.widgets.form import Field
from screens import evaluate_fields
from screens.evaluate_fields import Options
from screens.form_screen import FormScreen
from store.errors import StoreError

PAUSE_S = 0.4  # of not typing, before the items are counted


class EvaluateForm(FormScreen[EvaluationSettings]):
    """Pick suite, model, samples, sampling, judge and budgets; then launch."""

    TITLE = "EVALUATE  new evaluation"
    CSS_PATH: ClassVar[list[Any]] = [assets_dir() / "styles" / "evaluate.tcss"]
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+r", "go", "Launch", priority=True, tooltip="See what it comes to, then launch the evaluation"),
        *FormScreen.KEYS,
    ]
    SECTIONS = evaluate_fields.SECTIONS
    GO = "See what it comes to, and launch"

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.options = Options()
        self.estimated: tuple[EvaluationSettings, Estimate] | None = None
        self._one_look = asyncio.Lock()

    def compose_body(self) -> ComposeResult:
        yield from super().compose_body()
        yield Static(id="estimate", markup=False)

    async def look(self) -> tuple[Mapping[str, Field], Mapping[str, str]]:
        context = self.context
        self.options = await self.in_thread(evaluate_fields.look, context.lab, context.config, context.store)
        given = {name: evaluate_fields.text_of(value) for name, value in self.values.items()}
        return evaluate_fields.fields(self.options), evaluate_fields.starting_values(self.options) | given

    def judge(self, texts: Mapping[str, str]) -> tuple[EvaluationSettings | None, dict[str, str]]:
        return evaluate_fields.judge(texts, self.options)

    def first_field(self) -> str:
        return "suite"

    def is_relevant(self, name: str, texts: Mapping[str, str]) -> bool:
        return evaluate_fields.is_relevant(name, self.options.suite(texts["suite"]))

    def drawn(self) -> None:
        self._count_again()

    def edited(self) -> None:
        self._count_again()

    # What it will come to.

    @work(exclusive=True, group="estimate")
    async def _count_again(self) -> None:
        """Count the items, calls and tokens; a look that has begun is waited for."""
        texts = self.texts()
        settings, faults = self.judge(texts)
        if settings is None:
            name, fault = next(iter(faults.items()))
            self._say(Text(f"✗ {name.replace('_', ' ')}: {visible(fault)}", "yellow"))
            return
        here = self.options.by_name.get(settings.suite)
        if here is not None and here.missing and settings.items_file is None:
            self._say(missing_text(here.missing, remote=here.remote))
            return
        await asyncio.sleep(PAUSE_S)
        async with self._one_look:
            try:
                found = await self._whole(settings)
            except Exception as error:
                self._say(Text(f"✗ {words_of(error)}", "yellow"))
                return
        self.estimated = (settings, found)
        self._say(estimate_text(found, settings, self.context.lab))

    async def _whole(self, settings: EvaluationSettings) -> Estimate:
        """Wait for a look to its end even when we are cancelled: the next one does not begin beside it."""
        task = asyncio.ensure_future(self.in_thread(estimate, self.context.lab, self.context.store, settings))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if not self.closing:
                await asyncio.wait([task])
            raise

    def _say(self, text: Text) -> None:
        try:
            self.query_one("#estimate", Static).update(text)
        except NoMatches:
            return  # closed meanwhile

    @work(exclusive=True, group="launch")
    async def action_go(self) -> None:
        """See what it comes to, then launch it: in a process that outlives this app."""
        settings = await self.finished()
        if settings is None:
            return
        words = Text("Its items come from the hub first.")
        here = self.options.by_name.get(settings.suite)
        try:
            if here is None or not here.remote or settings.items_file is not None:
                if self.estimated is None or self.estimated[0] != settings:
                    self.estimated = (settings, await self._whole(settings))
                words = estimate_text(self.estimated[1], settings, self.context.lab)
        except Exception as error:
            self.report(error)
            return
        words.append(_budget(settings))
        question = f"Put {settings.suite} to {settings.model}?"
        if not await self.app.push_screen_wait(ConfirmDialog(question, words, yes="Launch", no="Not yet")):
            return
        if here is not None and here.remote and settings.items_file is None:
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


def _budget(settings: EvaluationSettings) -> str:
    parts = [f"${settings.budget_usd:,.2f}"] if settings.budget_usd is not None else []
    parts += [f"{settings.budget_tokens:,} tokens"] if settings.budget_tokens is not None else []
    return f"\nit stops before {' or '.join(parts)} are spent" if parts else "\nno budget: nothing stops it but you"


def words_of(error: Exception) -> str:
    """An error in one line, safe to show."""
    if isinstance(error, StoreError):
        error = from_store(error)
    if isinstance(error, O1LabError):
        return visible(f"{error.message} {error.hint or ''}".strip())
    return visible(f"{type(error).__name__}: {error}")


def launch(lab: Lab, settings: EvaluationSettings) -> str:
    """Make an evaluation and start its process; its id (for a thread)."""
    folder = runs.start(lab, settings)
    runs.launch_detached(folder)
    return folder.id
