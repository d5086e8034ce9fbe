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
from o1lab.models.description import described
from o1lab.models.round_trip import require_round_trip
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
NOW = "now"
_TODAY = re.compile(
    r"(?:\btoday(?:'s)?(?:\s+date)?(?:\s+is)?|\bcurrent\s+date(?:\s+is)?|\bdate\s+today)\s*[:=]?\s*"
    r"(\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/. ](?:\d{1,2}|[a-z]{3,9})[-/. ]\d{4}|[a-z]{3,9}\.? \d{1,2},? \d{4})",
    re.IGNORECASE,
)
"""A date that a template calls today's."""
_GENERATION = re.compile(r"\{%-?\s*generation\b")


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
        """Return the options that a run's checkpoint was trained with, or those that a folder describes (see
        :mod:`o1lab.models.description`); none for another folder.

        Raises:
            UnreadableError: the recipe of the run is damaged, so what the student was trained with is unknown.
        """
        path = folder.parent.parent / "recipe.yaml"
        if folder.parent.name != "checkpoints" or not path.exists():
            return cls.of(described(folder).prompt)
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


def encode_after(tokenizer: Any, prompt: str, text: str) -> tuple[list[int], list[int], bool]:
    """Return the tokens of a prompt, of the text after it, and whether these are the tail of those of both together.

    They are not where a token would span the two. Alone, a text may have other tokens than after a prompt:
    SentencePiece begins every text with a space.
    """
    asked, whole = encode(tokenizer, prompt), encode(tokenizer, prompt + text)
    if whole[: len(asked)] == asked:
        return asked, whole[len(asked) :], True
    return asked, encode(tokenizer, text), False


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


Part = Literal["thought", "solution", "mark"]
"""What a piece of a completion belongs to; ``mark`` is all that the format adds, such as think tags."""


@dataclass(frozen=True, slots=True)
class Place:
    """The position of a token of a completion: [start, end) in code points of the part as it was given."""

    part: Part
    start: int
    end: int


def training_tokens(
    tokenizer: Any, messages: Sequence[Message], options: PromptOptions, response: Written
) -> TrainingTokens:
    """Return the tokens of a row.

    The two parts are encoded separately where a token would span both, so that the prompt has the tokens of a request.

    Raises:
        RefusedError: as :func:`render`.
    """
    return _encoded(tokenizer, messages, options, response)[0]


def placed_tokens(
    tokenizer: Any, messages: Sequence[Message], options: PromptOptions, response: Written
) -> tuple[TrainingTokens, list[Place]]:
    """Return the tokens of a row, and the position of each token of the completion in the response.

    Raises:
        RefusedError: as :func:`render`; or the tokenizer does not report positions (code ``no_offsets``), or changes
            the text (code ``round_trip``).
    """
    tokens, parts, before = _encoded(tokenizer, messages, options, response)
    text = before + "".join(piece for _, piece in parts)
    if not tokenizer.is_fast:
        raise RefusedError(
            "The tokenizer of this model does not report the positions of its tokens in a text.",
            "Use a model with a tokenizer.json.",
            code="no_offsets",
        )
    require_round_trip(tokenizer, tokens.completion, "".join(piece for _, piece in parts))
    found = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    offsets = found[len(found) - len(tokens.completion) :]
    lead = len(response.thought) - len(response.thought.lstrip())
    bounds: list[tuple[int, Part, int]] = []
    at = len(before)
    for part, piece in parts:
        bounds.append((at, part, lead if part == "thought" else 0))
        at += len(piece)
    places, index = [], 0
    for start, end in offsets:
        while index + 1 < len(bounds) and bounds[index + 1][0] <= start:
            index += 1
        origin, part, shift = bounds[index]
        limit = bounds[index + 1][0] if index + 1 < len(bounds) else at
        places.append(Place(part, start - origin + shift, max(min(end, limit), start) - origin + shift))
    return tokens, places


def _encoded(
    tokenizer: Any, messages: Sequence[Message], options: PromptOptions, response: Written
) -> tuple[TrainingTokens, list[tuple[Part, str]], str]:
    """Return the tokens of a row, the pieces of its completion, and the text that was encoded before these."""
    prompt = render(tokenizer, messages, options)
    parts = _completion(tokenizer, messages, options, prompt, response)
    text = "".join(piece for _, piece in parts)
    asked, completion, is_tail = encode_after(tokenizer, prompt, text)
    return TrainingTokens(asked, completion), parts, prompt if is_tail else ""


