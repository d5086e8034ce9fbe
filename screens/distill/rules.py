"""The dialog that runs the rules of the pool: choose them, preview the result, apply it. Both can be stopped."""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping
from functools import partial
from typing import ClassVar

from rich.text import Text
from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.css.query import NoMatches
from textual.widgets import OptionList, Static

from o1lab.distill.filters import RULES
from o1lab.distill.filters.pool import FilterReport, chosen_rules, filter_pool
from o1lab.text import one_line, visible
from o1lab.widgets.cell_list import CellList
from o1lab.widgets.dialogs import Dialog, PromptDialog
from o1lab.widgets.keys import Binding
from o1lab.widgets.text_pane import TallText
from screens.base.context import LabContext
from screens.base.screen import words_of
from screens.base.writer import Writer
from screens.distill.problem import RULED, WholeProblem
from store.connection import Store
from store.exclusions import Ruled, RuleRun
from store.filters import ProblemQuery


class _StoppedError(Exception):
    """The run of the rules was stopped."""


class RulesDialog(Dialog[str]):
    """Returns a message about what was applied, or None."""

    DEFAULT_CSS = """
    RulesDialog {
        #rules { height: auto; max-height: 10; border: none; padding: 0; background: $surface; }
        #rules-below { height: auto; max-height: 11; min-height: 3; margin-top: 1; }
        #rules-message { height: auto; }
    }
    """
    FOOTER = True

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "choose", "Choose", tooltip="Select or deselect this rule"),
        Binding("asterisk", "all", "All or none", key_display="*", tooltip="Select all rules, or none"),
        Binding("slash", "scope", "Of the filter", key_display="/",
                tooltip="Check the problems of the pool's filter, or all"),
        Binding("i", "preview", "Preview", tooltip="Run the rules and show the result; nothing is written"),
        Binding("w", "apply", "Apply", tooltip="Run the rules and save their findings"),
        Binding("s", "stop", "Stop", tooltip="Stop now"),
        Binding("escape,q", "cancel", "Close", tooltip="Close; a running check is stopped"),
    ]  # fmt: skip

    def __init__(
        self,
        context: LabContext,
        writer: Writer,
        query: ProblemQuery,
        benchmarks: Collection[str],
        last: Mapping[str, RuleRun],
    ) -> None:
        super().__init__("Run the rules on the pool")
        self.context = context
        self.writer = writer
        self.pool_filter = query
        self.narrowed = bool(query.source)
        self.benchmarks = benchmarks
        self.last = last
        self.chosen = tuple(RULES.all())
        self.found: dict[str, int] = {}
        """The number of findings in the preview, by rule."""
        self._previewed: tuple[tuple[str, ...], bool] | None = None
        self._stop: threading.Event | None = None

    def compose_dialog(self) -> ComposeResult:
        yield CellList(id="rules")
        with VerticalScroll(can_focus=False, id="rules-below"):
            yield TallText(id="rules-message", markup=False)

    def on_mount(self) -> None:
        self._draw()
        rules = self.query_one(CellList)
        rules.highlighted = 0
        rules.focus()
        self._explain()

    def on_unmount(self) -> None:
        self.action_stop()

    def _draw(self) -> None:
        self.query_one(CellList).show({name: self._cell(name) for name in RULES.all()}, None)

    def _cell(self, name: str) -> Text:
        rule, run = RULES.all()[name], self.last.get(name)
        when = "never ran" if run is None else f"last {run.excluded:,} of {run.looked:,}"
        if run is not None and run.version != rule.version:
            when += f" by version {run.version}"
        sign = "[x] " if name in self.chosen else "[ ] "
        now = f"now {self.found[name]:>7,}   " if name in self.found else ""
        return Text.assemble(
            sign, (f"{name:<17}", "bold"), (now, "bold"), f"{when}  ", (f"version {rule.version}", "dim"), no_wrap=True
        )

    @property
    def working(self) -> bool:
        return self._stop is not None

    def _explain(self) -> None:
        """Explain the rule under the cursor and which problems are checked."""
        name = list(RULES.all())[self.query_one(CellList).highlighted or 0]
        scope = f"the problems of the filter {visible(self.pool_filter.source)}" if self.narrowed else "all problems"
        text = Text.assemble((name, "bold"), f": {RULES.all()[name].about}\n")
        text.append(f"i previews the chosen rules on {scope}; nothing is written.")
        self._say(text)

    def _say(self, text: Text) -> None:
        try:
            self.query_one("#rules-message", Static).update(text)
        except NoMatches:
            return  # the dialog was closed

    @on(OptionList.OptionHighlighted)
    def _highlighted(self) -> None:
        if not self.working and self._previewed is None:
            self._explain()

    @on(OptionList.OptionSelected)
    def action_choose(self) -> None:
        """Select or deselect the rule under the cursor."""
        name = list(RULES.all())[self.query_one(CellList).highlighted or 0]
        if not self.working:
            self._choose(set(self.chosen) ^ {name})

    def action_all(self) -> None:
        """Select every rule, or none if all are selected."""
        self._choose(set() if len(self.chosen) == len(RULES.all()) else set(RULES.all()))

    def _choose(self, names: set[str]) -> None:
        self.chosen = tuple(name for name in RULES.all() if name in names)
        self._forget()

    def _forget(self) -> None:
        """Discard the preview, which no longer applies."""
        self._previewed = None
        self.found = {}
        self._draw()
        self._explain()
        self.refresh_bindings()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "scope":
            return bool(self.pool_filter.source) and not self.working
        if action in ("preview", "all", "choose"):
            return not self.working
        if action == "apply":
            return not self.working and self._previewed is not None
        if action == "stop":
            return self.working
        return True

    def action_scope(self) -> None:
        """Check the problems of the filter, or all problems."""
        self.narrowed = not self.narrowed
        self._forget()

    def action_stop(self) -> None:
        if self._stop is not None:
            self._stop.set()

    def action_cancel(self) -> None:
        """Stop the running rules; otherwise close the dialog."""
        if self._stop is not None:
            self._stop.set()
        else:
            self.dismiss(None)

    def action_preview(self) -> None:
        """Run the rules and show the result."""
        self.run_rules(dry_run=True)

    def action_apply(self) -> None:
        """Run the rules and save their findings."""
        self.run_rules(dry_run=False)

    @work(exclusive=True)
    async def run_rules(self, *, dry_run: bool) -> None:
        """Run the chosen rules in the writer's thread."""
        names, narrowed = self.chosen, self.narrowed
        if not names:
            self._say(Text("Choose at least one rule (space, or * for all).", "yellow"))
            return
        stop = self._stop = threading.Event()
        self._say(Text("Starting …   s stops"))
        self.refresh_bindings()
        query = self.pool_filter if narrowed else ProblemQuery()
        run = partial(self._filter, self.context.store, names, query, stop, dry_run=dry_run)
        try:
            report = await self.writer.do(run)
        except _StoppedError:
            words = "Nothing was written." if dry_run else "The findings so far are saved; run it again for the rest."
            self._say(Text(f"Stopped. {words}", "yellow"))
        except Exception as error:
            self._say(Text(words_of(error), "bold red"))
        else:
            if not dry_run:
                self.dismiss(
                    f"saved: the rules checked {report.total:,} problems: {report.kept:,} kept, "
                    f"{report.excluded:,} left out"
                )
                return
            self._previewed = (names, narrowed)
            self.found = {one.name: one.excluded for one in report.rules}
            self._draw()
            self._say(report_text(report))
        finally:
            self._stop = None
            if self.is_attached:
                self.refresh_bindings()

    def _filter(
        self, store: Store, names: tuple[str, ...], query: ProblemQuery, stop: threading.Event, *, dry_run: bool
    ) -> FilterReport:
        def progress(what: str, done: int, of: int) -> None:
            if stop.is_set():
                raise _StoppedError
            self.app.call_from_thread(self._say, Text(f"{what}: {done:,} of {of:,}   s stops"))

        return filter_pool(
            store.db, chosen_rules(names), query, benchmarks=self.benchmarks, dry_run=dry_run, progress=progress
        )


