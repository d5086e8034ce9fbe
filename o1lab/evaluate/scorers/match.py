"""Compares text with the gold answers: ``exact`` literally, ``match`` after normalisation."""

from __future__ import annotations

import re
import unicodedata
from typing import Literal

from o1lab.evaluate.scorers.base import Attempt, Options, Part, PlainScorer, Score, kept, no_gold, part_of, scorer
from o1lab.text import HAN, one_line

_TOKEN = re.compile(rf"(?<![\w.])-?\d+(?:\.\d+)?(?![^\W{HAN}_])|[{HAN}]|[^\W{HAN}_]+[+#]*")
_RAISED = re.compile("[\u00b2\u00b3\u00b9\u00bc-\u00be\u2070-\u209c\u2150-\u215f]+")
_ACCENTS = re.compile("[\u0300-\u036f]")
_APOSTROPHES = re.compile("(?<=\\w)['’ʼ`´](?=\\w)")
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_ARTICLES = frozenset({"a", "an", "the"})
_BETWEEN = "\x1f"


class ExactOptions(Options):
    """``part``: what is compared: the whole answer, its first or last line, or its boxed or stated final answer."""

    part: Part = "whole"


@scorer("exact", version=2, options=ExactOptions, order=20)
class ExactScorer(PlainScorer[ExactOptions]):
    """Compares literally, except for white space at the ends."""

    needs_gold = True
    votes = "final"

    def score_attempt(self, attempt: Attempt) -> Score:
        if (score := no_gold(attempt)) is not None:
            return score
        given = part_of(attempt, self._options.part)
        if not given:
            return Score("unextracted", reason="no answer was found")
        right = given in {gold.strip() for gold in attempt.item.gold}
        reason = "the same text" if right else "another text"
        return Score("correct" if right else "incorrect", answer=kept(given), reason=reason)


class MatchOptions(Options):
    """Options of the scorer ``match``.

    Attributes:
        mode: whether the answer must equal a gold answer or only contain it. Containment compares whole tokens (20 is
            not in 2020) and is generous: an answer that lists several candidates, or denies the right one, contains it.
        part: what is compared.
        longest: the maximum number of tokens of an answer that may count by containment; longer ones are incorrect.
    """

    mode: Literal["equal", "contains"] = "equal"
    part: Part = "whole"
    longest: int | None = None


@scorer("match", version=2, options=MatchOptions, order=30)
class MatchScorer(PlainScorer[MatchOptions]):
    """Compares tokens; see :func:`tokens` for the differences that do not count."""

    needs_gold = True
    votes = "final"

    def score_attempt(self, attempt: Attempt) -> Score:
        if (score := no_gold(attempt)) is not None:
            return score
        given = part_of(attempt, self._options.part)
        if not given:
            return Score("unextracted", reason="no answer was found")
        answer = tokens(given)
        for gold in attempt.item.gold:
            wanted = tokens(gold)
            if answer == wanted and (wanted or given == gold.strip()):
                return Score("correct", answer=kept(given), reason=f"the same as '{one_line(gold, 60)}'")
            if self._options.mode == "contains" and contains(answer, wanted):
                if self._options.longest is not None and len(answer) > self._options.longest:
                    reason = f"contains '{one_line(gold, 60)}', but is too long: {len(answer):,} tokens"
                    return Score("incorrect", answer=kept(given), reason=reason)
                return Score("correct", answer=kept(given), reason=f"contains '{one_line(gold, 60)}'")
        golds = len(attempt.item.gold)
        none = "not the gold answer" if golds == 1 else f"none of the {golds} gold answers"
        return Score("incorrect", answer=kept(given), reason=none)


def tokens(text: str) -> tuple[str, ...]:
    """Split ``text`` into tokens: words, numbers (with minus sign and decimals) and single Chinese characters.

    Case, accents, apostrophes, thousands separators, punctuation and articles are dropped; a text of articles only
    keeps them. Superscripts and subscripts are separate tokens: 10² is not 102. Traditional and simplified characters
    stay different, as do 20 and 20.0.
    """
    text = _RAISED.sub(lambda raised: f" {raised.group()}", text)
    text = _ACCENTS.sub("", unicodedata.normalize("NFKD", text)).replace("\u2212", "-").casefold()
    text = _THOUSANDS.sub("", _APOSTROPHES.sub("", unicodedata.normalize("NFC", text)))
    found = tuple(_TOKEN.findall(text))
    return tuple(token for token in found if token not in _ARTICLES) or found


def contains(given: tuple[str, ...], wanted: tuple[str, ...]) -> bool:
    """Whether ``given`` contains the tokens ``wanted`` consecutively. An empty ``wanted`` is never contained."""
    if not wanted:
        return False
    return f"{_BETWEEN}{_BETWEEN.join(wanted)}{_BETWEEN}" in f"{_BETWEEN}{_BETWEEN.join(given)}{_BETWEEN}"
