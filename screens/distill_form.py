"""The form that sets up a teacher run: what it will come to stands below while it is being written."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from rich.text import Text
from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.css.query import NoMatches
from textual.widgets import Static

from o1lab.distill import runs
from o1lab.distill.estimate import Estimate, estimate
from o1lab.distill.items import count_items
from o1lab.distill.settings import TeacherRunSettings
from o1lab.errors import O1LabError, from_store
from o1lab.locations import Lab, assets_dir
from o1lab.text import visible
from o1lab.widgets.dialogs import ConfirmDialog
from o1lab.widgets.form import Field
from screens import distill_fields
from screens.distill_text import estimate_text
from screens.form_screen import FormScreen
from store.connection import Store
from store.errors import StoreError

PAUSE_S = 0.4  # of not typing, before it is counted


class DistillForm(FormScreen[TeacherRunSettings]):
    """Pick method, teacher, problems, sampling and budgets; then launch."""

    TITLE = "DISTILL  new run"
    CSS_PATH: ClassVar[list[Any]] = [assets_dir() / "styles" / "distill.tcss"]
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+r", "go", "Launch", priority=True, tooltip="See what it comes to, then launch the run"),
        *FormScreen.KEYS,
    ]
    SECTIONS = distill_fields.SECTIONS
    GO = "See what it comes to, and launch"

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.estimated: tuple[TeacherRunSettings, Estimate] | None = None
        self._one_look = asyncio.Lock()

    def compose_body(self) -> ComposeResult:
        yield from super().compose_body()
        yield Static(id="estimate", markup=False)

    async def look(self) -> tuple[Mapping[str, Field], Mapping[str, str]]:
        options = await self.in_thread(distill_fields.look, self.context.lab, self.context.config)
        values = {**distill_fields.starting_values(options), **self.values}
        return distill_fields.fields(options), {name: distill_fields.as_text(one) for name, one in values.items()}

    def judge(self, texts: Mapping[str, str]) -> tuple[TeacherRunSettings | None, dict[str, str]]:
        return distill_fields.judge(texts)

    def first_field(self) -> str:
        return "endpoint"

    def is_relevant(self, name: str, texts: Mapping[str, str]) -> bool:
        """Only the fields that mean something for the method are shown."""
        return distill_fields.is_relevant(name, texts["method"])

    def drawn(self) -> None:
        self._count_again()

    def edited(self) -> None:
        self._count_again()

    # What it will come to.

    @work(exclusive=True, group="estimate")
    async def _count_again(self) -> None:
        """Count the items at once, then the calls, tokens and money; a look that has begun is waited for."""
        settings, faults = distill_fields.judge(self.texts())
        if settings is None:
            name, fault = next(iter(faults.items()))
            self._say(Text(f"✗ {name.replace('_', ' ')}: {visible(fault)}", "yellow"))
            return
        await asyncio.sleep(PAUSE_S)
        async with self._one_look:
            try:
                number = await self._whole(count, self.context.store, settings)
                self._say(Text(f"{number:,} items × {settings.n} …"))
                found = await self._whole(estimate_in, self.context.lab, self.context.store, settings)
            except Exception as error:
                self._say(Text(f"✗ {words_of(error)}", "yellow"))
                return
        self.estimated = (settings, found)
        self._say(estimate_text(found, settings.n))

    async def _whole(self, look: Callable[..., Any], *arguments: Any) -> Any:
        """Wait for a look to its end even when we are cancelled: the next one does not begin beside it."""
        task = asyncio.ensure_future(self.in_thread(look, *arguments))
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
        try:
            if self.estimated is None or self.estimated[0] != settings:
                found = await self.in_thread(estimate_in, self.context.lab, self.context.store, settings)
                self.estimated = (settings, found)
        except Exception as error:
            self.report(error)
            return
        question = f"Ask {settings.endpoint} for {self.estimated[1].samples:,} samples?"
        words = estimate_text(self.estimated[1], settings.n)
        words.append(_budget(settings))
        if not await self.app.push_screen_wait(ConfirmDialog(question, words, yes="Launch", no="Not yet")):
            return
        try:
            run_id = await self.in_thread(launch, self.context.lab, settings)
        except Exception as error:
            self.report(error)
            return
        self.done(run_id)


def _budget(settings: TeacherRunSettings) -> str:
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