def report_text(report: FilterReport) -> Text:
    """Format the totals of a preview."""
    text = Text(f"{report.total:,} problems: ").append(f"✓ {report.kept:,} kept", "green")
    text.append(", ").append(f"✗ {report.excluded:,} left out", "red")
    return text.append(" (with the rulings of people)\nNothing is written yet: press w to apply.")


class OverruleDialog(Dialog[tuple[Ruled, str]]):
    """Returns the ruling and a note on it."""

    DEFAULT_CSS = "OverruleDialog #overrule-words { height: auto; max-height: 12; }"
    FOOTER = True

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("a", "rule('keep')", "Keep it", tooltip="Keep the problem, whatever the rules say"),
        Binding("x", "rule('exclude')", "Leave it out", tooltip="Leave the problem out, whatever the rules say"),
        Binding("backspace", "rule('none')", "As the rules say", tooltip="Remove the ruling, so that the rules decide"),
        Binding("m", "note", "Note", tooltip="Add a reason first"),
        Binding("escape,q", "cancel", "Cancel", tooltip="Close without a ruling"),
    ]

    def __init__(self, whole: WholeProblem) -> None:
        super().__init__("Overrule the rules on this problem?")
        self.whole = whole
        self.note = ""

    def compose_dialog(self) -> ComposeResult:
        yield Static(self._words(), id="overrule-words", markup=False)

    def _words(self) -> Text:
        problem = self.whole.problem
        text = Text()
        text.append(f"{one_line(f'{problem.source} {problem.key}', 60)}\n", "bold")
        text.append(f"{one_line(problem.statement, 200)}\n\n")
        text.append("now    ", "dim").append("✓ kept" if problem.excluded_by is None else "✗ left out")
        text.append("\nrules  ", "dim")
        text.append(
            "; ".join(f"{one.rule}: {one_line(one.reason, 90)}" for one, _ in self.whole.findings) or "no finding"
        )
        if self.whole.rulings:
            text.append("\nruling ", "dim").append(
                f"{RULED[self.whole.ruling]}, {visible(self.whole.rulings[-1].annotator)}"
            )
        text.append("\nnote   ", "dim").append(visible(self.note) or "none; press m to add one")
        return text

    def action_rule(self, ruling: Ruled) -> None:
        """Return this ruling."""
        self.dismiss((ruling, self.note))

    @work
    async def action_note(self) -> None:
        """Ask for a note on the ruling."""
        note = await self.app.push_screen_wait(PromptDialog("Reason for the ruling", value=self.note))
        if note is not None:
            self.note = note.strip()
            self.query_one("#overrule-words", Static).update(self._words())
