"""The dialog that chooses a saved conversation. The conversations of a round are one line, which lists them."""

from __future__ import annotations

from o1lab.chat.rounds.directory import RoundFolder
from o1lab.errors import O1LabError
from o1lab.format import counted
from o1lab.paths import Lab
from o1lab.text import one_line
from o1lab.widgets.dialogs import Choice, PickDialog
from screens.base.screen import LabScreen
from store import conversations
from store.conversations import Conversation

LONGEST = 1000
"""Maximum number of conversations that a search lists."""
_HINT = "searches title, questions and answers"
_EMPTY = "No conversation matches."
_ROUND = "round:"


async def pick_conversation(screen: LabScreen) -> str | None:
    """Return the id of the saved conversation that a person chooses; None if none.

    Args:
        screen: the screen that shows the dialogs, in a worker.
    """
    lab, typed = screen.context.lab, ""

    async def search(text: str) -> list[Choice]:
        nonlocal typed
        typed = text
        found = await screen.read(conversations.grouped, text=text.strip(), limit=LONGEST)
        return await screen.in_thread(lambda: [_line(lab, latest, count) for latest, count in found])

    while True:
        dialog = PickDialog("Conversations", search, empty=_EMPTY, hint=_HINT, text=typed)
        picked = await screen.app.push_screen_wait(dialog)
        if picked is None or not picked.startswith(_ROUND):
            return picked
        if (one := await _pick_in_round(screen, picked.removeprefix(_ROUND), typed)) is not None:
            return one


async def _pick_in_round(screen: LabScreen, round_id: str, typed: str) -> str | None:
    """Return the id of the conversation of a round that a person chooses; None to go back to all conversations."""

    async def search(text: str) -> list[Choice]:
        found = await screen.read(conversations.page, text=text.strip(), round=round_id, limit=LONGEST)
        return [_choice(one) for one in found]

    name = await screen.in_thread(_name_of, screen.context.lab, round_id)
    return await screen.app.push_screen_wait(PickDialog(name, search, empty=_EMPTY, hint=_HINT, text=typed))


def _line(lab: Lab, latest: Conversation, count: int) -> Choice:
    """Return the line of a conversation, or of the round that it belongs to, with ``count`` conversations found."""
    if latest.round is None:
        return _choice(latest)
    title = f"{_when(latest)}  {_name_of(lab, latest.round)} · {counted(count, 'conversation')}"
    return Choice(f"{_ROUND}{latest.round}", title, _models(latest))


def _choice(one: Conversation) -> Choice:
    return Choice(one.id, f"{_when(one)}  {one_line(one.title, 60)}", _models(one))


def _name_of(lab: Lab, round_id: str) -> str:
    """Return the title of a round: its prompt set, or its id if its directory is gone."""
    folder = RoundFolder(lab.rounds / round_id)
    try:
        return f"Round {one_line(folder.settings().prompt_set, 40)}"
    except O1LabError:
        return f"Round {round_id}"


def _when(one: Conversation) -> str:
    return one.created_at[:16].replace("T", " ")


def _models(one: Conversation) -> str:
    return ", ".join(pane.model for pane in one.panes)
