"""Language consistency: whether models think and answer in the language of the prompt, for base and student."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from o1lab.chains.language import known_language, mixed_language
from o1lab.evaluate.report.cells import Cell, Column, Section, Table, TableRow
from o1lab.evaluate.report.selection import EvaluationResult
from o1lab.evaluate.stats.metrics import wilson_interval
from store import sample_list
from store.evaluations import Turn

LANGUAGES = {"en": "English", "zh": "Chinese", "other": "another"}
_ENDS = 4000  # characters at the beginning and at the end of a text that are read
_FEWEST = 2  # words of a prompt, such as those of "What is 3 + 4?"
_COLUMNS = (
    Column("prompt", "prompts in", "text"),
    Column("samples", "samples", "count"),
    Column("thoughts", "thoughts in it", "percent"),
    Column("rated_thoughts", "of thoughts", "count"),
    Column("answers", "answers in it", "percent"),
    Column("rated_answers", "of answers", "count"),
    Column("mixed", "thoughts mixed", "percent"),
)


@dataclass
class Consistency:
    """Samples of one model whose prompts are in one language.

    Attributes:
        languages: the languages of the thoughts and of the answers that have enough words.
        wordless: thoughts and answers with too few words to tell, by part; empty thoughts do not count.
        mixed: thoughts with enough words that mix languages.
    """

    samples: int = 0
    languages: dict[str, Counter[str]] = field(default_factory=lambda: {"thought": Counter(), "answer": Counter()})
    wordless: Counter[str] = field(default_factory=Counter)
    mixed: int = 0

    def add(self, turn: Turn) -> None:
        """Count the thought and the answer of a sample."""
        self.samples += 1
        for part, text in (("thought", ends_of(turn.thought)), ("answer", ends_of(turn.answer))):
            if (language := known_language(text)) is not None:
                self.languages[part][language] += 1
                self.mixed += part == "thought" and mixed_language(text)
            elif text.strip():
                self.wordless[part] += 1


def measure_language(one: EvaluationResult) -> tuple[dict[str, Consistency], int]:
    """Measure the samples of an evaluation. Reads all texts: call it in a thread.

    The language of a prompt is that of the item's question; if that has too few words, of all that the user says.

    Returns:
        The consistency by language of the prompt, and the number of samples whose prompt has too few words to tell.
    """
    questions = {name: known_language(row.question, _FEWEST) for name, row in one.items.items()}
    found: dict[str, Consistency] = {}
    unknown = 0
    for name, turns in sample_list.texts(one.db, one.evaluation.id):
        language = questions.get(name) or known_language("\n".join(turn.user for turn in turns), _FEWEST)
        if language is None or not turns:
            unknown += 1
        else:
            found.setdefault(language, Consistency()).add(turns[-1])
    return found, unknown


def language_table(chosen: Sequence[EvaluationResult]) -> Table:
    """Return a table with a row for each model and language of the prompts, one section for each set of items."""
    groups: dict[tuple[str, str], list[EvaluationResult]] = {}
    for one in chosen:
        groups.setdefault((one.evaluation.suite_label, one.evaluation.items_hash), []).append(one)
    sections, notes = [], []
    for (suite, items), members in groups.items():
        rows: list[TableRow] = []
        for one in members:
            found, unknown = measure_language(one)
            rows += [_row(one, language, found[language]) for language in LANGUAGES if language in found]
            notes += _left_out(one, found.values(), unknown)
        sections.append(Section(suite, _by_language(rows), suite, items))
    about = (
        "Language of most words, without mathematics and code, of the first and last "
        f"{_ENDS:,} characters. A thought is mixed if 5 % of its words, and at least five, are in another script.",
        "Intervals at 95 % are Wilson's; several samples of one item count as independent.",
    )
    return Table("language", "Language of thoughts and answers", "model", _COLUMNS, tuple(sections), (*about, *notes))


def ends_of(text: str) -> str:
    """Return the beginning and the end of a text, which are enough to tell its language."""
    return text if len(text) <= 2 * _ENDS else f"{text[:_ENDS]}\n{text[-_ENDS:]}"


def _by_language(rows: Iterable[TableRow]) -> tuple[TableRow, ...]:
    """Return the rows with all models of one prompt language together, so that they can be compared."""
    order = list(LANGUAGES.values())
    return tuple(sorted(rows, key=lambda row: order.index(str(row.cell(_COLUMNS[0]).value))))


def _row(one: EvaluationResult, language: str, found: Consistency) -> TableRow:
    ids = (one.evaluation.id,)
    cells = {
        "prompt": Cell(LANGUAGES[language]),
        "samples": Cell(found.samples, evaluations=ids),
        "mixed": _share(found.mixed, found.languages["thought"].total(), ids),
    }
    for part, languages in found.languages.items():
        cells[f"{part}s"] = _share(languages[language], languages.total(), ids)
        cells[f"rated_{part}s"] = Cell(languages.total(), evaluations=ids)
    return TableRow(f"{one.evaluation.model} ({one.evaluation.role})", cells)


def _share(hits: int, n: int, ids: tuple[str, ...]) -> Cell:
    if not n:
        return Cell(note="none")
    return Cell(100 * hits / n, wilson_interval(hits, n).percent, of=n, evaluations=ids)


def _left_out(one: EvaluationResult, found: Iterable[Consistency], unknown: int) -> list[str]:
    wordless: Counter[str] = Counter()
    for each in found:
        wordless += each.wordless
    parts = [f"prompts {unknown:,}"] if unknown else []
    parts += [f"{part}s {number:,}" for part, number in sorted(wordless.items())]
    return [f"Too few words to tell, in evaluation {one.evaluation.id}: {', '.join(parts)}."] if parts else []
