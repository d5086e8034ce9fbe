"""Each key means the same on every screen: the table of what keys mean, and that bindings keep to it."""

from __future__ import annotations

from collections import defaultdict

import pytest

from o1lab.app import LabApp
from o1lab.keymap import KeyOfAction, all_keys

IN_TEXT = frozenset(
    {"chain reader", "reader body", "line view", "stream body", "loss plot", "text pane", "cell list", "paged table"}
)
"""Parts that show a text, a plot or a list: their keys move in it, and have a table of their own."""

MEANINGS = {
    # Everywhere.
    "question_mark": ("what the keys do", "help"),
    "q": ("close what is open, at last the app", "close cancel close_tree"),
    "escape": ("go back", "answer_False back cancel close_tree give_up leave_prompt restore"),
    "enter": ("do what is at the cursor", "change do_it enter keep launch make_here save screen_keep send submit"),
    "tab": (
        "the next part",
        "app_focus_next column column_1 complete next_kind_1 next_pane other_list_1 pane_1 part_1 walk_1",
    ),
    "shift+tab": (
        "the part before",
        "app_focus_previous column column_-1 next_kind_-1 other_list_-1 pane_-1 part_-1 walk_-1",
    ),
    "slash": ("filter or search", "filter scope screen_filter"),
    "i": ("details", "facts preview run_show_prompt statement"),
    "n": ("next; in a question: no", "step_1 answer_False"),
    "p": ("previous", "step_-1"),
    "full_stop": ("the next of the list", "next_item"),
    "comma": ("the one before of the list", "previous_item"),
    "greater_than_sign": ("the next one inside or further on", "next_undecided sample_1 turn_1 version_1"),
    "less_than_sign": ("the one before inside", "sample_-1 turn_-1 version_-1"),
    "j": ("down", "move_down scroll_body_1"),
    "k": ("up", "move_up scroll_body_-1"),
    "h": ("left", "button_left"),
    "l": ("right; in samples: the longest", "button_right longest"),
    "left": ("left", "button_left turn_to_-1"),
    "right": ("right", "button_right turn_to_1"),
    "up": ("up", "choose_-1 field_up move_-1 recall_-1"),
    "down": ("down", "choose_1 field_down move_1 recall_1"),
    "pageup": ("up a page", "move_-10 scroll_rows_-1"),
    "pagedown": ("down a page", "move_10 scroll_rows_1"),
    # Lists, jobs and decisions.
    "ctrl+n": ("new", "add_label add_work new new_run"),
    "insert": ("new", "add_label add_work new new_run"),
    "U": ("new from this one", "new_like_this"),
    "s": ("stop", "stop"),
    "Z": ("stop all", "stop_all stop_group"),
    "P": ("pause", "pause"),
    "r": ("go on or do it again", "check refresh regenerate resume score_lab"),
    "ctrl+r": ("run what the form describes", "finish go make retry"),
    "ctrl+s": ("keep it: what the form describes, or the filter", "finish make save_filter"),
    "D": ("delete", "close_pane remove remove_label"),
    "e": ("edit", "edit edit_prompt rename rename_label"),
    "E": ("export to a file", "case export run_export"),
    "w": ("write and keep", "apply run_save_prompt write"),
    "W": ("what is being written", "drafts"),
    "m": ("note", "annotate_note note"),
    "t": ("tags", "annotate_tags run_prompt_tags tags"),
    "u": ("undo", "annotate_undo undo undo_label"),
    "y": ("copy; in a question: yes", "answer_True copy copy_id"),
    "Y": ("copy the command", "copy_command"),
    "a": ("accept, or yes", "annotate_decision_accept answer_yes dismiss_accept rule_keep"),
    "x": ("reject, or no", "annotate_decision_reject answer_no dismiss_reject rule_exclude"),
    "z": ("neither", "annotate_decision_skip answer_not_used dismiss_skip"),
    "backspace": ("withdraw", "answer_withdrawn rub_out rule_none"),
    "space": ("mark", "choose mark"),
    "asterisk": ("all of them", "all bulk mark_group"),
    "S": ("sort", "sort"),
    "Q": ("queue", "queue"),
    "I": ("annotators: I and the others", "annotators"),
    "X": ("wrong step", "judge_step_wrong"),
    "A": ("no wrong step", "judge_step_right"),
    "exclamation_mark": ("overrule", "overrule"),
    "F": ("rules of the pool", "filters"),
    # From here to somewhere else.
    "T": ("traces", "run_add_trace traces"),
    "C": ("in Compare", "compare"),
    "c": ("chains beside each other", "chains run_chains side_by_side"),
    "d": ("dataset", "dataset run_dataset"),
    "V": ("versus: two, item by item", "diff pairs run_word_diff"),
    "O": ("the run it is from", "run"),
    "H": ("the tree: how it was searched, or of the branches", "tree close_tree run_tree"),
    "percent_sign": ("how likely its tokens are", "lens"),
    "semicolon": ("where its answer is", "converge"),
    "colon": ("which sentences matter", "anchors"),
    "b": ("the batch: the runs of a group, the prompts of a set", "group run_rounds"),
    "v": ("view the answers", "answers"),
    "f": ("fold or show the thought", "thought"),
    "B": ("blind", "rate run_blind"),
    "K": ("calibrate", "calibrate"),
    "R": ("go on or score again, all of them", "rescore resume_group"),
    "L": ("library: prompts or labels", "annotate_labels prompts run_prompt_sets"),
    "number_sign": ("counts", "results run_tally"),
    "ampersand": ("whom to ask", "models"),
    "dollar_sign": ("whom the chains are for: the student", "student"),
    "o": ("options", "label_colour run_settings"),
    "equals_sign": ("scroll together", "run_together"),
    "at": ("options of this one alone", "run_pane_settings"),
    "quotation_mark": ("the same again, with other settings", "run_double"),
    "plus": ("accept for everyone", "annotate_adjudication_accept"),
    "minus": ("none is good; reject for everyone", "none_good annotate_adjudication_reject"),
    "underscore": ("put away", "archive"),
    "M": ("many metrics at once", "several"),
    "right_curly_bracket": ("what the curves are drawn over", "x_axis"),
    "vertical_line": ("columns", "columns"),
    "left_parenthesis": ("less room for the list", "move_border_-5"),
    "right_parenthesis": ("more room for the list", "move_border_5"),
    "right_square_bracket": ("the next metric", "metric_1"),
    "left_square_bracket": ("the metric before", "metric_-1"),
    # In editors and of the app.
    "ctrl+g": ("go to a screen", "go_to"),
    "ctrl+q": ("leave at once", "quit"),
    "ctrl+z": ("suspend", "suspend_process"),
    "ctrl+j": ("a line break", "break_line"),
    "ctrl+l": ("load a file into the form", "load_recipe"),
    "ctrl+o": ("open what was saved", "run_conversations saved"),
    "ctrl+e": ("change an answer and let a model go on", "edit_answer"),
    "ctrl+b": ("ask instead, on a branch", "ask_instead"),
    "ctrl+down": ("to the next move", "cursor_to_next_move"),
    "ctrl+up": ("to the move before", "cursor_to_previous_move"),
    "ctrl+t": ("kind of the move", "kind"),
    "ctrl+x": ("delete, where letters are typed", "delete"),
    "ctrl+underscore": ("undo typing", "undo_typing"),
}
MEANINGS_IN_TEXT = {
    "slash": ("search", "open_search"),
    "U": ("while selecting: of the kind understand", "correct_kind_understand"),
    "P": ("while selecting: of the kind plan", "correct_kind_plan"),
    "C": ("while selecting: of the kind compute", "correct_kind_compute"),
    "V": ("while selecting: of the kind verify", "correct_kind_verify"),
    "j": ("down", "cursor_down line_down row_down scroll_down"),
    "k": ("up", "cursor_up line_up row_up scroll_up"),
    "down": ("down", "line_down row_down"),
    "up": ("up", "line_up row_up"),
    "h": ("left", "move_end_left pan_-1"),
    "left": ("left", "move_end_left pan_-1"),
    "l": ("right", "move_end_right pan_1"),
    "right": ("right", "move_end_right pan_1"),
    "space": ("down a page", "page_1"),
    "pagedown": ("down a page", "page_1 rows_down"),
    "ctrl+f": ("down a page", "page_1 rows_down"),
    "pageup": ("up a page", "page_-1 rows_up"),
    "ctrl+b": ("up a page", "page_-1 rows_up"),
    "g": ("to the top", "first scroll_home top"),
    "home": ("to the top", "top"),
    "G": ("to the end", "bottom last scroll_end"),
    "end": ("to the end", "bottom"),
    "n": ("the next hit", "next_hit"),
    "N": ("the hit before", "previous_hit"),
    "p": ("the hit before", "previous_hit"),
    "r": ("the next reflection", "next_move_reflect"),
    "R": ("the reflection before; while selecting: of this kind", "previous_move_reflect correct_kind_reflect"),
    "b": ("the next backtracking, or the word before", "backtrack_or_word"),
    "B": (
        "the backtracking before; while selecting: of this kind",
        "previous_move_backtrack correct_kind_backtrack",
    ),
    "]": ("the next move", "next_move"),
    "[": ("the move before", "previous_move"),
    "f": ("fold", "fold fold_thoughts"),
    "F": ("fold all of a kind; while selecting: of the kind conclude", "fold_kind correct_kind_conclude"),
    "=": ("unfold all", "unfold_all"),
    "v": ("select", "select"),
    "J": ("select the next move", "select_moves_1"),
    "shift+down": ("select the next move", "select_moves_1"),
    "K": ("select the move before", "select_moves_-1"),
    "shift+up": ("select the move before", "select_moves_-1"),
    "w": ("the next word", "move_end_word"),
    "0": ("the start; of a plot all", "move_end_start show_all"),
    "$": ("the end of the line", "move_end_end"),
    "o": ("the other end", "swap_ends"),
    "enter": ("open or take", "open take_selection"),
    "escape": ("end selecting", "cancel_selection"),
    "M": ("the raw text", "toggle_raw"),
    "y": ("copy", "copy"),
    "ctrl+r": ("ask again", "retry"),
    "L": ("logarithmic scale", "log"),
    "S": ("smoothing", "smooth"),
    "+": ("closer", "zoom_0_5"),
    "plus": ("closer", "zoom_0_5"),
    "equals_sign": ("closer", "zoom_0_5"),
    "-": ("farther", "zoom_2_0"),
    "minus": ("farther", "zoom_2_0"),
}
NUMBERED = ("annotate_rating_", "give_label_", "go_", "kind_", "label_", "show_pane_", "switch_mode_", "tie", "vote_")
"""Actions on the digits, on F-keys and on alt with a key: the one that the screen shows with this number or letter."""


