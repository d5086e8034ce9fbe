"""A table in each of its forms: kept examples, nothing cut, and names that are not ours act on nothing.

``python -m tests.unit.evaluate.report.test_render`` writes the examples again; look at what changed.
"""

from __future__ import annotations

import csv
import io
import json
import re
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from o1lab.evaluate.report import render
from o1lab.evaluate.report.cells import Cell, Column, Section, Table, TableRow
from o1lab.evaluate.report.selection import choose
from o1lab.evaluate.report.tables import accuracy_table, change_table, plain_table
from store import open_store
from tests.support.tables_lab import evaluated

EXAMPLES = Path(__file__).parents[3] / "fixtures" / "tables"
SUFFIXES = {"terminal": "txt", "md": "md", "latex": "tex", "csv": "csv", "json": "json"}
HOSTILE = "a|b*c_d`e<script>&amp;\\$x_1$%#{}~^\x1b[31m\u202eevil\nline\x00--"


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Table]:
    return made(tmp_path_factory.mktemp("lab"))


def made(folder: Path) -> dict[str, Table]:
    """The three tables of a lab with a base and a student."""
    store = open_store(folder / "lab.db")
    put = [
        ("aime24", "mathematics", "math@1", "+" + "-" * 20 + "ccccc" + "xx" + "?!", "+" * 18 + "-" * 8 + "ccx!"),
        ("flames", "safety", "judge@1 (judge-safety@1 abc123, m)", "+" * 45 + "-" * 5, "+" * 30 + "-" * 19 + "c"),
        ("simpleqa", "factuality", "match@1", "+-" * 10, "+-" * 9 + "-+"),
    ]
    for number, (suite, family, scorer, before, after) in enumerate(put):
        evaluated(store, f"b{number}", suite, "SmolLM2-135M", before, role="base", family=family, scorer=scorer)
        evaluated(store, f"s{number}", suite, "7f3a/100", after, role="student", family=family, scorer=scorer)
    chosen = choose(store.db)
    return {"accuracy": accuracy_table(chosen), "general": change_table(chosen), "plain": plain_table(chosen)}


@pytest.mark.parametrize("form", render.FORMATS)
@pytest.mark.parametrize("name", ["accuracy", "general", "plain"])
def test_examples(tables: dict[str, Table], name: str, form: str) -> None:
    expected = (EXAMPLES / f"{name}.{SUFFIXES[form]}").read_text("utf-8")
    assert render.RENDERERS[form](tables[name]) == expected


@pytest.mark.parametrize("width", [40, 60, 80, 120, 200])
def test_in_the_terminal_nothing_is_cut_and_no_line_is_too_long(tables: dict[str, Table], width: int) -> None:
    for table in tables.values():
        lines = render.terminal(table, width).plain.split("\n")
        assert max(map(cell_len, lines)) <= width
        words = " ".join(lines)
        for column in table.columns:
            assert column.title in words
        flat = "".join(words.split())
        for note in table.notes:
            assert "".join(note.split()) in flat


def test_a_loss_and_a_gain_have_the_same_weight(tables: dict[str, Table]) -> None:
    text = render.terminal(tables["general"], 120)
    loud = [span for span in text.spans if str(span.style) in ("bold red", "bold green")]
    styles = {text.plain[span.start : span.end].split()[-1]: str(span.style) for span in loud}
    assert (styles["worse"], styles["better"]) == ("bold red", "bold green")
    tex = render.latex(tables["general"])
    assert r"\textbf{$\bigtriangledown$ $-$30.0 worse}" in tex
    assert r"\textbf{$\bigtriangleup$ +1.5 better}" in tex


def test_latex_is_a_booktabs_table_with_equal_columns(tables: dict[str, Table]) -> None:
    for table in tables.values():
        tex = render.latex(table)
        assert [tex.count(rf"\{rule}") for rule in ("toprule", "bottomrule")] == [1, 1]
        assert tex.count(r"\midrule") == len(table.sections)
        body = tex[tex.index(r"\toprule") : tex.index(r"\bottomrule")]
        for line in body.splitlines():
            if line.endswith(r"\\") and not line.startswith(r"\multicolumn"):
                assert len(re.findall(r"(?<!\\)&", line)) == len(table.columns)
        assert _balanced(tex)


