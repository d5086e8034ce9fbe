"""What a row means: a trace with its problem, several traces, or a problem alone. Told by its keys, not its file.

==============  ============================================================================================
recorded        problem, ``raw`` (or thought and solution), model: a response as this project's data keep it
s1              question and ``*thinking_trajectory`` with ``*attempt``
sharegpt        ``conversations`` of from and value
messages        ``messages`` of role and content, thought in reasoning_content, reasoning or thinking
reasoning       a prompt, ``reasoning_content`` (or reasoning) and an answer side by side
alpaca          instruction, input, output (or response)
problems        a statement with answer, final_answer, solution; no response
==============  ============================================================================================

A conversation of several turns gives one trace: its first user turn is the problem, the assistant's first turn is
the response. Later turns answer other questions; how many there were is kept in the trace's meta.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from o1lab.chains.answers import How, extract_answer
from o1lab.chains.parse import join, parse
from o1lab.chains.verify import normalise
from store.records import NewProblem, NewTrace

SYNTHESES = ("distilled", "reformatted", "translated", "solver", "tree search", "multi-agent", "human", "unknown")
UNKNOWN = "unknown"

_STATEMENT = ("problem", "question", "Problem", "Question", "statement", "prompt", "query")
_GOLD = ("gold_answer", "gold", "ground_truth", "expected_answer", "final_answer", "answer", "Answer")
_REFERENCE = ("reference_solution", "solution", "Solution", "ground_truth_solution")
_MODEL = ("model", "teacher", "model_name", "generator", "generated_by")
_REASONING = ("reasoning_content", "reasoning", "thinking", "deepseek_reasoning")
_ANSWERED = ("content", "response", "output", "completion", "deepseek_solution", "solution", "answer")
_KEY = ("id", "unique_id", "uuid", "idx", "problem_id")
_META = (
    "level",
    "subject",
    "subfield",
    "type",
    "answer_type",
    "kind",
    "unit",
    "url",
    "cot_type",
    "source_type",
    "score",
)
_USER, _ASSISTANT = ("user", "human"), ("assistant", "gpt", "model", "bot")
_LONGEST_GOLD = 200


class RowError(ValueError):
    """Why a row cannot be taken, in a few words."""


@dataclass(frozen=True)
class FileOrigin:
    """What the person says of a file; a row's own word on model and licence counts more."""

    source: str
    licence: str | None = None
    teacher: str | None = None
    synthesis: str | None = None


@dataclass(frozen=True, slots=True)
class ParsedRow:
    """What one row brings: its problem, and the traces that answer it."""

    format: str
    problem: NewProblem
    traces: Sequence[NewTrace]


@dataclass(frozen=True, slots=True)
class _Response:
    raw: str
    model: str | None = None
    synthesis: str | None = None
    turns: int = 1


@dataclass(frozen=True, slots=True)
class _Found:
    """What a recogniser saw; ``used`` are the keys that belong to the response."""

    statement: str
    responses: Sequence[_Response] = ()
    used: Sequence[str] = ()


def read_row(row: Mapping[str, Any], provenance: FileOrigin, line: int) -> ParsedRow:
    """Understand ``row``.

    Raises:
        RowError: it is none of the formats, or one with nothing in it.
    """
    recognised = ((name, found) for name, recognise in _RECOGNISERS if (found := recognise(row)) is not None)
    name, found = next(recognised, ("", None))
    if found is None:
        raise RowError(f"no format known here has these keys: {_keys(row)}")
    if not found.statement.strip():
        raise RowError("the problem is empty")
    key = _text(row, _KEY) or str(line)
    problem = _problem(row, found, provenance, key)
    responses = [response for response in found.responses if response.raw.strip()]
    traces = [_trace(row, response, problem.id, provenance, key) for response in responses]
    if found.responses and not traces:
        raise RowError("the response is empty")
    return ParsedRow(_precise(name, traces), problem, traces)


