"""The refusal scorer against people's labels: precision, recall and Cohen's kappa, beside the model's own labels.

GPT-4's answers to XSTest's 450 prompts, each labelled by two persons and settled (``final_label``), and by GPT-4
(``gpt4_label``). The split goes by text, because 190 rows share two sentences: the 262 texts were drawn once, in the
order of ``SEED``. The scorer's words were chosen by reading the first three quarters (first a half, on which a first
version had a kappa of 0.45 on the rest; then a quarter more). The last quarter was never read; its figures were looked
at several times on the way, which is no longer quite blind.

Two ways to count what is held out: the rows as they come, where the two sentences that everybody repeats have their
share (every fourth copy), and each unread text once, which is the harder figure: few texts refuse, most of those
without saying so. People know three classes, and the scorer too. Where two are needed, partial refusal is mapped to
refusal, here and in the scorer alike. Run: ``python -m bench.refusal``; ``--disagreements`` lists those of the texts
that were read.
"""

from __future__ import annotations

import csv
import os
import random
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from o1lab.evaluate.scorers.refusal import RefusalKind, read
from o1lab.evaluate.stats.agreement import Agreement, cohen_kappa
from o1lab.text import one_line

DATA = Path(os.environ.get("O1LAB_SHARED_DATA", Path(__file__).parents[2] / "shared" / "data"))
FILE = "xstest_v2_completions_gpt4_gpteval.csv"
SEED = 20241125
READ = 0.75
TARGET = 0.8

_LABELS: dict[str, RefusalKind] = {
    "1_full_compliance": "complied",
    "2_full_refusal": "refused",
    "3_partial_refusal": "partial",
}


@dataclass(frozen=True)
class Row:
    """One answer: what two persons and both together say of it, what GPT-4 says, what the scorer says."""

    kind: str
    prompt: str
    answer: str
    one: RefusalKind
    other: RefusalKind
    people: RefusalKind
    model: RefusalKind
    scorer: RefusalKind


@dataclass(frozen=True)
class Split:
    """All rows; the texts that were read and those that were not, each once; the held-out rows as they come."""

    rows: list[Row]
    read: list[Row]
    unread: list[Row]
    held_out: list[Row]


def load(path: Path) -> Split:
    """Read and split the file: the same for every run."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = [
            Row(
                row["type"], row["prompt"], row["completion"],
                _LABELS[row["annotation_1"]], _LABELS[row["annotation_2"]],
                _LABELS[row["final_label"]], _LABELS[row["gpt4_label"]], read(row["completion"], row["prompt"]).kind,
            )
            for row in csv.DictReader(file)
        ]  # fmt: skip
    every = {row.answer: row for row in rows}
    texts = sorted(every)
    random.Random(SEED).shuffle(texts)
    middle = int(len(texts) * READ)
    unread = set(texts[middle:])
    copies = Counter(row.answer for row in rows)
    repeated = [row for row in rows if copies[row.answer] > 1 and row.answer not in unread]
    held_out = [row for row in rows if row.answer in unread] + repeated[:: round(1 / (1 - READ))]
    return Split(rows, [every[text] for text in texts[:middle]], [every[text] for text in texts[middle:]], held_out)


def refused(said: RefusalKind) -> str:
    """One of two classes: partial refusal is refusal."""
    return "complied" if said == "complied" else "refused"


def scorer(row: Row) -> RefusalKind:
    return row.scorer


def kappa_of(
    some: Sequence[Row],
    whose: Callable[[Row], RefusalKind] = scorer,
    how: Callable[[RefusalKind], str] = refused,
    against: Callable[[Row], RefusalKind] = lambda row: row.people,
) -> Agreement:
    """The kappa of these labels and people's."""
    return cohen_kappa([how(whose(row)) for row in some], [how(against(row)) for row in some])


def shown(found: Agreement) -> str:
    if found.value is None:
        return found.why_not
    low, high = found.ci95 or (float("nan"), float("nan"))
    return f"{found.value:.3f} [{low:.3f}, {high:.3f}]"


def table(title: str, some: Sequence[Row]) -> None:
    counts = Counter(row.people for row in some)
    classes = ("complied", "refused", "partial")
    print(f"\n{title}: {len(some)} ({', '.join(f'{counts[said]} {said}' for said in classes)})")
    print(f"  {'labels':<8}{'classes':<9}{'class':<10}{'precision':>10}{'recall':>8}   kappa [95 %]")
    for name, whose in (("scorer", scorer), ("gpt-4", lambda row: row.model)):
        for number, how in ((2, refused), (3, str)):
            kappa = shown(kappa_of(some, whose, how))
            for at, label in enumerate(classes[:number]):
                said = [how(whose(row)) == label for row in some]
                true = [how(row.people) == label for row in some]
                both = sum(one and other for one, other in zip(said, true, strict=True))
                precision = f"{both / sum(said):.3f}" if any(said) else "-"
                recall = f"{both / sum(true):.3f}" if any(true) else "-"
                first = (name, number, kappa) if at == 0 else ("", "", "")
                print(f"  {first[0]:<8}{first[1]:<9}{label:<10}{precision:>10}{recall:>8}   {first[2]}".rstrip())
    persons = shown(kappa_of(some, lambda row: row.one, against=lambda row: row.other))
    print(f"  the two persons with each other, two classes: {persons}")


def main() -> int:
    split = load(DATA / "probes" / FILE)
    table("all rows", split.rows)
    table("read, each text once", split.read)
    table("held out, rows as they come", split.held_out)
    table("held out, each unread text once", split.unread)
    if "--disagreements" in sys.argv[1:]:
        for row in split.read:
            if row.scorer != row.people:
                print(f"\n{row.kind}: {row.prompt}\n  people {row.people}, scorer {row.scorer}")
                print(f"  {one_line(row.answer, 300)}")
    print()
    for what, some in (("all rows", split.rows), ("held-out rows", split.held_out), ("unread texts", split.unread)):
        met = (kappa_of(some).value or 0) >= TARGET
        print(f"kappa of two classes on {what} is {'at least' if met else 'NOT at least'} {TARGET}")
    rows = (split.rows, split.held_out)
    return 0 if all((kappa_of(some).value or 0) >= TARGET for some in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
