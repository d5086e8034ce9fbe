"""The recogniser: what the columns of a row are, by their names (:mod:`.roles`) and by what is in them.

A row is a conversation, or a problem with responses, or a problem alone. Every response becomes a trace.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from o1lab.chains.marks import PLAIN
from o1lab.chains.parse import join, parse
from o1lab.ingest.importers.base import Found, RowError, TraceText, importer
from o1lab.ingest.importers.conversations import Turn, alternating_turns, turns_of
from o1lab.ingest.importers.roles import Layout, is_long, layout, maker
from o1lab.ingest.importers.texts import IMAGE, content_in, decoded, glued, picture, response_in, string, thought_in

_MAKERS: Mapping[tuple[str, ...], str] = {("gemini",): "gemini-2.0-flash-thinking", ("deepseek",): "deepseek-r1"}
"""The models behind two prefixes of s1K."""
_LIMITS = ("length", "max_tokens", "max_output_tokens", "model_length", "finish_reason_length")
_LIST_OF_TURNS = ("conversation", "conversations", "dialog", "dialogue", "chat", "messages")


def columns(row: Mapping[str, Any]) -> Found | None:
    """Recognise rows whose columns have names that say what they are."""
    return recognise(row, layout(tuple(row)))


_FORMS = {"s1": True, "recorded": False, "sharegpt": False, "messages": True, "reasoning": True, "alpaca": False}
for _order, (_form_name, _own_name) in enumerate({**_FORMS, "problems": False}.items(), start=1):
    importer(_form_name, order=10 * _order, own_name=_own_name)(columns)  # one recogniser; what it finds has a form


def recognise(row: Mapping[str, Any], known: Layout) -> Found | None:
    """Return what is in a row, None if it has no problem.

    Args:
        row: the row.
        known: what its columns may be.

    Raises:
        RowError: the row has a conversation or a problem that cannot be used.
    """
    return _Reader(row, known).read()


class _Reader:
    """Reads one row; ``used`` and ``left`` become those of :class:`Found`."""

    def __init__(self, row: Mapping[str, Any], known: Layout) -> None:
        self.row = row
        self.known = known
        self.used: dict[str, str] = {}
        self.left: dict[str, list[str]] = {}
        self.unmarked: set[str] = set()

    def read(self) -> Found | None:
        asked, answer, form = self._conversation()
        if asked is None:
            statement = self._statement()
            if statement is None:
                return None
            asked = [Turn("user", statement)]
        question = next((turn for turn in asked if turn.role == "user"), None)
        if question is None:
            raise RowError("the conversation has no user turn")
        question.content += self._pictures(question.content)
        asked = self._before(asked)
        answers = sum(turn.role == "assistant" for turn in asked) + 1
        responses, own_form = self._responses(answer)
        if form and not responses:
            raise RowError("the conversation has no assistant turn after the question")
        form = form or own_form
        simple = len(asked) == 1  # the question
        context = () if simple else tuple({"role": turn.role, "content": _whole(turn)} for turn in asked)
        synthesis = "distilled" if form in ("s1", "reasoning") else None
        cut = self._cut_off([raw for raw, _ in responses])
        models = dict(reversed(responses))  # the first of equal responses counts
        made = [
            TraceText(raw, models[raw], synthesis, answers, context, raw in cut, raw in self.unmarked)
            for raw in dict.fromkeys(raw for raw, _ in responses)
        ]
        if not made and self._has_empty_response():
            raise RowError(f"the response is empty; the row has these keys: {', '.join(map(str, self.row))}"[:200])
        return Found(question.content, made, self.used, self.left, form or "problems")

    # The question.

    def _conversation(self) -> tuple[list[Turn] | None, Turn | None, str]:
        """Return the turns before the answer, the answer if the conversation has one, and the name of the format."""
        for column in self.known.of("messages"):
            turns = turns_of(self.row[column], self._left(column))
            if turns is None and _plain_name(column) in _LIST_OF_TURNS:
                turns = alternating_turns(self.row[column])
            if turns:
                self.used[column] = "messages"
                return *self._split(column, turns), "sharegpt" if "conv" in column.lower() else "messages"
        for column in self.known.of("background"):  # as this project exports the context of a trace
            if turns := self._turns(column):
                self.used[column] = "messages"
                return *self._split(column, turns), ""
        for column in self.known.of("problem", "response"):
            if turns := self._turns(column):
                self.used[column] = "messages"
                asked = len(turns)
                for name in self.known.of("response") if column in self.known.of("problem") else ():
                    if answered := self._turns(name):
                        self.used[name] = "response"
                        turns += answered[asked if answered[:asked] == turns else 0 :]  # some repeat the prompt
                        return *self._split(column, turns, asked, name), "messages"
                return *self._split(column, turns), "messages"
            if column in self.known.of("problem") and self._text(column):
                break
        return None, None, ""

    def _turns(self, column: str) -> list[Turn] | None:
        """Return the turns in a column that usually holds a text."""
        value = decoded(self.row[column])
        return turns_of(value, self._left(column)) if isinstance(value, list) else None

    def _split(
        self, column: str, turns: list[Turn], asked: int | None = None, answered: str = ""
    ) -> tuple[list[Turn], Turn | None]:
        """Split a conversation at its last answer. Turns after it are left.

        Args:
            column: the column of the turns.
            turns: the turns.
            asked: the number of turns of ``column``, if the others are those of the column ``answered``.
            answered: that column.
        """
        first = next((at for at, turn in enumerate(turns) if turn.role == "user"), len(turns))
        answers = [
            at for at, turn in enumerate(turns) if at > first and turn.role == "assistant" and _whole(turn).strip()
        ]
        if first == len(turns):
            raise RowError("the conversation has no user turn")
        if not answers:
            blank = any(turn.role == "assistant" for turn in turns[first:])
            if blank and not self._any("response", "thought", "chain", "raw"):
                raise RowError("the response is empty")
            return [turn for turn in turns if _whole(turn).strip() or turn.role == "user"], None
        last = answers[-1]
        if last < len(turns) - 1 and self._answered_elsewhere():
            return turns, None
        for at, turn in enumerate(turns[last + 1 :], start=last + 1):
            left = self._left(column if asked is None or at < asked else answered)
            left += (turn.content, turn.thought)
        return turns[:last], turns[last]

    def _answered_elsewhere(self) -> bool:
        """Return whether a column other than the conversation's has its last answer."""
        columns = [column for column in self.known.of("raw", "response") if column not in self.used]
        return any(self._texts(column) for column in columns) or bool(self._thoughts_elsewhere()[1])

    def _statement(self) -> str | None:
        """Return the problem: instruction, background, question and input, those that the row has."""
        asked = {column: text for column in self.known.of("problem") if (text := self._text(column))}
        more = [column for column in self.known.of("background", "input") if self._text(column)]
        if len(asked) == 1 and not more:
            ((only, statement),) = asked.items()
            self.used[only] = "problem"
            return statement
        questions = [column for column in asked if not _is_input(column)] or list(asked)
        if not questions:
            return None
        instruction = next((column for column in questions if _plain_name(column).startswith("instruction")), None)
        question = next((column for column in questions if column != instruction), None)
        background = [column for column in more if column in self.known.of("background")]
        inputs = [column for column in (*more, *filter(_is_input, asked)) if column not in (*background, question)]
        order = [instruction, *background, question, *inputs]
        parts: list[str] = []
        for column in filter(None, order):
            text = asked.get(column) or self._text(column)
            self.used[column] = "background" if column in background else "input" if column in inputs else "problem"
            if column == question or text not in asked.get(question or "", ""):
                parts.append(text)
        return "\n\n".join(parts)

    def _text(self, column: str) -> str:
        """Return the text of a column, empty if it is none."""
        value = self.row[column]
        text = content_in(value, self._left(column))[0] if isinstance(value, str | list) else ""
        return text if string(text) else ""

    def _pictures(self, statement: str) -> str:
        """Return the marks of the pictures in columns of their own."""
        marks = []
        for column in self.known.of("image"):
            value = self.row[column]
            if value and not isinstance(value, bool | int | float):
                self.used[column] = "image"
                marks += [picture(one) for one in (value if isinstance(value, list) else [value])]
        missing = len(marks) - statement.count(IMAGE[:-1])
        return "".join(f"\n\n{mark}" for mark in marks[:missing]) if missing > 0 else ""

    def _before(self, asked: list[Turn]) -> list[Turn]:
        """Return the turns with the system message and the history of columns of their own before them."""
        for column in self.known.of("history"):
            turns = turns_of(self.row[column], self._left(column)) or alternating_turns(self.row[column])
            if turns:
                self.used[column] = "history"
                asked = [*turns, *asked]
        if not any(turn.role == "system" for turn in asked):
            for column in self.known.of("system"):
                if system := string(self.row[column]):
                    self.used[column] = "system"
                    return [Turn("system", system), *asked]
        return asked

    # The responses.

    def _responses(self, answer: Turn | None) -> tuple[list[tuple[str, str | None]], str]:
        """Return (raw, model) of each response, and the name of the format."""
        found: list[tuple[str, str | None]] = []
        form = ""
        if answer is not None:
            thought = answer.thought
            column, thoughts = ("", []) if thought else self._thoughts_elsewhere()
            if thoughts and parse(answer.content).format == PLAIN:
                thought, self.used[column] = glued(thoughts), "thought"
            found.append((_joined(thought, answer.content), None))
        for column in self.known.of("raw"):
            if raw := string(self.row[column]):
                self.used[column] = "raw"
                return [*found, (raw, None)], "recorded"
        if answer is None:
            made, form = self._thoughts()
            found += made
        for column in self.known.of("response"):
            if column not in self.used and (texts := self._texts(column)):
                self.used[column] = "response"
                form = form or "alpaca"
                name = maker(self.known.prefixes[column])
                found += [(_joined(thought, text), model or name) for text, thought, model in texts]
        if not found:
            found, form = self._marked()
        return found, form

    def _marked(self) -> tuple[list[tuple[str, str | None]], str]:
        """Return responses with think marks in a column whose name does not say so, such as ``answer``."""
        for column, value in self.row.items():
            if column in self.used or not isinstance(value, str | list):
                continue
            texts = [text for text, _, _ in self._texts(column)]
            if texts and all(parse(text).thought for text in texts):
                self.used[column] = "response"
                return [(text, None) for text in texts], "alpaca"
        return [], ""

    def _thoughts_elsewhere(self) -> tuple[str, list[str]]:
        """Return the first column with thoughts of the last answer of a conversation, and the thoughts."""
        for column in self.known.of("thought", "chain"):
            if thoughts := self._read_thoughts(column):
                return column, thoughts
        return "", []

    def _thoughts(self) -> tuple[list[tuple[str, str | None]], str]:
        """Return the responses whose thought is in a separate column."""
        found: list[tuple[str, str | None]] = []
        form = ""
        bare = False  # whether a thought without a prefix was taken: another one is another spelling of it
        for column in self.known.of("thought", "chain"):
            prefix = self.known.prefixes[column]
            thoughts = self._read_thoughts(column)
            if not thoughts or (bare and not prefix and column not in self.known.mapped):
                continue
            bare = bare or not prefix
            chain = column in self.known.of("chain")
            partner, answers = self._partner(prefix, len(thoughts), chain=chain)
            several = len(thoughts) > 1 and not partner  # the steps of one thought, or chains
            if several and not (chain and column.lower().endswith("s")):
                thoughts = ["\n\n".join(thoughts)]
                partner, answers = self._partner(prefix, 1, chain=chain)
            name = _MAKERS.get(prefix) or maker(prefix)
            if partner:
                self.used[partner] = "solution"
            whole = chain and not partner
            self.used[column] = "response" if whole else "thought"
            if whole and is_long(column):
                self.unmarked.update(thoughts)
            raws = thoughts if whole else map(_joined, thoughts, answers or [""] * len(thoughts))
            found += [(raw, name) for raw in raws]
            form = form or _form(column, whole=whole)
        return found, form

    def _partner(self, prefix: Sequence[str], number: int, *, chain: bool) -> tuple[str, list[str]]:
        """Return the column with the answers to ``number`` thoughts, and the answers; ("", []) without one.

        It has the prefix of the thoughts, or none. The thoughts of a model that the prefix names are not joined to a
        solution that may be a reference, and a chain, which may be a whole response, not to a gold answer.
        """
        every = self.known.of("response", "solution")
        same = [name for name in every if prefix and self.known.prefixes[name] == prefix]
        plain = [*self.known.of("response")]
        if not maker(prefix) and (chain or not prefix):
            plain += self.known.of("solution")
        if not chain:
            plain += self.known.of("answer")
        for column in [*same, *(name for name in plain if not maker(self.known.prefixes[name]))]:
            gold = column in self.known.of("answer") and _plain_name(column) not in ("answer", "答案")
            if column not in self.used and not gold:
                answers = self._texts(column)
                if len(answers) == number:
                    self._left(column).extend(thought for _, thought, _ in answers)
                    return column, [text for text, _, _ in answers]
        return "", []

    def _read_thoughts(self, column: str) -> list[str]:
        """Return the thoughts in a column: one, or those of a list."""
        values, left = _each(decoded(self.row[column])), self._left(column)
        return [text for one in values if (text := thought_in(one, left))]

    def _texts(self, column: str) -> list[tuple[str, str, str | None]]:
        """Return (text, thought, model) of each response in a column."""
        value, left = decoded(self.row[column]), self._left(column)
        if isinstance(value, list) and (turns := turns_of(value, left)):
            answers = [turn for turn in turns if turn.role == "assistant" and _whole(turn).strip()]
            for turn in turns:
                if not answers or turn is not answers[-1]:
                    left += (turn.content, turn.thought)
            return [(turn.content, turn.thought, None) for turn in answers[-1:]]
        found = [response_in(one, left) for one in _each(value) if one is not None]
        return [one for one in found if string(one[0]) or one[1]]

    def _cut_off(self, raws: Sequence[str]) -> set[str]:
        """Return which of the responses reached their maximum length, according to a column with finish reasons."""
        for column in self.known.of("finish"):
            value = decoded(self.row[column])
            reasons = [str(one).lower() for one in (value if isinstance(value, list) else [value])]
            every = next((one for one in self._lists_of_responses() if len(one) == len(reasons)), raws)
            if len(reasons) == len(every):
                self.used[column] = "finish"
                return {raw for raw, reason in zip(every, reasons, strict=True) if reason in _LIMITS}
        return set()

    def _lists_of_responses(self) -> Iterator[list[str]]:
        """Yield the responses in each column with a list of them, empty ones included."""
        for column in self.known.of("response"):
            value = decoded(self.row[column]) if self.used.get(column) == "response" else None
            if isinstance(value, list):
                read = (("", "") if one is None else response_in(one, [])[:2] for one in value)
                yield [_joined(thought, text) for text, thought in read]

    def _has_empty_response(self) -> bool:
        """Return whether the row has a response that is empty, and nothing else that a problem needs."""
        return bool(self.known.of("response", "raw")) and not self._any("answer", "reference", "solution")

    def _any(self, *roles: str) -> bool:
        return any(self.row[column] not in (None, "", []) for column in self.known.of(*roles))

    def _left(self, column: str) -> list[str]:
        return self.left.setdefault(column, [])


