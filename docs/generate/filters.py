"""The page of the filter language, from the fields of each list."""

from __future__ import annotations

import inspect

import store.filters
from docs.generate.markdown import block, code, prose, table
from store.filters.jobs import JOBS, RUNS
from store.filters.language import Field, Language
from store.filters.problems import PROBLEMS
from store.filters.samples import SAMPLES
from store.filters.traces import TRACES

_LISTS = {
    "Traces": (TRACES, "On the Traces screen, in `o1lab traces ls FILTER` and in every `--where`."),
    "Problems": (PROBLEMS, "On the Distill screen, in `o1lab problems ls FILTER` and in every `--problems`."),
    "Samples": (SAMPLES, "In the samples of an evaluation, on the Evaluate screen."),
    "Training runs": (RUNS, "On the Train screen and in `o1lab runs ls FILTER`."),
    "Teacher runs and evaluations": (JOBS, "In `o1lab distill ls FILTER` and `o1lab eval ls FILTER`."),
}


def page() -> str:
    """Return the page."""
    grammar = (inspect.getdoc(store.filters) or "").partition("::\n")[2]
    parts = [
        "# Filters",
        "A filter is a line of fields and words. The grammar is the same in all lists; `tab` completes names and "
        "values while you type.",
        block(inspect.cleandoc(grammar)),
        "In a shell, put a filter in single quotes.",
    ]
    for title, (language, where) in _LISTS.items():
        parts += [f"## {title}", where, *_language(language)]
    return "\n\n".join(parts)


def _language(language: Language) -> list[str]:
    rows = ((", ".join(map(code, (one.name, *one.aliases))), _values(one), prose(one.help)) for one in language.fields)
    parts = [
        table(("Field", "Values", "Meaning"), rows),
        prose(f"Words without a field are searched {language.searched}."),
    ]
    if language.sorts:
        names = ", ".join(code(name) for name in language.sorts)
        parts.append(f"Orders, for `sort:` and `sort:-`, the default first: {names}.")
    return parts


def _values(one: Field) -> str:
    if one.is_number:
        return f"a number: {code(f'{one.name}>=3')}, {code(f'{one.name}<10k')}"
    also = [f"{code(name)} for {', '.join(map(code, meant))}" for name, meant in one.synonyms.items()]
    return "; ".join(filter(None, (", ".join(map(code, one.values)) or "text", ", ".join(also))))
