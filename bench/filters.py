"""Precision and recall of the problem filters against labels they may not read.

- proof against ``kind`` of minif2f_informal and, file by file, against the answered rows of the others, none of which
  asks for a proof alone (bench/labels/mixed.jsonl lists those that ask for a value and its proof). The words of proof
  were chosen by reading the even rows of minif2f and false alarms in the other files. ``--putnam PATH`` adds a file of
  which no row was read: ``informal/putnam.json`` of trishullab/PutnamBench @3c9b926, where a problem without a solution
  in words is a proof, and ``--proofnet PATH`` another one, ``benchmark/test.jsonl`` of zhangir-azerbayev/ProofNet
  @509ad79, which has proofs only. They are not part of the shared data.
- not-numerical against ``answer_type`` of olympiadbench (Numerical or other).
- image against bench/labels/needs_image.jsonl (150 rows, labelled by reading before the rule was written) and against
  the ``[asy]`` mark in the MATH files.

Run: ``python -m bench.filters``.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.labels.draw import LABELS, drawn
from o1lab.distill.filters import Rule
from o1lab.distill.filters.pool import chosen_rules
from o1lab.ingest.formats import FileOrigin, read_row
from store.records import Problem

DATA = Path(os.environ.get("O1LAB_SHARED_DATA", Path(__file__).parents[2] / "shared" / "data"))
TARGET = 0.95
TARGET_WORDING = 0.9
"""For the wording of proofs alone, on files that were not read."""
MIXED = LABELS.with_name("mixed.jsonl")
ANSWERED = (
    "aime24", "amc23", "gsm8k_test", "gsm8k_train", "math500", "math_train_sample", "minerva_math", "olympiadbench",
)  # fmt: skip

Labelled = tuple[Problem, bool]


def rows(name: str) -> Iterator[tuple[Problem, dict[str, Any]]]:
    """The problems of a file as an import makes them, each with its row."""
    with (DATA / "maths" / f"{name}.jsonl").open(encoding="utf-8") as lines:
        for number, line in enumerate(lines):
            row = json.loads(line)
            made = read_row(row, FileOrigin(name), number).problem
            yield Problem(made.id, made.statement, made.answer, made.solution, None, name, None, str(number)), row


def statement(text: str) -> Problem:
    return Problem("", text, None, None, None, "", None, "")


def measure(what: str, names: Sequence[str], labelled: Iterable[Labelled], target: float = TARGET) -> bool:
    """Print one line of the table; returns whether the target is met."""
    looks = [rule for rule in chosen_rules(names) if isinstance(rule, Rule)]
    right = found = there = n = 0
    for problem, yes in labelled:
        said = any(rule.check(problem) is not None for rule in looks)
        n, there, found, right = n + 1, there + yes, found + said, right + (said and yes)
    precision, recall = right / found if found else 0.0, right / there if there else 0.0
    name = " or ".join(rule.name for rule in looks)
    print(f"{name:<30}{what:<58}{n:>5}{there:>6}{found:>6}{precision:>11.3f}{recall:>8.3f}")
    return min(precision, recall) >= target


def proofs() -> bool:
    """Print the table of the rule proof; returns whether its targets are met."""
    minif2f = [(problem, row["kind"] == "proof") for problem, row in rows("minif2f_informal")]
    met = [
        measure("minif2f kind = proof, all rows", ["proof"], minif2f),
        measure("  even rows (read)", ["proof"], minif2f[::2]),
        measure("  odd rows (not read)", ["proof"], minif2f[1::2]),
    ]
    measure("  by the wording alone: each row given an answer", ["proof"], with_answer(minif2f))
    if (path := option("--proofnet")) is not None:
        found = [(statement(json.loads(line)["nl_statement"]), True) for line in path.read_text("utf-8").splitlines()]
        met.append(measure("ProofNet (not read), proofs only: recall", ["proof"], found, TARGET_WORDING))
        met.append(measure("  by the wording alone", ["proof"], with_answer(found), TARGET_WORDING))
    if (path := option("--putnam")) is not None:
        putnam = [
            (statement(row["informal_statement"]), row["informal_solution"].strip().lower().startswith("none"))
            for row in json.loads(path.read_text("utf-8"))
        ]
        solved = [(problem if yes else replace(problem, answer="0"), yes) for problem, yes in putnam]
        met.append(measure("PutnamBench (not read), answers as they are", ["proof"], solved, TARGET_WORDING))
        wording = with_answer(putnam)
        met.append(measure("  by the wording alone: each row given an answer", ["proof"], wording, TARGET_WORDING))
    mixed = {(label["file"], label["row"]) for label in map(json.loads, MIXED.read_text("utf-8").splitlines())}
    (rule,) = (rule for rule in chosen_rules(["proof"]) if isinstance(rule, Rule))
    print(f"\n{'proof: rows that ask for a value':<42}{'n':>6}{'false alarms':>14}{'mixed':>7}{'of these kept':>15}")
    for name in ANSWERED:
        found = [(number, rule.check(replace(problem, answer="0"))) for number, (problem, _) in enumerate(rows(name))]
        alarms = sum(finding is not None for _, finding in found)
        of = [finding for number, finding in found if (name, number) in mixed]
        print(f"  {name:<40}{len(found):>6}{alarms:>14}{len(of):>7}{sum(finding is None for finding in of):>15}")
        met.append(alarms <= len(found) * (1 - TARGET))
    print()
    return all(met)


def option(name: str) -> Path | None:
    """Return the path after an option on the command line, or None."""
    return Path(sys.argv[sys.argv.index(name) + 1]) if name in sys.argv else None


def with_answer(labelled: Sequence[Labelled]) -> list[Labelled]:
    return [(replace(problem, answer="0"), yes) for problem, yes in labelled]


def main() -> int:
    print(f"{'rule':<30}{'labels':<58}{'n':>5}{'yes':>6}{'found':>6}{'precision':>11}{'recall':>8}")
    met = [proofs()]
    olympiad = list(rows("olympiadbench"))
    met.append(
        measure(
            "olympiadbench answer_type other than Numerical",
            ["not-numerical"],
            [(problem, row["answer_type"] != "Numerical") for problem, row in olympiad],
        )
    )
    measure(
        "  not one number: other than Numerical, or several answers",
        ["not-numerical", "several-parts"],
        [(problem, row["answer_type"] != "Numerical" or row["is_multiple_answer"]) for problem, row in olympiad],
    )
    texts = {(name, row): text for name, row, text in drawn(DATA / "maths")}
    labels = [json.loads(line) for line in LABELS.read_text("utf-8").splitlines()]
    met.append(
        measure(
            "150 rows of math_train_sample and math500, by hand",
            ["image"],
            [(statement(texts[label["file"], label["row"]]), label["needs_image"]) for label in labels],
        )
    )
    math = [problem for name in ("math_train_sample", "math500") for problem, _ in rows(name)]
    met.append(
        measure("[asy] in math_train_sample and math500", ["image"], [(p, "[asy]" in p.statement) for p in math])
    )
    wordless = [(statement(p.statement.split("[asy]")[0]), True) for p in math if "[asy]" in p.statement]
    measure("  those rows up to [asy]: by their words alone", ["image"], wordless)
    print(f"\nevery figure of a label {'meets' if all(met) else 'does NOT meet'} its target: {TARGET}, or "
          f"{TARGET_WORDING} for wordings of proofs that were not read")  # fmt: skip
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
