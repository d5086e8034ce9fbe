"""The filter language of the lists of traces, problems, samples and jobs.

``language`` reads, completes, explains and checks a filter; ``traces``, ``problems``, ``samples`` and ``jobs`` declare
the fields of their lists. The grammar is the same everywhere::

    verdict:wrong           a field and its value; verdict=wrong is the same
    verdict:wrong,none      any of several values
    tag:"two words"         quotes keep spaces and commas
    reflect>=3 chars<10k    numbers are compared with : = > >= < <=
    -source:amc             a minus excludes
    sort:-chars             the order; a minus in front reverses it
    saved:hard              the filter that was saved under this name
    wait "so wait" -hmm     everything else is text: words, a phrase, a word that must not occur
"""

from store.filters.jobs import JobQuery, RunQuery
from store.filters.language import Condition, Language, Query
from store.filters.problems import ProblemQuery
from store.filters.samples import SampleQuery
from store.filters.traces import TraceQuery

__all__ = ["Condition", "JobQuery", "Language", "ProblemQuery", "Query", "RunQuery", "SampleQuery", "TraceQuery"]
