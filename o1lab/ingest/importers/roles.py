"""What a column is for, judged by its name: the names as data, in any case, and the words of compound names.

A :class:`Layout` says for the columns of a row which of them could be the problem, the thought, the response and so on.
What is in them decides later (:mod:`o1lab.ingest.importers.columns`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

ROLES: Mapping[str, str] = {
    "problem": "the question",
    "input": "more of the question, as in Alpaca",
    "background": "text that belongs before the question",
    "image": "a picture of the question",
    "system": "the system message",
    "messages": "a conversation",
    "history": "earlier turns of the conversation",
    "raw": "the whole response, with its marks; then thought and solution are not needed",
    "thought": "the thought, without the solution",
    "chain": "the thought if there is also a response, else the whole response",
    "response": "the response, or a list of several",
    "solution": "the solution of the response if there is a thought, else a reference solution",
    "reference": "a reference solution",
    "answer": "the gold answer",
    "model": "the model that wrote the response",
    "licence": "the licence",
    "source": "the data set that the row comes from",
    "synthesis": "how the response was made",
    "key": "the id of the row",
    "finish": "why the response ended: one that reached its maximum length is not complete",
    "ignore": "nothing",
}
"""The roles of columns, and what they mean."""

_NAMES: Mapping[str, str] = {
    "problem": """problem question statement prompt query problem_statement question_text problem_text user_prompt
        user_query user_message original_question task instruction instructions inputs human user 题目 问题 题干 指令
        input""",
    "background": "context passage background",
    "system": """system system_prompt system_message sys_prompt system_instruction system_instructions developer
        developer_prompt 系统提示""",
    "messages": "conversations conversation messages dialog dialogue dialogs chat chat_messages",
    "history": "history chat_history prev_messages previous_messages",
    "raw": "raw raw_response full_response",
    "thought": """thought thoughts reasoning_content reasoning thinking deepseek_reasoning reasoning_details think
        thinking_blocks thinking_trajectory thinking_trajectories thought_process thinking_process 思考过程 推理过程
        思考 推理""",
    "chain": "cot long_cot complex_cot chain_of_thought rationale rationales 思维链 推理链 长思维链",
    "response": """content response output completion attempt responses outputs completions generation generations
        generated_solution generated_text generated_answer targets reply final_response chosen assistant choices
        回答 输出""",
    "reference": "reference_solution ground_truth_solution gold_solution gold_standard_solution",
    "solution": "solution solutions 解答",
    "answer": """gold_answer gold ground_truth expected_answer final_answer answer reference_answer correct_answer
        true_answer ideal 标准答案 参考答案 正确答案 最终答案 答案""",
    "model": "model teacher model_name generator generated_by model_id",
    "licence": "licence license",
    "source": "dataset",
    "synthesis": "synthesis",
    "finish": "finish_reason finish_reasons stop_reason",
    "key": "id unique_id uuid idx problem_id question_id",
    "image": "image images picture pictures img image_url image_path figure figures",
}
"""Names by role, in order: the first that has a value counts."""


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_MADE_BY = _set(
    """
    r1 deepseek gemini qwq qwen gpt o1 o3 o4 claude llama model llm ai assistant teacher student generated
    synthetic phi mistral magistral gemma kimi glm nemotron openai sonnet opus grok distilled bot predicted
    """
)
_NO_MODEL = _set("model llm ai assistant teacher student generated synthetic distilled bot predicted")
_ABOUT = _set(
    """
    type id ids count counts length len tokens token time times timestamp date score scores url link name lang
    language verify verified verification correct correctness is has num n finish judge judgement rating
    ratings version status hash difficulty level domain subject category ratio rate rates metadata meta valid
    quality preference chars index format topic source sources reason reasons error errors usage cost
    temperature mode style flag embedding grade grades reward rewards split tags tag
    """
)
_GIVEN = _set("gold golden reference expected ground truth canonical official standard")
_THOUGHT = _set(
    """
    reasoning thinking thought thoughts think trajectory trajectories scratchpad deliberation reflection
    reasonings
    """
)
_CHAIN = _set("cot cots rationale rationales")
_RESPONSE = _set(
    """
    response responses completion completions generation generations generated output outputs reply replies
    rollout rollouts attempt attempts
    """
)
_SOLVED = _set("solution solutions answer answers text attempt content message")
_MESSAGES = _set("messages conversation conversations dialogue dialog chat")
_PROBLEM = _set("problem question query prompt instruction statement")
_IMAGE = _set("image images picture pictures img imgs photo photos screenshot")
_WITH_DIGITS = re.compile(r"[^\W\d_]+\d{0,2}(?![^\W_])|[^\W\d_]+")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z][a-z]*[a-z]{2})|(?<=[a-z])(?=[A-Z]{2})")


@dataclass(frozen=True, slots=True)
class Layout:
    """The columns of a row by role, the best candidates first.

    Attributes:
        columns: columns by role.
        prefixes: the words of a column's name before the word that gives it its role, such as ``deepseek`` of
            ``deepseek_reasoning``: a thought and a response with the same words belong together.
        mapped: columns whose role the user gave.
    """

    columns: Mapping[str, tuple[str, ...]]
    prefixes: Mapping[str, tuple[str, ...]]
    mapped: frozenset[str] = frozenset()

    def of(self, *roles: str) -> Sequence[str]:
        """Return the columns that may have one of these roles."""
        if len(roles) == 1:
            return self.columns.get(roles[0], ())
        return [column for role in roles for column in self.columns.get(role, ())]


@lru_cache(maxsize=512)
def layout(names: tuple[str, ...], mapping: tuple[tuple[str, str], ...] = ()) -> Layout:
    """Return the layout of rows with these columns.

    Args:
        names: the names of the columns.
        mapping: (column, role) as the user says; other columns do not get these roles.
    """
    given = {column: role for column, role in mapping if column in names}
    taken = {*given.values(), *(("raw",) if {"thought", "solution", "response"} & set(given.values()) else ())}
    found: dict[str, list[tuple[int, str]]] = {}
    for name in names:
        role, rank = (given[name], -1) if name in given else role_of(name)
        if role and (name in given or role not in taken):
            found.setdefault(role, []).append((rank, name))
    columns = {role: tuple(name for _, name in sorted(ranked, key=_rank)) for role, ranked in found.items()}
    return Layout(columns, {name: _prefix(name) for name in names}, frozenset(given))


def _rank(ranked: tuple[int, str]) -> int:
    return ranked[0]


@lru_cache(maxsize=4096)
def role_of(name: str) -> tuple[str, int]:
    """Return the role that a name suggests, empty if none, and its rank among the names for this role."""
    if exact := _EXACT.get(_squashed(name)):
        return exact
    in_order = _words(name)
    return _compound({*in_order, *map(_plain, in_order)}, in_order), _COMPOUND


_COMPOUND = 1000
"""The rank of compound names: after those of the table."""


def _compound(words: set[str], in_order: Sequence[str]) -> str:
    last = in_order[-1] if in_order else ""
    if words & {"licence", "license"}:
        return "licence"
    if last in ("model", "generator") and len(in_order) > 1:
        return "model"
    if words & _GIVEN:
        return "answer" if "answer" in words else "reference" if words & {"solution", "response", "rationale"} else ""
    if words & _ABOUT:
        return ""
    if words & _MESSAGES:
        return "messages"
    if "chain" in words:
        return "chain"
    if words & _THOUGHT:
        return "thought"
    if words & _CHAIN or last.endswith("cot"):
        return "chain"
    named = _made_by(words - _NO_MODEL)
    if words & _RESPONSE or (words & _SOLVED and _made_by(words)) or (named and all(map(_is_model, in_order))):
        return "response"
    if words & _IMAGE:
        return "image"
    if words & _PROBLEM:
        return "problem"
    return "solution" if "solution" in words else ""


def _made_by(words: Iterable[str]) -> bool:
    return any(_plain(word) in _MADE_BY for word in words)


def _is_model(word: str) -> bool:
    return _plain(word) in _MADE_BY


def _plain(word: str) -> str:
    """Return a word without the version at its end: ``gpt`` of ``gpt4``, but ``r1``."""
    return word if word in _MADE_BY else word.rstrip("0123456789")


def is_long(name: str) -> bool:
    """Whether a name says that it holds long thoughts, such as ``longCOT`` and ``long_chain_of_thought``."""
    return "long" in _words(name) or name.startswith("长")


def maker(prefix: Sequence[str]) -> str | None:
    """Return the name of a model before the word for a role, such as ``qwq`` of ``qwq_response`` or ``qwq``."""
    return "-".join(prefix) if any(_plain(word) in _MADE_BY - _NO_MODEL for word in prefix) else None


def _prefix(name: str) -> tuple[str, ...]:
    words = _words(name)
    roles = _THOUGHT | _CHAIN | _RESPONSE | _SOLVED
    end = next((at for at, word in enumerate(words) if word in roles and word != "generated"), 0)
    return tuple(words if all(map(_is_model, words)) else words[:end])


def _words(name: str) -> list[str]:
    """Return the words of a name in lower case: ``long``, ``cot`` of ``longCOT``, and ``r1`` with its digit."""
    plain = _CAMEL.sub("_", name.replace("CoT", "Cot").replace("Cot", "_cot")).lower()
    return _WITH_DIGITS.findall(plain)


def _squashed(name: str) -> str:
    return re.sub(r"[\W_]+", "", name).lower()


_EXACT = {_squashed(name): (role, rank) for role, names in _NAMES.items() for rank, name in enumerate(names.split())}
