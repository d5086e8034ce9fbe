"""The SQL of annotations that several modules share: which records count, and the present name of a label.

In each piece, ``a`` is the alias of the table of annotations.
"""

_UNDONE = (
    "SELECT 1 FROM annotations u WHERE u.kind = 'undo' AND u.target IN ({0}.id, {0}.batch) "
    # Only its annotator can undo a record. With the plus, SQLite searches the index of targets, not that of annotators.
    "AND +u.annotator = {0}.annotator"
)


def alive(alias: str) -> str:
    """Return the condition that a record is neither an undo nor undone."""
    return f"{alias}.kind != 'undo' AND NOT EXISTS ({_UNDONE.format(alias)})"


ALIVE = alive("a")
PRESENT_LABEL = "coalesce((SELECT n.name FROM label_names n WHERE n.earlier = a.value), a.value)"
"""The label of a record of the kind ``span`` under its present name."""
VALUE = f"CASE a.kind WHEN 'span' THEN {PRESENT_LABEL} ELSE a.value END"
"""The value of a record."""


def traces_with(kind: str, condition: str = "1") -> str:
    """Return the SELECT of the ids of the traces that have a record of a kind which meets a condition."""
    return f"SELECT a.trace_id FROM annotations a WHERE a.kind = '{kind}' AND {condition} AND {ALIVE}"