def _problem(row: Mapping[str, Any], found: _Found, provenance: FileOrigin, key: str) -> NewProblem:
    """The problem of a row. What belongs to the response (``solution``, say) is no reference."""
    reference = next((text for name in _REFERENCE if name not in found.used and (text := _string(row.get(name)))), None)
    gold = next((text for name in _GOLD if name not in found.used and (text := _gold(row.get(name)))), None)
    if gold is None and reference is not None:
        boxed = extract_answer(reference)
        if boxed is not None and boxed.how is How.BOXED:
            gold = boxed.text
        elif found.responses and len(reference) <= _LONGEST_GOLD and "\n" not in reference.strip():
            gold = reference.strip()  # s1K keeps a short gold answer there
    if reference is None and "####" in (full := _string(row.get("answer")) or "") and "answer" not in found.used:
        reference = full
    source = _string(row.get("dataset")) or provenance.source
    if found.responses:
        # Of the problem, not of the response: a problem that many traces answer is one row of one source.
        return NewProblem(
            found.statement, source, _text(row, ("problem_id",)) or "", gold, reference, _licence(row, provenance)
        )
    return NewProblem(found.statement, source, key, gold, reference, _licence(row, provenance), _meta(row))


def _trace(row: Mapping[str, Any], response: _Response, problem_id: str, provenance: FileOrigin, key: str) -> NewTrace:
    parsed = parse(response.raw)
    model = _text(row, _MODEL) or provenance.teacher or response.model or UNKNOWN
    synthesis = _string(row.get("synthesis")) or provenance.synthesis or response.synthesis
    if synthesis is None:
        synthesis = "distilled" if model != UNKNOWN else UNKNOWN
    meta = _meta(row)
    if response.turns > 1:
        meta["turns"] = response.turns
    nothing = (len(response.raw), len(response.raw))
    return NewTrace(
        problem_id=problem_id,
        model=model,
        raw=response.raw,
        thought=parsed.thought or (0, 0),
        solution=parsed.solution or nothing,
        complete=parsed.complete,
        format=parsed.format.value,
        source=provenance.source,
        key=key,
        licence=_licence(row, provenance),
        synthesis=synthesis if synthesis in SYNTHESES else UNKNOWN,
        meta=meta,
    )


def _recorded(row: Mapping[str, Any]) -> _Found | None:
    statement = _words(row, _STATEMENT)
    if statement is None:
        return None
    used = ("raw", "thought", "solution")
    if raw := _string(row.get("raw")):
        return _Found(statement, [_Response(raw)], used)
    thought, solution = _string(row.get("thought")), _string(row.get("solution"))
    return _Found(statement, [_Response(join(thought, solution or ""))], used) if thought else None


def _s1(row: Mapping[str, Any]) -> _Found | None:
    """s1K and s1K-1.1: one trace for each teacher that has a trajectory in the row."""
    statement = _words(row, _STATEMENT)
    if statement is None:
        return None
    responses = []
    for prefix, model in (("gemini_", "gemini-2.0-flash-thinking"), ("deepseek_", "deepseek-r1"), ("", None)):
        thought = _first(row.get(f"{prefix}thinking_trajectory")) or _first(row.get(f"{prefix}thinking_trajectories"))
        if thought is not None:
            answer = _first(row.get(f"{prefix}attempt")) or ""
            responses.append(_Response(join(thought, answer), model, "distilled"))
    return _Found(statement, responses) if responses else None


def _conversation(turns: Any) -> _Found | None:
    if not isinstance(turns, list) or not all(isinstance(turn, dict) for turn in turns):
        return None
    said = [(_string(turn.get("role") or turn.get("from")), turn) for turn in turns]
    asked = next((index for index, (role, _) in enumerate(said) if role in _USER), None)
    if asked is None:
        raise RowError("the conversation has no turn of a user")
    answered = next((turn for role, turn in said[asked + 1 :] if role in _ASSISTANT), None)
    if answered is None:
        raise RowError("the conversation has no answer of an assistant")
    raw = join(_words(answered, _REASONING), _content(answered))
    return _Found(_content(said[asked][1]), [_Response(raw, turns=sum(role in _ASSISTANT for role, _ in said))])


def _content(turn: Mapping[str, Any]) -> str:
    """A turn's text; of a list of parts the text parts."""
    value = turn.get("content", turn.get("value"))
    if isinstance(value, list):
        parts = [part.get("text") if isinstance(part, dict) else part for part in value]
        return "".join(part for part in parts if isinstance(part, str))
    return value if isinstance(value, str) else ""