@lru_cache(maxsize=1024)
def _is_input(column: str) -> bool:
    """Return whether a column holds more of the question, such as Alpaca's ``input``."""
    return _plain_name(column) in ("input", "inputs")


@lru_cache(maxsize=1024)
def _plain_name(column: str) -> str:
    return column.replace("_", "").replace(" ", "").lower()


def _form(column: str, *, whole: bool) -> str:
    if whole:
        return "alpaca"
    name = _plain_name(column)
    return "s1" if "trajector" in name else "recorded" if name == "thought" else "reasoning"


def _each(value: Any) -> list[Any]:
    """Return the items of a list of values; a list of the parts of one value, which have types, is one item."""
    parts = isinstance(value, list) and any(isinstance(one, Mapping) and "type" in one for one in value)
    return value if isinstance(value, list) and not parts else [value]


def _whole(turn: Turn) -> str:
    return join(turn.thought, turn.content) if turn.thought else turn.content


def _joined(thought: str, text: str) -> str:
    """Join a thought and a text. Marks that one of them has already are not repeated."""
    if not thought:
        return text
    parsed = parse(text)
    if parsed.format != PLAIN and thought.strip() in parsed.thought_of(text):
        return text
    own = parse(thought)
    if own.format != PLAIN and own.thought:
        if own.solution and (not text.strip() or text.strip() in own.solution_of(thought)):
            return thought
        if not own.solution and not own.outside:
            thought = own.thought_of(thought)
    return join(thought, text)
