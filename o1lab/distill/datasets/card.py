"""Dataset cards in Markdown, with a front matter for model hubs: sources, licences, models, filters, lengths.

A card states only what the lab has recorded, and names what is unknown.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from o1lab import __version__
from o1lab.chains.language import language_of
from o1lab.chains.trees.walk import rules_text
from o1lab.config import Config, load_config
from o1lab.distill.datasets import card_rows, length_histogram, licences, matched
from o1lab.distill.provenance import terms_of
from o1lab.distill.run_directory import RunFolder
from o1lab.errors import LabError
from o1lab.files import atomic_path, atomic_write
from o1lab.inference.prompts import Prompt, restore_prompts
from o1lab.ingest.exporting import export_dataset
from o1lab.markdown import fenced, inline, table
from o1lab.paths import Lab
from o1lab.text import one_line
from store import Store, dataset_facts, datasets, exclusions, policy, teacher_runs, trees
from store.errors import NotFoundError
from store.records import Dataset
from store.teacher_runs import TeacherRun

CONTAMINATED = "contaminated"
_SIZES = (
    (1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"), (10_000_000, "1M<n<10M"),
)  # fmt: skip
_METHODS = {
    "distilled": "a teacher's long thought and solution, unchanged",
    "reformatted": "a short reference solution, rewritten by a model in detailed steps",
    "translated": "a chain and its problem translated by a model; each row names its original as `parent_id`",
    "rescued": "a student's thought up to a move, which a teacher finished because the student's own answer was wrong",
    "multi-agent": "several models in turn: one thinks step by step, another criticises and may make it backtrack",
    "solver": "a program that writes down its search; not a language model",
    "human": "written by a person",
    "replay": "an answer of the base itself to a general prompt, unchanged, which keeps what the base could do",
    "tree search": "a path through a search tree, written as one thought",
    "unknown": "not recorded",
}
_SAMPLING = ("temperature", "top_p", "seed", "n", "max_tokens", "reasoning_effort")
_REASONS = 5  # number of reasons for rejected and failed samples, the most frequent first
_LANGUAGE_CHARS = 500  # characters of a question, and of its response, used to detect the language of a row
_LANGUAGE_ROWS = 2000  # approximate number of rows that are sampled to detect the languages of a large dataset


@dataclass(frozen=True)
class Written:
    """The result of an export: the number of rows, rows by what was changed in them, the data file and the card."""

    rows: int
    changes: dict[str, int]
    data: Path
    card: Path


@dataclass
class _RowFacts:
    """What one pass over the rows found."""

    languages: Counter[str] = field(default_factory=Counter)
    lengths: length_histogram.Lengths = field(default_factory=length_histogram.Lengths)
    in_turn: card_rows.InTurn = field(default_factory=card_rows.InTurn)


def export_with_card(lab: Lab, store: Store, name: str, form: str, out: Path, *, folder: bool = False) -> Written:
    """Write a dataset and its card. Both are built aside; only when both are complete, they are moved into place.

    Args:
        lab: the lab.
        store: its database.
        name: name or hash of the dataset.
        form: the format, see :data:`o1lab.ingest.exporting.FORMATS`.
        out: the data file, whose card is ``out``.card.md; or a folder, for data/train.* and README.md.
        folder: whether ``out`` is a folder, even if it does not exist yet.

    Raises:
        NotFoundError: there is no such dataset.
        LabError: a file cannot be written, or o1lab.toml cannot be read.
    """
    if folder or out.is_dir():
        inside = f"data/train.{'parquet' if form == 'parquet' else 'jsonl'}"
        data, place = out / inside, out / "README.md"
    else:
        inside, data, place = "", out, out.with_name(f"{out.name}.card.md")
    load_config(lab)  # report its errors before anything is written
    try:
        with atomic_write(place, errors="replace") as page, atomic_path(data) as new:
            exported = export_dataset(store, name, form, new)
            changes = dict(exported.changes.most_common())
            page.writelines(card(lab, store, name, data_file=inside))
            page.writelines(_changes(form, changes))
    except OSError as error:
        raise LabError(
            f"Cannot write to {place.parent}: {error.strerror}.", "Choose a folder you can write to."
        ) from error
    return Written(exported.rows, changes, data, place)


def card(lab: Lab, store: Store, name: str, *, data_file: str = "") -> Iterator[str]:
    """Yield the card of a dataset in pieces.

    Args:
        lab: the lab.
        store: its database.
        name: name or hash of the dataset.
        data_file: path of the data file relative to the card, for the hub's viewer.

    Raises:
        NotFoundError: there is no such dataset.
        LabError: o1lab.toml cannot be read.
    """
    dataset = datasets.get(store.db, name)
    config = load_config(lab)
    found = _row_facts(store, dataset)
    licensed = dataset_facts.licences(store.db, dataset.name)
    runs = [
        (teacher_runs.get(store.db, run_id), number)
        for run_id, number in dataset_facts.runs(store.db, dataset.name).items()
    ]
    yield _front(dataset, found, licensed, data_file)
    yield _intro(dataset, found)
    yield from _licences(licensed)
    yield from _sources(store, dataset)
    yield from _teachers(store, dataset, lab, config, runs)
    yield from _synthesis(store, dataset)
    yield from found.in_turn.section()
    yield from _runs(store, lab, runs)
    yield from _filters(store, dataset)
    yield from _contamination(store, dataset, config)
    yield from _verification(store, dataset)
    yield from _selection(store, dataset)
    yield from _lengths(found.lengths)
    yield card_rows.columns(dataset)


def _row_facts(store: Store, dataset: Dataset) -> _RowFacts:
    found = _RowFacts()
    one_in = -(-dataset.rows // _LANGUAGE_ROWS)
    for row in datasets.rows(store.db, dataset.name):
        if int(row.trace_id, 16) % one_in == 0:  # an id is a hash, so this is a reproducible random sample
            response = (row.thought or row.solution)[:_LANGUAGE_CHARS]
            found.languages[language_of(f"{row.statement[:_LANGUAGE_CHARS]}\n{response}")] += 1
        found.lengths.add(row.tokens, len(row.thought) + len(row.solution))
        found.in_turn.add(row)
    return found


def _front(dataset: Dataset, found: _RowFacts, licensed: Mapping[str, int], data_file: str) -> str:
    names = licences.hub_names(licensed)
    values: dict[str, Any] = {"license": names[0] if len(names) == 1 else names}
    if "other" in names:
        values["license_name"] = "see the card"
    if languages := [language for language, _ in found.languages.most_common() if language != "other"]:
        values["language"] = languages
    values |= {
        "pretty_name": one_line(dataset.name, 60),
        "size_categories": [next((text for limit, text in _SIZES if dataset.rows < limit), "n>10M")],
        "task_categories": ["text-generation"],
        "tags": ["reasoning", "long-chain-of-thought", "distillation", card_rows.tag(dataset), "o1lab"],
    }
    if data_file:
        files = [{"split": "train", "path": data_file}]
        values["configs"] = [{"config_name": "default", "data_files": files}]
    return f"---\n{yaml.safe_dump(values, sort_keys=False, allow_unicode=True)}---\n\n"


def _intro(dataset: Dataset, found: _RowFacts) -> str:
    tokens = "an unknown number of tokens" if dataset.tokens is None else f"{dataset.tokens:,} tokens"
    languages = ", ".join(f"{language} {number:,}" for language, number in found.languages.most_common())
    if (sampled := found.languages.total()) < dataset.rows:
        languages += f" (of a random sample of {sampled:,})"
    return (
        f"# {inline(dataset.name, 80)}\n\n"
        f"{dataset.rows:,} rows, {tokens}. {card_rows.teaches(dataset)}\n\n"
        + table(
            ("", ""),
            (
                ("hash of the content", dataset.hash),
                ("created at", dataset.created_at),
                ("rows by language", languages),
                ("card written by", f"o1lab {__version__}"),
            ),
        )
        + "\n"
    )


def _licences(licensed: Mapping[str, int]) -> Iterator[str]:
    yield "## Licences\n\n"
    sentences = licences.clashes(licensed)
    yield "".join(f"- **{inline(sentence, 2000)}**\n" for sentence in sentences) or "No clash was found.\n"
    yield "\nA row counts for the licence of its problem and for that of its response.\n\n"
    yield table(("licence", "rows"), licensed.items()) + "\n"


def _sources(store: Store, dataset: Dataset) -> Iterator[str]:
    yield "## Sources of the problems\n\n"
    yield table(("source", "licence", "rows"), dataset_facts.problem_sources(store.db, dataset.name)) + "\n"


def _teachers(
    store: Store, dataset: Dataset, lab: Lab, config: Config, runs: list[tuple[TeacherRun, int]]
) -> Iterator[str]:
    yield "## Who wrote the responses\n\n"
    yield table(("model", "how", "source", "licence", "rows"), dataset_facts.makers(store.db, dataset.name)) + "\n"
    if originals := dataset_facts.parents(store.db, dataset.name):
        yield "Rows made from another trace, by the model of that trace:\n\n"
        yield table(("model", "rows"), originals.items()) + "\n"
    yield "### Terms of use\n\n"
    yield from dict.fromkeys(line for run, _ in runs for line in terms_of(lab, config, run))
    if others := dataset_facts.without_run(store.db, dataset.name):
        yield (
            f"- {others:,} rows (or the traces they were made from) are not from a teacher run of this lab: the terms "
            "of use of those models, and whether their outputs may be used for training, are not recorded.\n"
        )
    yield "\n"


def _synthesis(store: Store, dataset: Dataset) -> Iterator[str]:
    yield "## How they were made\n\n"
    found = dataset_facts.counts(store.db, dataset.name, "synthesis")
    yield table(("method", "rows", "what it is"), ((kind, n, _METHODS.get(kind, "")) for kind, n in found.items()))
    yield "\n"
    if walks := trees.of_dataset(store.db, dataset.name):
        rows = (
            (one.searcher, rules_text(one.rules), one.written_by or "a plain sentence", one.trees, one.rows)
            for one in walks
        )
        yield "Walks through search trees, which the lab keeps:\n\n"
        yield table(("searched by", "rules", "reflections by", "trees", "rows"), rows) + "\n"


def _runs(store: Store, lab: Lab, runs: list[tuple[TeacherRun, int]]) -> Iterator[str]:
    yield "## Teacher runs: sampling and prompts\n\n"
    if not runs:
        yield "No row is from a teacher run of this lab: prompts and sampling are not recorded.\n\n"
        return
    heads = ("run", "method", "model", "prompts", *_SAMPLING, "began", "rows")
    yield table(heads, ((*_run(run), number) for run, number in runs)) + "\n"
    yield "Unknown values were left to the server. The outcomes of all samples of these runs:\n\n"
    ends = ("run", "ended", "correct", "incorrect", "unverifiable", "rejected", "failed", "why rejected or failed")
    yield table(ends, (_outcomes(store, run) for run, _ in runs)) + "\n"
    yield from _prompts(lab, runs)


def _prompts(lab: Lab, runs: list[tuple[TeacherRun, int]]) -> Iterator[str]:
    shown: set[str] = set()
    for run, _ in runs:
        try:
            prompts = restore_prompts(RunFolder(lab.root / run.dir).prompts)
        except LabError:
            yield f"The text of {inline(run.prompt)} of the run {inline(run.id)} is no longer in the lab.\n\n"
            continue
        for prompt in prompts.values():
            if prompt.hash not in shown:
                shown.add(prompt.hash)
                yield from _prompt(prompt)


def _run(run: TeacherRun) -> tuple[object, ...]:
    sampling = (None if run.settings.get(key) is None else str(run.settings[key]) for key in _SAMPLING)
    more = {"translate": f" into {run.settings.get('language')}", "debate": f", {run.settings.get('rounds')} rounds"}
    return (run.id, run.method + more.get(run.method, ""), run.model, run.prompt, *sampling, run.created_at)


def _outcomes(store: Store, run: TeacherRun) -> tuple[object, ...]:
    tally = teacher_runs.tally(store.db, run.id)
    why = list(teacher_runs.reasons(store.db, run.id).items())[:_REASONS]
    return (
        run.id, tally.done, tally.correct, tally.incorrect, tally.unverifiable, tally.rejected, tally.failed,
        ", ".join(f"{one_line(reason, 60)} {number:,}" for reason, number in why),
    )  # fmt: skip


def _prompt(prompt: Prompt) -> Iterator[str]:
    yield f"### Prompt {inline(prompt.label)}, hash {prompt.hash}\n\n"
    for role, text in prompt.sections:
        yield f"{role}:\n\n{fenced(text)}\n"


def _filters(store: Store, dataset: Dataset) -> Iterator[str]:
    yield "## Filters of the problems\n\n"
    if ran := exclusions.runs(store.db):
        from o1lab.distill.filters import RULES

        rules = RULES.all()
        yield "Over the whole pool of the lab, when each rule last ran:\n\n"
        rows = (
            (name, str(run.version), run.looked, run.excluded, run.ran_at, rules[name].about if name in rules else "")
            for name, run in ran.items()
        )
        yield table(("rule", "version", "checked", "excluded", "ran at", "excludes"), rows) + "\n"
    else:
        yield "No rule has been run over the pool of the lab.\n\n"
    if rulings := dataset_facts.rulings(store.db):
        yield "Rulings by hand, which take precedence over rules: " + _listed(rulings) + ".\n\n"
    if still := dataset_facts.excluded(store.db, dataset.name):
        yield f"**Rows whose problem is excluded from the pool today: {_listed(still)}.**\n\n"
    else:
        yield "No row's problem is excluded from the pool today.\n\n"


def _contamination(store: Store, dataset: Dataset, config: Config) -> Iterator[str]:
    yield "## Contamination\n\n"
    for source, rows in dataset_facts.of_sources(store.db, dataset.name, config.benchmarks).items():
        yield f"**{rows:,} rows are problems of {inline(source)}, on which this lab tests students.**\n\n"
    run = exclusions.runs(store.db).get(CONTAMINATED)
    if run is None:
        yield "**Not checked: the problems of this lab were not compared with any benchmark.**\n\n"
        return
    yield (
        f"Rule {CONTAMINATED}, version {run.version}, ran at {inline(run.ran_at)} against these benchmarks, as far as "
        f"they are in the lab: {inline(', '.join(config.benchmarks), 1000)}. Of {run.looked:,} problems, "
        f"{run.excluded:,} were too similar to a benchmark problem.\n\n"
    )
    if twins := dataset_facts.twins(store.db, CONTAMINATED):
        yield "Hits in the pool by benchmark:\n\n" + table(("benchmark", "problems"), twins.items()) + "\n"
    inside = dataset_facts.hits(store.db, dataset.name, CONTAMINATED)
    yield f"**{inside:,} rows of this dataset are hits.**\n\n" if inside else "No row of this dataset is a hit.\n\n"


def _verification(store: Store, dataset: Dataset) -> Iterator[str]:
    yield "## Verification\n\n"
    yield (
        "The final answer of each response was compared with the gold answer of its problem. The second table names "
        "the version of the verifier.\n\n"
    )
    for column, head, none in (
        ("verdict", "verdict", "not verified"),
        ("measured_by", "measured and verified by", "not measured"),
        ("decision", "decision by hand", "none"),
    ):
        found = dataset_facts.counts(store.db, dataset.name, column)
        yield table((head, "rows"), ((value or none, number) for value, number in found.items())) + "\n"
    yield f"{inline(policy.sentence(dataset.decided), 400)}\n\n" if dataset.decided else ""


def _selection(store: Store, dataset: Dataset) -> Iterator[str]:
    yield "## How the rows were selected\n\n"
    chosen = dataset.selection
    if parts := chosen.get("from"):
        yield "A mixture of these datasets of the lab"
        yield ", balanced" if chosen.get("balance") else ""
        yield ", in this order:\n\n" if chosen.get("seed") is None else f", shuffled by seed {chosen['seed']}:\n\n"
        yield table(("dataset", "hash", "rows"), ((part["name"], part["hash"], part["rows"]) for part in parts)) + "\n"
        yield f"{chosen.get('duplicates', 0):,} rows were in more than one of them and were taken once.\n\n"
    else:
        yield f"Filter, in the language of o1lab's Traces screen:\n\n{fenced(dataset.query or '(everything)')}\n"
    yield from card_rows.how_paired(dataset)
    yield from (f"{inline(sentence, 600)}\n\n" for sentence in matched.sentences(dataset))
    if "keep" in chosen:
        rules = ", ".join(chosen["rules"]) or "none"
        yield (
            f"Rejection sampling (version {chosen['version']}): verdicts: {chosen['keep']}, per problem: "
            f"{chosen['per_problem']}, rules: {rules}. {chosen['looked']:,} traces were considered.\n\n"
        )
    dropped = datasets.drop_counts(store.db, dataset.name)
    yield (table(("dropped because", "traces"), dropped.items()) if dropped else "No trace was dropped.\n") + "\n"
    for part in parts or ():
        with suppress(NotFoundError):
            yield from _part(store, str(part["name"]))


def _part(store: Store, name: str) -> Iterator[str]:
    """Yield how the rows of one part of a mixture were selected."""
    part = datasets.get(store.db, name)
    yield f"### {inline(part.name)}\n\n{fenced(part.query or '(everything)')}\n"
    if dropped := datasets.drop_counts(store.db, part.name):
        yield table(("dropped because", "traces"), dropped.items()) + "\n"


def _lengths(lengths: length_histogram.Lengths) -> Iterator[str]:
    yield "## Lengths\n\n"
    if lengths.tokens:
        yield "Tokens of a response, by the tokenizer of the model that wrote it"
        yield f"; unknown for {lengths.unknown:,} rows.\n\n" if lengths.unknown else ".\n\n"
        yield fenced(length_histogram.histogram(lengths.tokens)) + "\n"
    yield f"Characters of thought and solution.\n\n{fenced(length_histogram.histogram(lengths.characters))}\n"


def _changes(form: str, changes: Mapping[str, int]) -> Iterator[str]:
    yield f"\n## Changes\n\nWhat this file ({form}) leaves out or writes in another way than the lab has it.\n\n"
    yield table(("change", "rows"), changes.items()) if changes else "Nothing.\n"


def _listed(counted: Mapping[str, int]) -> str:
    return ", ".join(f"{inline(name)} {number:,}" for name, number in counted.items())
