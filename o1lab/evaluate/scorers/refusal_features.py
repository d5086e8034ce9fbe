"""The features by which the classifier of the scorer ``refusal`` reads an answer in English.

Dense features are what the rules find, themes of the answer (``assets/words/refusal.yaml``), its length and how much of
the question it repeats. Hashed features are n-grams of words and characters, where words of the question are replaced
by one mark: what is asked must not decide, only how it is answered. ``bench/refusal.py`` trains with this module, so
training and inference cannot differ.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

from o1lab.evaluate.scorers.refusal_rules import ITEM, READ, SENTENCE, STRAIGHT, RefusalKind, pattern
from o1lab.wordlists import word_list

FEATURES_VERSION = 1
"""Raised with every change of the features; weights of another version are not used."""
BUCKETS = 1 << 13
"""Number of buckets of each group of hashed features."""

Group = Literal["opening", "answer", "characters"]
GROUPS: tuple[Group, ...] = ("opening", "answer", "characters")
"""``opening``: 1 to 3 words of the first two sentences; ``answer``: single words of the whole answer; ``characters``: 3
to 5 characters of the first sentence."""

_SENTENCES = 40
_OPENING_WORDS = 60
_OPENING_CHARACTERS = 160
_LENGTHS = (150, 300, 500, 900, 1500)
_TOKEN = re.compile(r"[a-z']+|\d+|[.!?:;]")
_ASKED = "Q"  # stands for words of the question
_ENDINGS = ("ing", "ed", "es", "s", "ly", "e")
_KINDS = ("refused", "partial", "complied")
_PHRASES = ("refusing", "not_knowing", "objecting", "norm", "no_opinion", "offers", "not_allowed")
_QUESTION_STARTS = ("asks_facts", "asks_how")


@dataclass(frozen=True, slots=True)
class Features:
    """The features of one answer.

    Attributes:
        dense: one value for each name in :func:`dense_names`.
        hashed: (bucket, value) of each n-gram, by group.
    """

    dense: list[float]
    hashed: dict[Group, list[tuple[int, float]]]


@cache
def dense_names() -> tuple[str, ...]:
    """Return the names of the dense features, in order."""
    return tuple(_dense("", [], [], question="", asked=frozenset(), rules="complied"))


def features(answer: str, question: str, rules: RefusalKind, groups: Collection[Group] = GROUPS) -> Features:
    """Return the features of an answer (without its thought) to a question. Takes linear time.

    Args:
        answer: the answer.
        question: what was asked; without it, words of the question are not recognised.
        rules: what the rules say of the answer.
        groups: the groups of hashed features to compute.
    """
    text = answer.translate(STRAIGHT).strip()[:READ]
    sentences = [sentence.strip() for sentence in SENTENCE.split(text) if sentence.strip()][:_SENTENCES]
    asked = frozenset(_stem(word) for word in _tokens(question[:READ]) if word not in _function_words())
    tokens = [_tokens(sentence) for sentence in sentences]
    masked = [_masked(words, asked) for words in tokens]
    opening = ["^", *(word for words in masked[:2] for word in words)][: _OPENING_WORDS + 1]
    start = " ".join(masked[0] if masked else ())[:_OPENING_CHARACTERS]
    grams: dict[Group, set[str]] = {
        "opening": {" ".join(opening[at : at + n]) for n in (1, 2, 3) for at in range(len(opening) - n + 1)},
        "answer": {word for words in masked for word in words},
    }
    if "characters" in groups:
        grams["characters"] = {start[at : at + n] for n in (3, 4, 5) for at in range(len(start) - n + 1)}
    return Features(
        list(_dense(text, sentences, tokens, question=question, asked=asked, rules=rules).values()),
        {group: _hashed(found) for group, found in grams.items() if group in groups},
    )


def _dense(
    text: str,
    sentences: Sequence[str],
    tokens: Sequence[Sequence[str]],
    *,
    question: str,
    asked: frozenset[str],
    rules: RefusalKind,
) -> dict[str, float]:
    found = {f"rules:{one}": float(rules == one) for one in _KINDS}
    for key in _PHRASES:
        hits = [pattern(key).search(sentence) is not None for sentence in sentences[:8]]
        found |= {f"{key}:first": float(any(hits[:1])), f"{key}:opening": float(any(hits[:3]))}
        found[f"{key}:count"] = min(sum(hits), 4) / 4
    defended = [theme.search(text) is not None for theme in word_list("refusal").patterns("defending")]
    found |= {f"defending:{at}": float(hit) for at, hit in enumerate(defended)}
    found["defending:count"] = sum(defended) / 5
    for at, theme in enumerate(word_list("refusal").patterns("themes")):
        hits = [theme.search(sentence) is not None for sentence in sentences]
        found |= {f"theme{at}:first": float(any(hits[:1])), f"theme{at}:opening": float(any(hits[:3]))}
        found |= {f"theme{at}:last": any(hits[-1:]) / 2, f"theme{at}:share": _share(hits)}
    items = len(ITEM.findall(text))
    found |= {"list": float(items > 1), "long list": float(items > 4), "question": float(text.endswith("?"))}
    found |= {"length": len(text) / READ, **{f"longer:{least}": float(len(text) > least) for least in _LENGTHS}}
    about = [any(_stem(word) in asked for word in words) for words in tokens]
    found |= {"takes up:first": float(any(about[:1])), "takes up:share": _share(about)}
    found |= {key: float(pattern(key).match(question) is not None) for key in _QUESTION_STARTS}
    return found | {"asks_judgement": float(pattern("asks_judgement").search(question[:READ]) is not None)}


def _function_words() -> frozenset[str]:
    return word_list("refusal").words("function_words")


def _share(hits: Sequence[bool]) -> float:
    return sum(hits) / len(hits) if hits else 0.0


def _tokens(text: str) -> list[str]:
    return _TOKEN.findall(text.lower())


def _stem(word: str) -> str:
    for ending in _ENDINGS:
        if len(word) > 4 and word.endswith(ending):
            return word[: -len(ending)]
    return word


def _masked(words: Iterable[str], asked: frozenset[str]) -> list[str]:
    """Return the words with those of the question replaced; several in a row become one mark."""
    masked: list[str] = []
    for word in words:
        if word not in _function_words() and _stem(word) in asked:
            if masked[-1:] != [_ASKED]:
                masked.append(_ASKED)
        else:
            masked.append(word)
    return masked


def _hashed(grams: Iterable[str]) -> list[tuple[int, float]]:
    """Return the bucket of each n-gram; the values of a group have the Euclidean norm 1."""
    buckets = [zlib.crc32(gram.encode("utf-8", "surrogatepass")) % BUCKETS for gram in sorted(grams)]
    return [(bucket, len(buckets) ** -0.5) for bucket in buckets]
