"""A pane of a conversation with one model, fed by deltas and redrawn at most 20 times a second."""

from __future__ import annotations

from dataclasses import dataclass

from textual.containers import Vertical
from textual.message import Message


class StreamPane(Vertical):
    """Turns of user and assistant, thought and answer told apart; stays at the end unless scrolled up.

    Every ``begin_*``/``append_*``/``finish``/``fail`` is for the app's thread (an async worker). The title is the
    top border, the status line the bottom one. Keys: those of LineView; t folds or opens the thoughts.
    """

    @dataclass
    class RetryRequested(Message):
        """The user pressed ctrl+r on a pane whose last answer failed."""

        pane: StreamPane

        @property
        def control(self) -> StreamPane:
            return self.pane

    def __init__(self, title: str = "", *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)

    def set_title(self, title: str) -> None: ...

    def set_status(self, status: str) -> None:
        """One line about the answer (tokens, ttft, tok/s, verdict), drawn in the bottom border."""

    def add_user(self, text: str) -> None:
        """Add a user's turn."""

    def begin_assistant(self) -> None:
        """Start an assistant's turn; deltas go to it until ``finish`` or ``fail``."""

    def append_thought(self, delta: str) -> None:
        """Add to the thought of the current assistant turn (drawn at the next flush)."""

    def append_answer(self, delta: str) -> None:
        """Add to the answer of the current assistant turn (drawn at the next flush)."""

    def set_thought_tokens(self, tokens: int | None) -> None:
        """The count that stands on the fold line; without it characters are counted."""

    def finish(self) -> None:
        """End the assistant's turn: flush now."""

    def fail(self, message: str, hint: str = "ctrl+r to try again") -> None:
        """End the turn with an error line and what to do; what had come stays."""

    def add_assistant(self, answer: str, thought: str = "", thought_tokens: int | None = None) -> None:
        """Add a whole assistant turn at once (a saved conversation)."""

    def drop_last_assistant(self) -> None:
        """Take the last assistant turn away (regenerate, retry)."""

    def fold_thoughts(self, folded: bool | None = None) -> None:
        """Fold (True), open (False) or toggle (None) every thought, those to come included."""

    def clear(self) -> None: ...

    @property
    def streaming(self) -> bool:
        raise NotImplementedError

    @property
    def failed(self) -> bool:
        raise NotImplementedError

    @property
    def last_thought(self) -> str:
        raise NotImplementedError

    @property
    def last_answer(self) -> str:
        raise NotImplementedError
