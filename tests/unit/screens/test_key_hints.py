"""The keys that texts name are the keys that are bound."""

from __future__ import annotations

import inspect

import pytest
from textual.binding import Binding

from screens.distill.pool import PoolPane
from screens.distill.rules import RulesDialog
from screens.distill.screen import DistillScreen
from screens.evaluate.reader import SampleScreen
from screens.evaluate.sheets import SheetsPane
from screens.transparency import text as transparency_text
from screens.transparency.screen import TransparencyScreen

HINTS = [
    (RulesDialog, "i previews the chosen rules", "i", "preview"),
    (RulesDialog, "space, or * for all", "asterisk", "all"),
    (RulesDialog, "press w to apply", "w", "apply"),
    (PoolPane, "Press ! on a problem to change its ruling", "exclamation_mark", "overrule"),
    (PoolPane, "Press w on a problem to write a chain", "w", "write"),
    (SheetsPane, "(* shows all)", "asterisk", "all"),
    (SampleScreen, "O run", "O", "run"),
    (SampleScreen, "c nearest chains", "c", "chains"),
    (TransparencyScreen, "ctrl+n adds a work", "ctrl+n", "add_work"),
    (TransparencyScreen, "r scores the latest finished run", "r", "score_lab"),
]


def actions(node: type) -> dict[str, str]:
    """Return the actions of a class by their keys."""
    found = Binding.make_bindings(node.BINDINGS)  # type: ignore[attr-defined]  # of a screen or a widget
    return {key: one.action for one in found for key in one.key.split(",")}


@pytest.mark.parametrize(("node", "words", "key", "action"), HINTS, ids=[one[1] for one in HINTS])
def test_a_hint_names_the_key_of_its_action(node: type, words: str, key: str, action: str) -> None:
    assert words in inspect.getsource(inspect.getmodule(node))  # type: ignore[arg-type]  # it has one
    assert actions(node)[key] == action


def test_answers_of_works_name_their_keys() -> None:
    keys = actions(TransparencyScreen)
    assert (keys["a"], keys["x"], keys["z"]) == ("answer('yes')", "answer('no')", "answer('not_used')")
    source = inspect.getsource(transparency_text)
    assert "a yes, x no" in source and ", z not used" in source and "ctrl+n adds a work" in source


def test_the_form_of_a_teacher_run_names_the_key_of_the_prompts() -> None:
    from screens.distill import form

    assert actions(DistillScreen)["L"] == "prompts" and "Press L on the Distill screen" in inspect.getsource(form)