def assistant_mask(
    tokenizer: Any, messages: Sequence[Message], options: PromptOptions, prompt: Sequence[int]
) -> list[bool]:
    """Return for each token of a prompt whether the assistant wrote it, from the marks of the chat template.

    Args:
        tokenizer: the tokenizer of the base.
        messages: the conversation before the student's turn.
        options: the template and its variables.
        prompt: the tokens of the prompt, see :func:`training_tokens`.

    Raises:
        RefusedError: the template has no ``{% generation %}`` marks (code ``generation_marks``), or other tokens.
    """
    template = options.chat_template or str(tokenizer.get_chat_template())
    refused = f"The chat template does not {'{}'} the assistant's turns, which assistant_only_loss needs."
    hint = "Name a template with {% generation %} marks in chat_template, or turn assistant_only_loss off."
    if not _GENERATION.search(template):
        raise RefusedError(refused.format("mark"), hint, code="generation_marks")
    found = tokenizer.apply_chat_template(
        [dict(message) for message in messages],
        chat_template=options.chat_template or None,
        add_generation_prompt=True,
        return_dict=True,
        return_assistant_tokens_mask=True,
        **options.chat_template_kwargs,
    )
    if list(found["input_ids"]) != list(prompt):
        raise RefusedError(refused.format("give the tokens of a prompt for"), hint, code="generation_marks")
    return [bool(one) for one in found["assistant_masks"]]


def _completion(
    tokenizer: Any, messages: Sequence[Message], options: PromptOptions, prompt: str, response: Written
) -> list[tuple[Part, str]]:
    """Return what the student writes after ``prompt``: the thought in think tags, the solution, the end of the turn.

    After a prompt that opens a thought, the response begins inside it. A response that was cut off has no end.
    """
    before, end = _turn(tokenizer, messages, options, prompt)
    thought, solution, cut = response.thought.strip(), response.solution, response.cut_off == "thought"
    parts: list[tuple[Part, str]]
    if (marks := open_thought(prompt)) is not None:
        gap = "\n" if thought and not prompt[-1:].isspace() else ""
        parts = [("mark", gap), ("thought", thought)]
        parts += [] if cut else [("mark", f"\n{marks[1]}\n\n"), ("solution", solution)]
    else:
        opened, _, between = join("\0", "", closed=True).partition("\0")
        written: list[tuple[Part, str]] = [("mark", opened), ("thought", thought)] if thought else []
        if cut:
            parts = [("mark", before), ("solution", solution), ("mark", "\n\n" if solution and thought else "")]
            parts += written
        else:
            parts = [("mark", before), *written, ("mark", between if thought else ""), ("solution", solution)]
    return [part for part in [*parts, ("mark", "" if response.cut_off else end)] if part[1]]


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


def template_date(tokenizer: Any, messages: Sequence[Message], options: PromptOptions) -> str:
    """Return the date that the template writes into the prompt as today's.

    Returns:
        ``NOW`` for the current date, with which the prompt differs from day to day; a date that is written in the
        template, such as ``26 Jul 2024`` after ``Today Date:``, which servers may replace; else an empty text.
    """
    clock = "{%- macro strftime_now(format) -%}@date@{%- endmacro -%}"
    template = clock + (options.chat_template or str(tokenizer.get_chat_template()))
    neutral = [{**message, "content": "?"} for message in messages]
    written = render(tokenizer, neutral, replace(options, chat_template=template))
    if "@date@" in written:
        return NOW
    found = _TODAY.search(written)
    chosen = map(str, options.chat_template_kwargs.values())
    return "" if found is None or any(found[1] in value for value in chosen) else found[1]


def closes_thought(prompt: str) -> bool:
    """Whether ``prompt`` ends with an empty thought, after which a student answers without one."""
    return re.search(f"(?:{_empty_thoughts().pattern})$", prompt[-400:], re.IGNORECASE) is not None


def _empty_thoughts() -> re.Pattern[str]:
    pairs = (
        rf"(?:{'|'.join(map(re.escape, one.opens))})\s*(?:{'|'.join(map(re.escape, one.closes))})\s*" for one in table()
    )
    return re.compile("|".join(pairs), re.IGNORECASE)
