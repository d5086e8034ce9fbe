"""The prompt of a student: one builder for preflight, training, probes, chat, evaluation and serving.

A row is trained on exactly the tokens of the prompt that the student is asked with, followed by the tokens of its
response and the end of the turn. The template's rendering of a finished turn is used for that end only: templates
remove thoughts from it, trim it or put empty thoughts in.

This module does not import torch. A tokenizer is one of transformers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from o1lab.chains.marks import table
from o1lab.chains.parse import join
from o1lab.errors import RefusedError
from o1lab.small_files import read_yaml, validated

Message = Mapping[str, str]
CutOff = Literal["", "thought", "solution"]
"""The part in which a response was cut off; empty for a whole response."""

SYSTEM_ROLES = frozenset({"system", "developer"})
RESERVED = frozenset(
    {
        "add_generation_prompt", "chat_template", "continue_final_message", "conversation", "documents", "max_length",
        "messages", "padding", "return_assistant_tokens_mask", "return_dict", "return_tensors",
        "sanitize_control_tokens", "tokenize", "tokenizer_kwargs", "tools", "truncation",
    }
)  # fmt: skip
"""Names that a template option cannot have, because they mean something else to the tokenizer."""
_ANSWER = "@answer@"


@dataclass(frozen=True, slots=True)
class PromptOptions:
    """What a student is asked with, apart from the questions.

    Attributes:
        system_prompt: the system message of conversations that have none; empty for none.
        chat_template: the text of the template; empty for that of the base.
        chat_template_kwargs: the variables that the template gets, such as ``enable_thinking``.
        eos_token: the token that ends a turn, in addition to those of the base; empty for none.
        end_token_id: its id, where a server needs it.
    """

    system_prompt: str = ""
    chat_template: str = ""
    chat_template_kwargs: Mapping[str, Any] = field(default_factory=dict, hash=False)
    eos_token: str = ""
    end_token_id: int | None = None

    def __bool__(self) -> bool:
        return any((self.system_prompt, self.chat_template, self.chat_template_kwargs, self.eos_token))

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> PromptOptions:
        """Return the options among ``values``, such as those of a recipe; invalid ones are left out."""
        texts = {name: values.get(name) for name in ("system_prompt", "chat_template", "eos_token")}
        options, end = values.get("chat_template_kwargs"), values.get("end_token_id")
        return cls(
            **{name: text for name, text in texts.items() if isinstance(text, str)},
            chat_template_kwargs=options if isinstance(options, dict) else {},
            end_token_id=end if isinstance(end, int) else None,
        )

    @classmethod
    def of_checkpoint(cls, folder: Path) -> PromptOptions:
        """Return the options that a run's checkpoint was trained with; none for another folder.

        Raises:
            UnreadableError: the recipe of the run is damaged, so what the student was trained with is unknown.
        """
        path = folder.parent.parent / "recipe.yaml"
        if folder.parent.name != "checkpoints" or not path.exists():
            return cls()
        return cls.of(validated(path, read_yaml(path), dict[str, Any]))

    def request_fields(self, engine: str) -> dict[str, Any]:
        """Return the fields that each request to a server of ``engine`` needs, besides the messages.

        The embedded server knows the options of its adapters; it must not add the system prompt to a conversation
        that has none on purpose. vLLM knows only the base.
        """
        if engine == "embedded":
            return {"default_system": False} if self.system_prompt else {}
        fields = {
            "chat_template_kwargs": dict(self.chat_template_kwargs),
            "stop_token_ids": [] if self.end_token_id is None else [self.end_token_id],
        }
        return {name: value for name, value in fields.items() if value}

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    def conversation(self, messages: Sequence[Message], *, system: str | None = None) -> list[dict[str, str]]:
        """Return messages with a system message.

        Args:
            messages: the conversation.
            system: replaces every system message of the conversation, an empty text by none; None keeps them, and adds
                the system prompt to a conversation without one.
        """
        found = [dict(message) for message in messages]
        if system is None and any(message["role"] in SYSTEM_ROLES for message in found):
            return found
        text = self.system_prompt if system is None else system
        rest = [message for message in found if message["role"] not in SYSTEM_ROLES]
        return [{"role": "system", "content": text}, *rest] if text else rest


def render(tokenizer: Any, messages: Sequence[Message], options: PromptOptions) -> str:
    """Return the text that a student is asked with, the beginning of its turn included.

    Args:
        tokenizer: the tokenizer of the base.
        messages: the whole conversation; see :meth:`PromptOptions.conversation`.
        options: the template and its variables.

    Raises:
        RefusedError: there is no template (code ``no_chat_template``), or it refuses the conversation (code
            ``template``).
    """
    return _rendered(tokenizer, messages, options, add_generation_prompt=True)


def encode(tokenizer: Any, text: str) -> list[int]:
    """Return the token ids of a rendered text. Special tokens are in the text already."""
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


@dataclass(frozen=True, slots=True)
class Written:
    """The response of a row."""

    thought: str
    solution: str
    cut_off: CutOff = ""


@dataclass(frozen=True, slots=True)
class TrainingTokens:
    """A row in tokens: what the student is asked with, and what it learns to write."""

    prompt: list[int]
    completion: list[int]


def training_tokens(
    tokenizer: Any, messages: Sequence[Message], options: PromptOptions, response: Written
) -> TrainingTokens:
    """Return the tokens of a row.

    The two parts are encoded separately where a token would span both, so that the prompt has the tokens of a request.

    Raises:
        RefusedError: as :func:`render`.
    """
    prompt = render(tokenizer, messages, options)
    text = completion(tokenizer, messages, options, prompt, response)
    asked, whole = encode(tokenizer, prompt), encode(tokenizer, prompt + text)
    if whole[: len(asked)] == asked:
        return TrainingTokens(asked, whole[len(asked) :])
    return TrainingTokens(asked, encode(tokenizer, text))


def completion(
    tokenizer: Any, messages: Sequence[Message], options: PromptOptions, prompt: str, response: Written
) -> str:
    """Return what the student writes after ``prompt``: the thought in think tags, the solution, the end of the turn.

    After a prompt that opens a thought, the response begins inside it. A response that was cut off has no end.
    """
    before, end = _turn(tokenizer, messages, options, prompt)
    thought, solution, cut = response.thought.strip(), response.solution, response.cut_off == "thought"
    if (marks := open_thought(prompt)) is not None:
        gap = "\n" if thought and not prompt[-1:].isspace() else ""
        text = gap + thought + ("" if cut else f"\n{marks[1]}\n\n{solution}")
    elif cut:
        text = before + "\n\n".join(part for part in (solution, join(thought, "", closed=False)) if part)
    else:
        text = before + join(thought, solution, closed=True)
    return text if response.cut_off else text + end


def _turn(tokenizer: Any, messages: Sequence[Message], options: PromptOptions, prompt: str) -> tuple[str, str]:
    """Return what the template writes between the prompt and a response, without empty thoughts, and after it."""
    answered = [*messages, {"role": "assistant", "content": _ANSWER}]
    head, found, end = _rendered(tokenizer, answered, options, add_generation_prompt=False).rpartition(_ANSWER)
    if not found:
        return "", ""
    before = head[len(prompt) :] if head.startswith(prompt) else ""
    return _empty_thoughts().sub("", before), end


def _rendered(
    tokenizer: Any, messages: Sequence[Message], options: PromptOptions, *, add_generation_prompt: bool
) -> str:
    from jinja2.exceptions import TemplateError

    if not (options.chat_template or tokenizer.chat_template):
        raise RefusedError(
            "The base has no chat template.",
            "Use an instruction-tuned base, or name a template file in chat_template.",
            code="no_chat_template",
        )
    try:
        return str(
            tokenizer.apply_chat_template(
                [dict(message) for message in messages],
                tokenize=False,
                chat_template=options.chat_template or None,
                add_generation_prompt=add_generation_prompt,
                **options.chat_template_kwargs,
            )
        )
    except (TemplateError, TypeError, KeyError, ValueError) as error:
        roles = " ".join(message["role"] for message in messages)
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
        system = messages[0]["role"] in SYSTEM_ROLES
        raise RefusedError(
            f"The chat template refuses the conversation ({roles}): {reason}.",
            "Try it without its system message (system: none), or name another template in chat_template."
            if system
            else "Name a template in chat_template that takes these turns.",
            code="template",
        ) from error


def open_thought(prompt: str) -> tuple[str, str] | None:
    """Return the marks that open and close the thought at the end of ``prompt``; None if it opens none there."""
    tail = prompt[-200:].rstrip().casefold()
    pairs = ((mark, one.closes[0]) for one in table() for mark in one.opens if tail.endswith(mark))
    return max(pairs, key=lambda pair: len(pair[0]), default=None)


def template_system(tokenizer: Any, options: PromptOptions) -> str:
    """Return the system message that the template adds to a conversation without one; empty if it adds none."""
    user, mark = {"role": "user", "content": "?"}, "@system@"
    try:
        plain = render(tokenizer, [user], options)
        before, _, after = render(tokenizer, [{"role": "system", "content": mark}, user], options).partition(mark)
    except RefusedError:
        return ""
    added = len(plain) - len(before) - len(after)
    fits = added > 0 and plain.startswith(before) and plain.endswith(after)
    return plain[len(before) : len(before) + added].strip() if fits else ""


def has_date(tokenizer: Any, messages: Sequence[Message], options: PromptOptions) -> bool:
    """Whether the template writes the current date into the prompt, so that it differs from day to day."""
    clock = "{%- macro strftime_now(format) -%}@date@{%- endmacro -%}"
    template = clock + (options.chat_template or str(tokenizer.get_chat_template()))
    return "@date@" in render(tokenizer, messages, replace(options, chat_template=template))


def closes_thought(prompt: str) -> bool:
    """Whether ``prompt`` ends with an empty thought, after which a student answers without one."""
    return re.search(f"(?:{_empty_thoughts().pattern})$", prompt[-400:], re.IGNORECASE) is not None


def _empty_thoughts() -> re.Pattern[str]:
    pairs = (
        rf"(?:{'|'.join(map(re.escape, one.opens))})\s*(?:{'|'.join(map(re.escape, one.closes))})\s*" for one in table()
    )
    return re.compile("|".join(pairs), re.IGNORECASE)
