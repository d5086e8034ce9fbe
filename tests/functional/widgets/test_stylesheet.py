"""The app's stylesheet: what is parsed when, and what an error changes."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from textual.css import stylesheet as textual_stylesheet
from textual.css.stylesheet import StylesheetParseError

from o1lab.app import LabApp
from o1lab.widgets.stylesheet import ParsedOnce
from tests.support.compare_lab import until
from tests.support.lab_seed import seeded_context


async def test_a_source_is_parsed_once_for_a_theme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parsed = Counter[tuple[object, ...]]()
    parse = textual_stylesheet.parse

    def counted(scope: str, css: str, read_from: tuple[str, str], **options: Any) -> Any:
        parsed[read_from, options["tie_breaker"]] += 1  # which a source has depends on the widgets that need it
        return parse(scope, css, read_from, **options)

    monkeypatch.setattr(textual_stylesheet, "parse", counted)
    monkeypatch.setattr(ParsedOnce, "_parsed", {})
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


def test_an_error_leaves_the_rules_as_they_are() -> None:
    sheet = ParsedOnce(variables={"shade": "red"})
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
