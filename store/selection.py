"""The FROM, WHERE and ORDER of a query, said so that SQLite answers quickly over 100,000 traces."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from store.query import TraceQuery, where
from store.search import match_expression


class Selection(NamedTuple):
    """``sql`` follows FROM and ends in a condition; ``seq`` is the trace's number in it, ``order`` what sorts it."""

    sql: str
    parameters: list[str | float]
    seq: str
    order: str

    def among(self, seqs: Sequence[int]) -> Selection:
        """The same, of these traces alone."""
        more: list[str | float]
        if self.seq == "t.seq":
            sql, more = "t.seq IN (SELECT value FROM json_each(?))", [json.dumps(seqs)]
        else:  # asked for one number after the other, a search would begin anew each time
            sql = "f.rowid BETWEEN ? AND ? AND +f.rowid IN (SELECT value FROM json_each(?))"
            more = [min(seqs, default=0), max(seqs, default=0), json.dumps(seqs)]
        return self._replace(sql=f"{self.sql} AND {sql}", parameters=[*self.parameters, *more])


def selection(query: TraceQuery, *, in_order: bool = False, only_seq: bool = False) -> Selection:
    """The traces of a query, ``in_order`` when they are wanted so; ``only_seq`` when nothing else of them is asked.

    A search drives: it gives its rows one by one, in the order they were added. Said as a condition, which the other
    orders need, all it finds is listed before the first row comes.
    """
    found = match_expression(query.text)
    if found is None or (in_order and query.sort != "added"):
        condition, parameters = where(query)
        return Selection(f"traces t WHERE {condition}", parameters, "t.seq", query.order)
    order = f"f.rowid {query.direction}"
    if only_seq and query.only_text:
        return Selection("traces_fts f WHERE f.traces_fts MATCH ?", [found], "f.rowid", order)
    condition, parameters = where(replace(query, text=""))
    joined = "traces_fts f CROSS JOIN traces t ON t.seq = f.rowid"
    return Selection(f"{joined} WHERE f.traces_fts MATCH ? AND {condition}", [found, *parameters], "f.rowid", order)
