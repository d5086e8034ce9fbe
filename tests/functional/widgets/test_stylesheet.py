"""The app's stylesheet: what is parsed when, and what an error changes."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from textual.app import App
from textual.css import stylesheet as textual_stylesheet
from textual.css.stylesheet import Stylesheet, StylesheetParseError
from textual.dom import DOMNode

from o1lab.app import LabApp
from o1lab.widgets.stylesheet import KeepingStylesheet, _are_equal
from tests.support.compare_lab import filter_by, until
from tests.support.lab_seed import seeded_context


async def test_a_source_is_parsed_once_for_a_theme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parsed = Counter[tuple[object, ...]]()
    parse = textual_stylesheet.parse

    def counted(scope: str, css: str, read_from: tuple[str, str], **options: Any) -> Any:
        parsed[read_from, options["tie_breaker"]] += 1  # which a source has depends on the widgets that need it
        return parse(scope, css, read_from, **options)

    monkeypatch.setattr(textual_stylesheet, "parse", counted)
    monkeypatch.setattr(KeepingStylesheet, "_parsed", {})
    app = LabApp(seeded_context(tmp_path / "lab", 2), mode="traces")
    async with app.run_test() as pilot:
        first, background = app.theme, app.screen.styles.background
        assert set(parsed.values()) == {1}
        app.theme = "nord"
        await until(pilot, lambda: app.screen.styles.background != background, "the colours of the other theme")
        before = parsed.copy()
        app.theme = first
        await until(pilot, lambda: app.screen.styles.background == background, "the first colours")
        assert {source for source in before if parsed[source] > before[source]} == set()
    before = parsed.copy()
    again = LabApp(seeded_context(tmp_path / "another", 2), mode="traces")
    async with again.run_test():
        assert again.screen.styles.background == background
        assert {source for source in before if parsed[source] > before[source]} == set()


async def test_kept_styles_are_those_that_textual_computes(tmp_path: Path) -> None:
    app = LabApp(seeded_context(tmp_path / "lab", 2), mode="traces")
    async with app.run_test(size=(120, 40)) as pilot:
        await filter_by(pilot, "mod")
        await pilot.press("enter", "question_mark")
        await until(pilot, lambda: app.screen.query("HelpPanel"), "the help")
        assert others(app) == []
        app.theme = "textual-light"
        await pilot.press("escape")
        await pilot.resize_terminal(80, 24)
        await until(pilot, lambda: app.screen.has_class("-narrow"), "the smaller screen")
        assert others(app) == []
        await pilot.press("alt+4")
        await until(pilot, lambda: app.current_mode == "train", "a screen of the same theme")
        assert others(app) == []


def others(app: App[Any]) -> list[DOMNode]:
    """Apply the app's stylesheet and then Textual's, and return the nodes of the screen that get other styles."""
    sheet = app.stylesheet
    sheet.update(app.screen)
    textual = Stylesheet(variables=sheet._variables)
    textual._rules = sheet.rules
    found: list[DOMNode] = []
    for node in app.screen.walk_children(with_self=True):
        styles = [node._css_styles, *(one.base for _, one in sorted(node._component_styles.items()))]
        kept = [one.get_rules() for one in styles]
        textual.apply(node)
        again = [node._css_styles, *(one.base for _, one in sorted(node._component_styles.items()))]
        if not all(_are_equal(one, other.get_rules()) for one, other in zip(kept, again, strict=True)):
            found.append(node)
    return found


def test_an_error_leaves_the_rules_as_they_are() -> None:
    sheet = KeepingStylesheet(variables={"shade": "red"})
    sheet.add_source("Label { color: $shade; }", ("a", ""))
    (rule,) = sheet.rules
    sheet.add_source("Label { color: nonsense-colour; }", ("b", ""))
    with pytest.raises(StylesheetParseError):
        sheet.reparse()
    assert sheet._rules == [rule]
    sheet.set_variables({"shade": "blue"})
    sheet.source.pop(("b", ""))
    sheet.reparse()
    (blue,) = sheet.rules
    assert blue.styles.color != rule.styles.color
