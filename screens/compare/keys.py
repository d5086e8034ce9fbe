"""The keys of the Compare screen, and when their actions are possible."""

from __future__ import annotations

from collections.abc import Callable

from textual.binding import BindingType

from o1lab.widgets.keys import Binding, stepping
from screens.compare.controller import CompareController

VOTE = Binding.Group("Vote", compact=True)
PROMPTS = Binding.Group("Prompt", compact=True)

VOTE_KEYS: list[BindingType] = [
    *(
        Binding(str(n), f"vote({n})", f"Vote for {n}", group=VOTE, tooltip=f"Vote that answer {n} is the best")
        for n in range(1, 10)
    ),
    Binding("0", "tie", "Tie", tooltip="Vote that the answers are equally good"),
    Binding("minus", "none_good", "None good", key_display="-", tooltip="Vote that no answer is good"),
]
PANE_KEYS: list[BindingType] = [
    Binding("tab", "walk(1)", "Next pane", show=False, tooltip="Go to the next pane"),
    Binding("shift+tab", "walk(-1)", "Previous pane", show=False, tooltip="Go to the previous pane"),
    Binding("right", "turn_to(1)", "Pane to the right", show=False, tooltip="Go to the pane to the right"),
    Binding("left", "turn_to(-1)", "Pane to the left", show=False, tooltip="Go to the pane to the left"),
]
KEYS: list[BindingType] = [
    Binding("e", "write", "Write", id="edit_prompt", tooltip="Go to the prompt and type"),
    Binding("enter", "send", "Send", show=False, tooltip="Ask all models"),
    Binding("escape", "leave_prompt", "Keys", key_display="esc",
            tooltip="Leave the prompt, so that letters are keys"),
    *VOTE_KEYS,
    Binding("u", "undo", "Undo vote", show=False, tooltip="Withdraw your vote on this turn"),
    Binding("r", "regenerate", "Again", tooltip="Ask this model the last question again"),
    Binding("ctrl+e", "edit_answer", "Edit and continue", key_display="^e",
            tooltip="Cut or change this answer, and let a model continue from there"),
    Binding("less_than_sign", "version(-1)", "Previous version", key_display="<", show=False,
            tooltip="Show the previous version of this answer, or of the question"),
    Binding("greater_than_sign", "version(1)", "Next version", key_display=">", show=False,
            tooltip="Show the next version of this answer, or of the question"),
    Binding("H", "run('tree')", "Branches", tooltip="All branches of this conversation"),
    Binding("s", "stop", "Stop", tooltip="Stop this answer; what has arrived is kept"),
    Binding("Z", "stop_all", "Stop all", tooltip="Stop all answers; what has arrived is kept"),
    Binding("ctrl+r", "retry", "Retry", tooltip="Ask again where an answer failed"),
    Binding("c", "run('chains')", "Training chains", tooltip="The most similar training chains of this student"),
    Binding("T", "run('add_trace')", "To traces", tooltip="Add this answer to the traces"),
    Binding("ampersand", "models", "Models", key_display="&", tooltip="Choose the models to ask"),
    Binding("o", "run('settings')", "Settings", tooltip="Temperature, length, seed and system prompt"),
    Binding("at", "run('pane_settings')", "Settings of this pane", key_display="@", show=False,
            tooltip="Settings in which this pane differs from the others"),
    Binding("quotation_mark", "run('double')", "Same again", key_display='"', show=False,
            tooltip="Add a pane with this model and other settings, to compare it with itself"),
    Binding("equals_sign", "run('together')", "Scroll together", key_display="=", show=False,
            tooltip="Scroll all panes together, or each by itself"),
    Binding("V", "run('word_diff')", "Word diff", show=False,
            tooltip="Show the words in which this answer differs from the next pane's, or the panes again"),
    Binding("b", "run('rounds')", "Rounds", show=False,
            tooltip="Ask a whole prompt set in the background, and vote through it"),
    Binding("t", "run('prompt_tags')", "Tags", show=False, tooltip="Tags of this prompt; votes are counted by tag"),
    Binding("B", "run('blind')", "Blind", tooltip="Hide or show the names of the models"),
    Binding("n", "step(1)", "Next prompt", group=PROMPTS, tooltip="Show the next prompt of the prompt set"),
    Binding("p", "step(-1)", "Previous prompt", group=PROMPTS, tooltip="Show the previous prompt"),
    *stepping("prompt"),
    Binding("L", "run('prompt_sets')", "Prompt sets", tooltip="Choose a set of prompts to go through"),
    Binding("w", "run('save_prompt')", "Save prompt", tooltip="Save this prompt to a prompt set"),
    Binding("i", "run('show_prompt')", "View prompt", tooltip="The prompt as this model gets it"),
    Binding("number_sign", "run('tally')", "Tally", key_display="#", tooltip="Count the votes for each model"),
    Binding("d", "run('dataset')", "Dataset", tooltip="Make a dataset of pairs from the blind votes of this lab"),
    Binding("D", "close_pane", "Close pane", tooltip="Remove this model from the conversation"),
    Binding("ctrl+n,insert", "new", "New", priority=True,
            tooltip="Start a new conversation with the same models"),
    Binding("ctrl+o", "run('conversations')", "Open", key_display="^o", priority=True,
            tooltip="Open a saved conversation"),
    Binding("E", "run('export')", "Export", tooltip="Write this conversation to a file"),
    *PANE_KEYS,
]  # fmt: skip


def _has_chains(controller: CompareController) -> bool:
    selected = controller.selected()
    return selected is not None and selected.ref.run_id is not None and not controller.hidden


def _has_versions(controller: CompareController) -> bool:
    session = controller.session
    if session is None or not controller.refs or controller.busy:
        return False
    return session.version(controller.current_pane).count > 1 or session.version(None).count > 1


POSSIBLE: dict[object, Callable[[CompareController], bool]] = {
    "tie": lambda it: it.votable,
    "none_good": lambda it: it.votable,
    "undo": lambda it: it.ballot is not None,
    "stop": lambda it: it.busy,
    "stop_all": lambda it: it.busy,
    "retry": lambda it: it.failed_pane() is not None,
    "regenerate": lambda it: it.turn > 0 and not it.states[it.current_pane].busy,
    "edit_answer": lambda it: it.selected() is not None and not it.hidden and not it.busy,
    "version": _has_versions,
    "tree": lambda it: it.turn > 0 and not it.busy and not it.hidden,
    "add_trace": lambda it: it.selected() is not None,
    "chains": _has_chains,
    "show_prompt": lambda it: not it.hidden,
    "together": lambda it: len(it.refs) > 1,
    "word_diff": lambda it: it.panes.diffing or (it.votable and not it.busy),
    "export": lambda it: it.turn > 0,
    "pane_settings": lambda it: bool(it.refs) and not it.hidden,
    "double": lambda it: bool(it.refs) and not it.hidden,
    "close_pane": lambda it: len(it.refs) > 1,
}
"""Whether an action is possible; other actions always are."""
