"""Export a dataset for other training tools: messages, sharegpt, alpaca or plain rows (JSON Lines), or Parquet.

A dataset of pairs has one format, that of TRL.

Every row has its provenance: trace, model, licences, synthesis, version of the prompt, verdict.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from o1lab.chains.parse import join
from o1lab.ingest.export_changes import changes_of, is_history
from store import Store, datasets, pairs
from store.batches import batched
from store.datasets import DatasetRow
from store.pairs import PairRow
from store.records import DatasetKind, scrubbed

_PARQUET_ROWS = 200
_PROVENANCE = {
    "trace_id": "trace_id",
    "model": "model",
    "source": "source",
    "licence": "licence",
    "synthesis": "synthesis",
    "verdict": "verdict",
    "tokens": "tokens",
    "problem_id": "problem_id",
    "problem_licence": "problem_licence",
    "prompt": "prompt_version",  # other tools would take "prompt" for the question
    "parent_id": "parent_id",
}


def _provenance(row: DatasetRow) -> dict[str, Any]:
    return {name: getattr(row, field) for field, name in _PROVENANCE.items()} | _writers(row)


def _writers(row: DatasetRow) -> dict[str, Any]:
    """Return who wrote what of a response that several models wrote."""
    parts = {part: [one._asdict() for one in found] for part, found in row.writers.items()}
    return {"writers": parts} if parts else {}


_OF_PROBLEM = ("problem_id", "problem_licence")
_SHAREGPT = {"user": "human", "assistant": "gpt"}


def _response(row: DatasetRow) -> str:
    """Return the response with its think marks. A thought that was cut off has no closing mark."""
    if row.cut_off:
        return "\n\n".join(part for part in (row.solution, join(row.thought, "", closed=False)) if part)
    return join(row.thought, row.solution, closed=True)


def _conversation(row: DatasetRow) -> list[dict[str, str]]:
    asked = [dict(turn) for turn in row.context] or [{"role": "user", "content": row.statement}]
    return [*asked, {"role": "assistant", "content": _response(row)}]


def _messages(row: DatasetRow) -> dict[str, Any]:
    return {"messages": _conversation(row), **_provenance(row)}


def _sharegpt(row: DatasetRow) -> dict[str, Any]:
    turns = [{"from": _SHAREGPT.get(one["role"], one["role"]), "value": one["content"]} for one in _conversation(row)]
    return {"conversations": turns, **_provenance(row)}


def _alpaca(row: DatasetRow) -> dict[str, Any]:
    """Return a row with ``system`` and ``history`` where other turns come before the last question."""
    *asked, answer = _conversation(row)
    system = "\n\n".join(turn["content"] for turn in asked if turn["role"] == "system")
    turns = [turn for turn in asked if turn["role"] != "system"]
    history, instruction = turns[:-1], turns[-1]["content"] if turns else row.statement
    if not is_history([turn["role"] for turn in history]):  # tool rounds
        history, instruction = [], "\n\n".join(f"[{turn['role']}] {turn['content']}" for turn in turns)
    pairs = [[one["content"], two["content"]] for one, two in zip(history[::2], history[1::2], strict=True)]
    before = {name: value for name, value in (("system", system), ("history", pairs)) if value}
    return {"instruction": instruction, "input": "", "output": answer["content"], **before, **_provenance(row)}


def _plain(row: DatasetRow) -> dict[str, Any]:
    texts = {"problem": row.statement, "thought": row.thought, "solution": row.solution, "gold_answer": row.gold}
    return {**texts, **({"context": row.context} if row.context else {}), **_provenance(row)}


_LINES: dict[str, Callable[[DatasetRow], dict[str, Any]]] = {
    "messages": _messages,
    "sharegpt": _sharegpt,
    "alpaca": _alpaca,
    "jsonl": _plain,
}
FORMATS = (*_LINES, "parquet", "pairs")
KINDS: dict[str, DatasetKind] = {form: "pairs" if form == "pairs" else "sft" for form in FORMATS}
"""The kind of dataset that each format is for."""


def _pair(row: PairRow) -> dict[str, Any]:
    """Return a pair as TRL reads it: the prompt, the chosen and the rejected answer as messages."""
    *asked, better = _conversation(row.chosen)
    found: dict[str, Any] = {"prompt": asked, "chosen": [better], "rejected": [_conversation(row.rejected)[-1]]}
    for side, one in (("chosen", row.chosen), ("rejected", row.rejected)):
        found |= {f"{side}_{name}": value for name, value in _provenance(one).items() if name not in _OF_PROBLEM}
    return found | {name: value for name, value in _provenance(row.chosen).items() if name in _OF_PROBLEM}


@dataclass
class Exported:
    """What an export wrote.

    Attributes:
        rows: the number of rows.
        changes: the number of rows for each thing that was left out or changed, see :mod:`o1lab.ingest.export_changes`.
    """

    rows: int = 0
    changes: Counter[str] = field(default_factory=Counter)

    def counted(self, rows: Iterable[DatasetRow], form: str) -> Iterator[DatasetRow]:
        """Yield the rows, and count them and their changes."""
        for row in rows:
            self.rows += 1
            self.changes.update(changes_of(row, form))
            yield row


def export_dataset(store: Store, name: str, form: str, path: Path) -> Exported:
    """Write the dataset to ``path``, a file that the caller moves into place.

    If a row has a thought, the response is ``<think>``, thought, ``</think>`` and the solution. A row with a context
    has all of its turns, also as ``context`` in jsonl and Parquet (there as JSON). Who wrote what of a response that
    several models wrote is in ``writers``.

    Args:
        store: the lab's database.
        name: name or hash of the dataset.
        form: one of ``FORMATS``.
        path: the file to write.

    Raises:
        NotFoundError: there is no such dataset.
        WrongKindError: it is not of the kind that the format is for.
        OSError: the file cannot be written.
    """
    exported = Exported()
    if form == "pairs":
        with path.open("wb") as file:
            for pair in pairs.rows(store.db, name):
                exported.rows += 1
                exported.changes.update({*changes_of(pair.chosen, "messages"), *changes_of(pair.rejected, "messages")})
                file.write(json_line(_pair(pair)))
        return exported
    rows = exported.counted(datasets.rows(store.db, datasets.get(store.db, name, kind="sft").name), form)
    if form == "parquet":
        _write_parquet(rows, path)
    else:
        _write_lines(rows, _LINES[form], path)
    return exported


def _write_lines(rows: Iterable[DatasetRow], shape: Callable[[DatasetRow], dict[str, Any]], path: Path) -> None:
    with path.open("wb") as file:
        file.writelines(json_line(shape(row)) for row in rows)


def json_line(data: Any) -> bytes:
    """Return ``data`` as one line of JSON in UTF-8; lone surrogates become escapes."""
    try:
        return (json.dumps(data, ensure_ascii=False) + "\n").encode()
    except UnicodeEncodeError:
        return (json.dumps(data) + "\n").encode()


def _write_parquet(rows: Iterator[DatasetRow], path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = {name: name for name in ("statement", "thought", "solution", "gold")} | _PROVENANCE
    types = {name: pa.int64() if name == "tokens" else pa.string() for name in (*names.values(), "context", "writers")}
    schema = pa.schema(list(types.items()))
    with pq.ParquetWriter(path, schema) as writer:
        for batch in batched(rows, _PARQUET_ROWS):
            columns = [[_utf8(getattr(row, field)) for row in batch] for field in names]
            columns.append([_utf8(json.dumps([*map(dict, row.context)])) if row.context else None for row in batch])
            columns.append([_utf8(json.dumps(_writers(row)["writers"])) if row.writers else None for row in batch])
            writer.write_batch(pa.record_batch(columns, schema=schema))


def _utf8(value: str | int | None) -> str | int | None:
    """Return a value with question marks for lone surrogates, which Parquet cannot store."""
    return scrubbed(value) if isinstance(value, str) else value