def _sharegpt(row: Mapping[str, Any]) -> _Found | None:
    return _conversation(row.get("conversations", row.get("conversation")))


def _messages(row: Mapping[str, Any]) -> _Found | None:
    return _conversation(row.get("messages"))


def _reasoning(row: Mapping[str, Any]) -> _Found | None:
    statement = _words(row, (*_STATEMENT, "instruction", "input"))
    thought = _words(row, _REASONING)
    if statement is None or thought is None:
        return None
    answer = next((name for name in _ANSWERED if _string(row.get(name))), None)
    raw = join(thought, row[answer] if answer else "")
    return _Found(statement, [_Response(raw, synthesis="distilled")], (answer,) if answer else ())


def _alpaca(row: Mapping[str, Any]) -> _Found | None:
    """Instruction and input make the problem, as Alpaca's own prompt has them; also a prompt with its response."""
    answer = _words(row, ("output", "response", "completion"))
    instruction = _string(row.get("instruction"))
    context = _string(row.get("input")) if instruction else None
    statement = instruction or _words(row, _STATEMENT)
    if answer is None or statement is None:
        return None
    return _Found(f"{statement}\n\n{context}" if context else statement, [_Response(answer)])


def _problems(row: Mapping[str, Any]) -> _Found | None:
    statement = _words(row, _STATEMENT)
    if statement is None or not any(name in row for name in (*_GOLD, *_REFERENCE)):
        return None
    context = _string(row.get("context"))
    return _Found(f"{context}\n\n{statement}" if context else statement)


# The first that fits: from the most telling keys to the least.
_RECOGNISERS = (
    ("s1", _s1),
    ("recorded", _recorded),
    ("sharegpt", _sharegpt),
    ("messages", _messages),
    ("reasoning", _reasoning),
    ("alpaca", _alpaca),
    ("problems", _problems),
)


def _precise(name: str, traces: Sequence[NewTrace]) -> str:
    """The name a person knows a file by: the marks in its responses say more than ``alpaca`` does."""
    marked = traces[0].format if traces else "plain"
    return name if name == "s1" or marked == "plain" or name in ("messages", "reasoning") else f"{marked} ({name})"


def _gold(value: Any) -> str | None:
    """A gold answer as text: of GSM8K what follows ``####``, of a list its values, of 27.0 just 27."""
    if isinstance(value, bool) or value is None or (isinstance(value, float) and not math.isfinite(value)):
        return None
    if isinstance(value, list):
        return ", ".join(text for one in value if (text := _gold(one))) or None
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    text = str(value) if isinstance(value, int | float) else _string(value)
    if text is None:
        return None
    return (normalise(text) if "####" in text else text.strip()) or None


def _meta(row: Mapping[str, Any]) -> dict[str, Any]:
    """Small facts worth keeping, by name; what JSON has no word for (NaN) is none."""
    return {
        name: row[name]
        for name in _META
        if isinstance(row.get(name), str | int | float)
        and len(str(row[name])) <= _LONGEST_GOLD
        and not (isinstance(row[name], float) and not math.isfinite(row[name]))
    }


def _licence(row: Mapping[str, Any], provenance: FileOrigin) -> str:
    return _text(row, ("licence", "license")) or provenance.licence or UNKNOWN


def _text(row: Mapping[str, Any], names: Sequence[str]) -> str | None:
    """The first of these that is a text with something in it, or a whole number."""
    for name in names:
        value = row.get(name)
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        if (text := _string(value)) is not None:
            return text
    return None


def _words(row: Mapping[str, Any], names: Sequence[str]) -> str | None:
    """The first of these that is a text with something in it."""
    return next((text for name in names if (text := _string(row.get(name))) is not None), None)


def _string(value: Any) -> str | None:
    """A text with something in it. The data of others write None as a word."""
    return value if isinstance(value, str) and value.strip() and value != "None" else None


def _first(value: Any) -> str | None:
    return next(_strings(value), None)


def _strings(value: Any) -> Iterator[str]:
    for one in value if isinstance(value, list) else [value]:
        if (text := _string(one)) is not None:
            yield text


def _keys(row: Mapping[str, Any]) -> str:
    names = [str(name) for name in row]
    return ", ".join(names[:8]) + (", …" if len(names) > 8 else "") if names else "none"