def found() -> list[KeyOfAction]:
    return all_keys(LabApp, {})


def numbered(key: str) -> bool:
    return key.isdigit() or key.startswith("alt+") or (key.startswith("f") and key[1:].isdigit())


def test_a_key_has_one_meaning() -> None:
    for one in found():
        table = MEANINGS_IN_TEXT if one.part in IN_TEXT else MEANINGS
        for key in one.key.split(","):
            if numbered(key) and (one.part not in IN_TEXT or one.action.startswith(NUMBERED)):
                assert one.action.startswith(NUMBERED), f"{key} on {one.part} is not something with a number"
                continue
            assert key in table, f"{key} of {one.action} ({one.part}) has no meaning in the table yet"
            meaning, actions = table[key]
            assert one.action in actions.split(), f"{key} means '{meaning}', not {one.action} ({one.part})"


def test_an_action_has_one_key() -> None:
    keys = defaultdict[str, set[str]](set)
    for one in found():
        keys[one.action].add(one.key)
    assert {action: sorted(several) for action, several in keys.items() if len(several) > 1} == {}


def test_the_tables_have_no_line_without_a_binding() -> None:
    for table, in_text in ((MEANINGS, False), (MEANINGS_IN_TEXT, True)):
        bound = {(key, one.action) for one in found() if (one.part in IN_TEXT) == in_text for key in one.key.split(",")}
        named = {(key, action) for key, (_, actions) in table.items() for action in actions.split()}
        assert named - bound == set()


@pytest.mark.parametrize(
    ("what", "key", "screens"),
    [
        ("stop", "s", {"compare", "jobs", "distill"}),
        ("new_run", "ctrl+n,insert", {"distill", "train", "evaluate"}),
        ("new", "ctrl+n,insert", {"compare"}),
        ("resume", "r", {"jobs"}),
        ("filter", "slash", {"traces", "distill", "evaluate"}),
        ("facts", "i", {"jobs"}),
        ("statement", "i", {"traces", "evaluate"}),
        ("export", "E", {"traces", "evaluate", "transparency"}),
    ],
)
def test_common_actions_have_one_key_on_all_their_screens(what: str, key: str, screens: set[str]) -> None:
    of_it = [one for one in found() if one.action == what]
    assert {one.key for one in of_it} == {key} and {one.screen for one in of_it} >= screens


def test_every_action_says_what_it_does() -> None:
    assert [f"{one.part}: {one.description}" for one in found() if not one.about] == []
