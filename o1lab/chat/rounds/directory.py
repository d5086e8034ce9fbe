"""The directory of a round, LAB/rounds/ID, and its settings."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256

from pydantic import BaseModel, ConfigDict, Field

from o1lab.chat.panes import Settings
from o1lab.errors import LabError
from o1lab.files import atomic_write
from o1lab.inference.directory import AskingFolder
from o1lab.inference.events import Sampling
from o1lab.inference.settings import RequestSettings
from o1lab.jobs.directory import CountedStatus, FileIn
from o1lab.small_files import open_file
from o1lab.text import parse_json


class RoundPane(BaseModel):
    """One contestant of a round: a model with its settings; see :class:`~o1lab.chat.panes.Settings`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str
    label: str
    system: str | None = None
    temperature: float | None = Field(default=None, ge=0)
    top_p: float | None = Field(default=None, ge=0, le=1)
    max_tokens: int = Field(default=512, ge=1)
    seed: int | None = None

    def settings(self) -> Settings:
        """Return the settings as those of a pane; answers are judged blind."""
        return Settings(self.system, Sampling(self.temperature, self.top_p, self.max_tokens, self.seed), blind=True)


class RoundSettings(RequestSettings):
    """The settings of a round. The sampling is that of each pane, not that of all."""

    prompt_set: str
    panes: tuple[RoundPane, ...] = Field(min_length=2)


@dataclass(frozen=True)
class RoundFolder(AskingFolder[CountedStatus, RoundSettings]):
    """The directory of one round."""

    noun = "round"
    verb = "o1lab compare"
    status_type = CountedStatus
    settings_type = RoundSettings
    created_file = "prompts.jsonl"

    prompts_file = FileIn("prompts.jsonl", "The prompts as they were when the round began, one per line.")

    def write_prompts(self, prompts: Iterable[str]) -> None:
        with atomic_write(self.prompts_file) as file:
            file.writelines(f"{json.dumps(prompt)}\n" for prompt in prompts)

    def prompts(self) -> list[str]:
        """Read the prompts in order.

        Raises:
            LabError: they cannot be read.
        """
        try:
            with open_file(self.prompts_file) as file:
                return [str(parse_json(line)) for line in file]
        except (OSError, ValueError) as error:
            raise LabError(f"{self.prompts_file} cannot be read.", "Start a new round.") from error

    def conversation_id(self, number: int) -> str:
        """Return the id of the conversation of a prompt, the same in every session of the round."""
        return sha256(f"round:{self.id}:{number}".encode()).hexdigest()[:20]
