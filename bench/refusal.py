"""The refusal scorer against people's labels: Cohen's kappa for each model left out in turn.

The answers of GPT-4, Llama 2 (with its original system prompt) and Mistral (with its guard prompt) to the 450 prompts
of XSTest, each labelled by two persons and settled (``final_label``), and by GPT-4. Two classes: partial refusal is
refusal. For each model the classifier is trained on the two others. Its groups of n-grams, its regularisation and its
threshold are chosen by leaving one of these two out in turn, never with the left-out model. "New prompts" trains on
other prompts too. Figures are by row and by text (190 answers of GPT-4 are two sentences).

What is not blind: the rules were chosen on GPT-4's answers, and the themes of the words file were written after reading
answers of all three models. The shipped weights are trained on all three, so their own figures are not a test.

    python -m bench.refusal                     left-out figures; needs scikit-learn
    python -m bench.refusal --write             the same, and trains the shipped weights on all three models
    python -m bench.refusal --disagreements     lists answers on which the shipped scorer and people differ
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence

from bench.refusal_training import DATA, MODELS, Config, Row, Training, kappa, kappa_at, load, unique
from o1lab.evaluate.scorers.refusal import read, weights_path
from o1lab.evaluate.stats.agreement import Agreement, cohen_kappa
from o1lab.text import one_line

TARGET = 0.8


def shown(found: Agreement) -> str:
    if found.value is None:
        return found.why_not
    low, high = found.ci95 or (float("nan"), float("nan"))
    return f"{found.value:.3f} [{low:.3f}, {high:.3f}]"


def line(what: str, rows: Sequence[Row], predicted: Sequence[bool]) -> bool:
    """Print kappa by row and by text; returns whether both meet the target."""
    by_row, by_text = kappa(rows, predicted), kappa(rows, predicted, unique(rows))
    print(f"  {what:<50}{shown(by_row):<24}{shown(by_text)}")
    return min(by_row.value or 0, by_text.value or 0) >= TARGET


def plain_lines(rows: Sequence[Row]) -> None:
    """Print the figures of the rules, of GPT-4 as a judge and of the two persons."""
    line("rules alone", rows, [row.rules != "complied" for row in rows])
    line("GPT-4's labels", rows, [row.gpt4 != "complied" for row in rows])
    persons = cohen_kappa([row.one != "complied" for row in rows], [row.other != "complied" for row in rows])
    print(f"  {'the two persons':<50}{shown(persons)}")


def title(model: str, rows: Sequence[Row]) -> None:
    counts = Counter(row.people for row in rows)
    classes = ", ".join(f"{counts[kind]} {kind}" for kind in ("complied", "refused", "partial"))
    print(f"\n{model}: {len(rows)} rows, {len(unique(rows))} texts ({classes})")
    print(f"  {'kappa [95 %]':<50}{'by row':<24}by text")


def named(config: Config) -> str:
    return f"{', '.join(config.groups) or 'no n-grams'}, C={config.c:g}, {config.threshold:g}"


def main() -> int:
    rows = load(DATA / "probes")
    if "--disagreements" in sys.argv:
        for row in rows:
            reading = read(row.answer, row.prompt)
            if (reading.kind == "complied") != (row.people == "complied"):
                print(f"\n{row.model}: {row.prompt}\n  people {row.people}, scorer {reading.kind} ({reading.by})")
                print(f"  {one_line(row.answer, 300)}")
        return 0
    training = Training(rows)
    met = []
    for model in MODELS:
        own, others = [row for row in rows if row.model == model], [one for one in MODELS if one != model]
        title(model, own)
        config = training.choose(others)
        met.append(line(f"left out ({named(config)})", own, training.left_out(config, model, others)))
        rare = kappa_at(0.2, own, training.left_out(config, model, others))
        print(f"  {'  if one answer in five refused':<50}{'':<24}{rare:.3f}")
        line("  new prompts too", own, training.left_out(config, model, others, new_prompts=True))
        plain_lines(own)
    if "--write" in sys.argv:
        config = training.choose(MODELS)
        training.write(config, weights_path())
        size = weights_path().stat().st_size
        print(f"\n{weights_path()}: {named(config)}, {size:,} bytes. Left out with this choice:")
        for model in MODELS:
            own, others = [row for row in rows if row.model == model], [one for one in MODELS if one != model]
            line(model, own, training.left_out(config, model, others))
        print("Trained on these rows, so no test:")
        for model in MODELS:
            own = [row for row in rows if row.model == model]
            line(model, own, [read(row.answer, row.prompt).kind != "complied" for row in own])
    print(
        f"\nkappa on each model left out, by row and by text, is {'at least' if all(met) else 'NOT at least'} {TARGET}"
    )
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
