"""The keys of o1lab.toml: which actions there are, and what is wrong with a change."""

from __future__ import annotations

import pytest

from o1lab.app import LabApp
from o1lab.keymap import all_keys, faults
from o1lab.widgets.keys import Binding


def wrong(**changes: str) -> list[str]:
    """What is wrong with these changes, without the warnings about prefixes."""
    return [fault for fault in faults(all_keys(LabApp, changes), changes) if " takes " not in fault]


@pytest.mark.parametrize(
    ("action", "id"),
    [
        ("stop", "stop"),
        ("step(-1)", "step_-1"),
        ("annotate('accept')", "annotate_accept"),
        ("app.focus_next", "app_focus_next"),
    ],
)
def test_the_id_of_an_action(action: str, id: str) -> None:
    assert Binding("x", action).id == id


def test_every_screen_has_keys_and_a_change_holds_wherever_the_action_is() -> None:
    found = all_keys(LabApp, {"stop": "f12"})
    assert {"app", "compare", "distill", "evaluate", "jobs", "lab", "traces", "train", "transparency", "widgets"} <= {
        one.screen for one in found
    }
    changed = [one for one in found if one.action == "stop"]
    assert {one.screen for one in changed} >= {"compare", "jobs"}
    assert {one.key for one in changed} == {"f12"} and {one.default for one in changed} == {"s"}
    assert all(one.key == one.default for one in found if one.action != "stop")


def test_no_change_is_wrong_by_itself() -> None:
    assert wrong() == []
    assert wrong(stop="f12", rename="shift+f9") == []


def test_an_unknown_action_and_an_unknown_key_are_named() -> None:
    assert wrong(stopp="f12") == ["[keys]: there is no action 'stopp'. Did you mean stop?"]
    assert wrong(stop="cntrl+t") == ["[keys]: 'cntrl+t' of stop is not the name of a key."]
    assert wrong(stop="ctrl++") == []


def test_two_actions_on_one_key_are_named_once() -> None:
    [fault] = wrong(rename="D")
    assert fault.startswith("D is the key of rename (jobs pane) and of remove (jobs pane)")
    assert wrong(rename="D", remove="f12") == []  # its key is free
    assert wrong(send="W") == []  # the prompt of Compare and the pool are never active together
    clashes = wrong(rename="ctrl+n")  # a key of the screens that hold the pane
    assert any(" of new_run (" in fault for fault in clashes)


def test_keys_that_a_multiplexer_takes_are_named() -> None:
    found = list(faults(all_keys(LabApp, {"stop": "ctrl+a"}), {"stop": "ctrl+a"}))
    assert "screen takes ctrl+a itself unless its prefix is another key: stop." in found
    assert any(fault.startswith("tmux takes ctrl+b itself") for fault in found)
    [fault] = [fault for fault in found if fault.startswith("tmux")]
    assert "page_-1 (also pageup)" in fault


def test_keys_that_other_programs_may_take_are_listed() -> None:
    taken = {one.action: one.taken for one in all_keys(LabApp, {"stop": "ctrl+s,f12"})}
    assert taken["stop"] == ["ctrl+s: flow control"]
    assert taken["new_run"] == ["ctrl+n: web browsers"]
    assert taken["switch_mode_lab"] == ["f1: GNOME Terminal", "alt+1: GNOME Terminal"]
    assert taken["resume"] == []
