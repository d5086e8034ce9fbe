"""Multiple choice: finds the option that an answer chooses, by letter or by text."""

from __future__ import annotations

import re
from collections.abc import Mapping

from o1lab.chains.answers import How, extract_answer
from o1lab.evaluate.scorers.base import Attempt, Options, PlainScorer, Score, kept, no_gold, scorer
from o1lab.evaluate.scorers.match import contains, tokens

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_UNKNOWN = 10  # options A to J, for items that list none
_LETTER = r"(?<![A-Za-z])[A-Z](?![A-Za-z'’])"
_ALONE = re.compile(rf"[\s*_(（\[【\"'“]*(?P<letter>{_LETTER})[\s*_)）\]】\"'”.,:：。、．]*", re.IGNORECASE)
_LEADING = re.compile(
    rf"[\s*_]*(?:[(（\[【](?P<round>{_LETTER})[)）\]】]|(?P<plain>{_LETTER})(?=[*_]*[.):：、．）]))"
    rf"(?!\s*(?:or|and|either|/|,|或|和|、)\s*[(（\[【]?{_LETTER})"
)
_NAMED = re.compile(
    rf"(?:option|choice|choose|select|pick|选项|選項|选择|選擇|应选|应该选|选)\s*+(?:is|为|是)?+[\s:：*_(（\[]*+(?P<letter>(?-i:{_LETTER}))",
    re.IGNORECASE,
)
_STATED = re.compile(
    r"[\s*_(（\[]*(?P<letter>[B-Z]|A(?=[\s*_]*(?:$|[,，;；(（—–-]|because\b|since\b|as\b|因为)))(?![\w'’])"
)
_BRACKETED = re.compile(rf"[(（\[【](?P<letter>{_LETTER})[)）\]】]")
_DENIED = re.compile(
    r"(?:\bnot|n't|n’t|\brather than|\bother than|不是|不选|而非|并非)\s*[\w\s]{0,12}[*_(（\[【]*$", re.IGNORECASE
)
_BEFORE = 24


class ChoiceOptions(Options):
    """``choices``: the options of items that list none in ``meta["choices"]``."""

    choices: tuple[str, ...] = ()


@scorer("choice", version=2, options=ChoiceOptions, order=40)
class ChoiceScorer(PlainScorer[ChoiceOptions]):
    """Compares the chosen option with gold, a letter or a text. ``meta["choices"]`` lists the options of an item."""

    needs_gold = True
    votes = "always"

    def score_attempt(self, attempt: Attempt) -> Score:
        if (score := no_gold(attempt)) is not None:
            return score
        choices = choices_of(attempt.item.meta.get("choices") or self._options.choices)
        right = {letter for gold in attempt.item.gold if (letter := _gold(gold, choices)) is not None}
        if not right:
            return Score("unscored", reason="the gold answer is none of the options")
        chosen, how = chosen_of(attempt.answer, choices)
        if chosen is None:
            return Score("unextracted", reason=how)
        answer = f"{chosen}: {choices[chosen]}" if choices[chosen] else chosen
        return Score("correct" if chosen in right else "incorrect", answer=kept(answer), reason=how)


def choices_of(listed: object) -> dict[str, str]:
    """Return the options of an item, text by letter; the texts are empty if the item lists none."""
    if isinstance(listed, Mapping):
        return {str(letter).strip("()（） .").upper(): str(text) for letter, text in listed.items()}
    if isinstance(listed, list | tuple) and listed:
        return dict(zip(_LETTERS, map(str, listed), strict=False))
    return dict.fromkeys(_LETTERS[:_UNKNOWN], "")


def chosen_of(answer: str, choices: Mapping[str, str]) -> tuple[str | None, str]:
    """Find the option that an answer chooses.

    The order of precedence: a boxed or stated answer, an option at the beginning, an option it says it chooses, the
    only letter in brackets, the only option whose text it contains.

    Returns:
        The letter and how the answer expresses it, or None and the reason why no option was found.
    """
    found = extract_answer(answer)
    if found is not None and found.how is not How.LAST_NUMBER:
        letter = _read(found.text, choices)
        if letter is None and (stated := _STATED.match(found.text)) is not None and stated["letter"] in choices:
            letter = stated["letter"]
        if letter is not None:
            return letter, f"{found.how.value} answer"
    if (letter := _read(answer, choices)) is not None:
        return letter, "begins with the option"
    named = [at["letter"].upper() for at in _NAMED.finditer(answer) if not _denied(answer, at.start())]
    if named and named[-1] in choices:
        return named[-1], "says that it chooses the option"
    letters = {at["letter"] for at in _BRACKETED.finditer(answer) if not _denied(answer, at.start())} & choices.keys()
    if len(letters) == 1:
        return letters.pop(), "names this option only"
    if letters:
        return None, f"names several options: {', '.join(sorted(letters))}"
    given = tokens(answer)
    named_texts = {letter: option for letter, text in choices.items() if contains(given, option := tokens(text))}
    longest = [
        letter
        for letter, option in named_texts.items()
        if not any(option != other and contains(other, option) for other in named_texts.values())
    ]
    if len(longest) == 1:
        return longest.pop(), "says this option's text only"
    return None, f"says the texts of several options: {', '.join(sorted(longest))}" if longest else "names no option"


def _read(text: str, choices: Mapping[str, str]) -> str | None:
    """Return the option that ``text`` equals or begins with, or None."""
    alone, leading = _ALONE.fullmatch(text[:200]), _LEADING.match(text)
    for match, group in ((alone, "letter"), (leading, "round"), (leading, "plain")):
        if match is not None and match[group] and (letter := match[group].upper()) in choices:
            return letter
    given = tokens(text[:4000])
    fitting = [
        (len(wanted), letter)
        for letter, option in choices.items()
        if (wanted := tokens(option)) and given[: len(wanted)] == wanted
    ]
    longest = max((length for length, _ in fitting), default=0)
    best = [letter for length, letter in fitting if length == longest]
    return best[0] if len(best) == 1 else None


def _gold(gold: str, choices: Mapping[str, str]) -> str | None:
    """Return the letter of a gold answer, which is a letter or a text; None if no option fits."""
    letter = gold.strip().strip("()（）[]. ").upper()
    if letter in choices:
        return letter
    wanted = tokens(gold)
    return next((letter for letter, text in choices.items() if wanted and tokens(text) == wanted), None)


def _denied(text: str, at: int) -> bool:
    return _DENIED.search(text[max(0, at - _BEFORE) : at]) is not None