def test_json_is_the_table(tables: dict[str, Table]) -> None:
    for table in tables.values():
        assert json.loads(render.as_json(table)) == json.loads(json.dumps(table.as_json()))


def hostile(name: str) -> Table:
    column = Column("value", "value", "percent")
    row = TableRow(name, {"value": Cell(1.0, note=name), "id": Cell(name)})
    columns = (column, Column("id", "evaluation", "text"))
    return Table("t", name, "model", columns, (Section(name, (row,)),), (name,))


@given(st.one_of(st.text(max_size=60), st.just(HOSTILE)))
def test_hostile_names_act_on_no_medium(name: str) -> None:
    table = hostile(name)
    for form, write in render.RENDERERS.items():
        text = write(table)
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", text) or form == "json"
        text.encode("utf-8")
    assert all(cell_len(line) <= 80 for line in render.terminal(table).plain.split("\n"))
    body = [line for line in render.markdown(table).splitlines() if line.startswith("| ")]
    assert [len(re.findall(r"(?<!\\)(?:\\\\)*\|", line)) for line in body] == [4] * 3
    assert not re.search(r"(?<!\\)(?:\\\\)*[<`*\[_]", render.markdown(table))
    tex = render.latex(table)
    assert _balanced(tex)
    rows = [line for line in tex.splitlines() if line.endswith(r" \\") and not line.startswith(r"\multicolumn")]
    assert [len(re.findall(r"(?<!\\)&", line)) for line in rows] == [2, 2]


@pytest.mark.parametrize(
    ("name", "tex"),
    [
        ("50% of $5 & #1_a", r"50\% of \$5 \& \#1\_a"),
        (r"\input{/etc/passwd}", r"\textbackslash{}input\{/etc/passwd\}"),
        ("a--b---c", "a-{}-b-{}-{}-c"),
        ("x^2~<y>|", r"x\textasciicircum{}2\textasciitilde{}\textless{}y\textgreater{}\textbar{}"),
        ("1 → 2", r"1 $\to$ 2"),
        ("[1cm] *", "{[}1cm] *"),
        ("*", "{*}"),
    ],
)
def test_latex_escapes(name: str, tex: str) -> None:
    assert f"\n{tex} & " in render.latex(hostile(name))


def test_csv_has_a_field_for_each_figure_and_no_formula() -> None:
    columns = (Column("x", "X", "rate"), Column("n", "N", "text"), Column("b", "B", "count"))
    rows = (
        TableRow("=1+1", {"x": Cell(0.123456, (-1.0, 1.0), digits=2), "n": Cell('say "a, b"'), "b": Cell((3, 4))}),
        TableRow(HOSTILE, {"n": Cell("@SUM(A1)"), "x": Cell(-2.5)}, published=True),
    )
    read = list(csv.reader(io.StringIO(render.as_csv(Table("t", "T", "model", columns, (Section("-s", rows),))))))
    assert read[0] == ["section", "model", "published", "x", "x_low", "x_high", "n", "b"]
    assert read[1] == ["'-s", "'=1+1", "false", "0.1235", "-1.0", "1.0", 'say "a, b"', "3 → 4"]
    assert read[2][3:] == ["-2.5", "", "", "'@SUM(A1)", ""] and read[2][2] == "true"
    assert len(read) == 3 and not set("\x1b\u202e\x00\n") & set(read[2][1])


@given(st.text(max_size=200), st.integers(2, 40))
def test_folding_loses_nothing(text: str, width: int) -> None:
    from o1lab.text import visible

    lines = render.fold(text, width)
    assert all(cell_len(line) <= width for line in lines)
    assert "".join("".join(lines).split()) == "".join(visible(text).split())


def _balanced(tex: str) -> bool:
    """Whether every brace that is not escaped has its partner."""
    depth = 0
    for found in re.finditer(r"\\.|[{}]", tex, re.DOTALL):
        depth += {"{": 1, "}": -1}.get(found[0], 0)
        if depth < 0:
            return False
    return depth == 0


if __name__ == "__main__":
    EXAMPLES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        for title, one in made(Path(folder)).items():
            for form, suffix in SUFFIXES.items():
                (EXAMPLES / f"{title}.{suffix}").write_text(render.RENDERERS[form](one), "utf-8")
