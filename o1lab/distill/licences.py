"""What the licences of a dataset's rows come to together. Not legal advice: it says plainly what a person must decide.

Names are told by the words in them (NC, ND, SA, GPL, ...), so that no list of versions has to be complete.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from o1lab.text import one_line

UNKNOWN = "unknown"
_LONGEST = 80

_FREE = re.compile(
    r"^(?:mit|apache|bsd|isc|0bsd|cc0|cc-by-\d|cc-by$|unlicense|odc-by|pddl|public-domain|zlib|cdla-permissive|mpl|wtfpl)"
)
_COPYLEFT = re.compile(r"(?:^|-)(?P<family>agpl|lgpl|gpl|odbl|sa|cdla-sharing)(?:-|$)")
_NAMES = {
    "apache": "apache-2.0", "apache2": "apache-2.0", "apache-2": "apache-2.0", "apache-license-2.0": "apache-2.0",
    "apache-2.0-license": "apache-2.0", "mit-license": "mit", "the-mit-license": "mit", "cc0": "cc0-1.0",
    "cc-0": "cc0-1.0", "cc-by": "cc-by-4.0", "cc-by-sa": "cc-by-sa-4.0", "cc-by-nc": "cc-by-nc-4.0",
    "cc-by-nc-sa": "cc-by-nc-sa-4.0", "cc-by-nd": "cc-by-nd-4.0", "cc-by-nc-nd": "cc-by-nc-nd-4.0",
}  # fmt: skip
_NO_WORD = ("", "unknown", "none", "null", "n/a", "na", "other", "-", "?")
# As the Hugging Face hub writes licences; any other name is given in words beside `other`.
_HUB = re.compile(
    r"^(?:mit|apache-2\.0|bsd|bsd-[23]-clause|isc|unlicense|zlib|wtfpl|mpl-2\.0|(?:a|l)?gpl-[23]\.[01]|(?:a|l)?gpl|cc0-1\.0"
    r"|cc-by-(?:nc-)?(?:sa-|nd-)?[234]\.[05]|odc-by|odbl|pddl|cdla-permissive-[12]\.0|cdla-sharing-1\.0|openrail|llama[0-9.]*)$"
)


@dataclass(frozen=True, slots=True)
class Licence:
    """One licence as it was named, and what it asks for."""

    name: str
    key: str
    known: bool
    free: bool
    non_commercial: bool
    no_derivatives: bool
    copyleft: str

    @property
    def hub(self) -> str:
        """Its name in a dataset card's front matter."""
        if not self.known:
            return UNKNOWN
        return self.key if _HUB.match(self.key) else "other"


def read(name: str | None) -> Licence:
    """What ``name`` means. A name that says nothing is unknown; one we do not know asks for reading it."""
    shown = one_line(name or "", _LONGEST)
    key = re.sub(r"[\s_]+", "-", shown.lower())
    key = _NAMES.get(key, key)
    if key in _NO_WORD:
        return Licence(UNKNOWN, UNKNOWN, False, False, False, False, "")
    words = set(key.split("-"))
    non_commercial = "nc" in words or "noncommercial" in words or "non-commercial" in key
    no_derivatives = "nd" in words or "noderivatives" in words or "no-derivatives" in key
    found = _COPYLEFT.search(key)
    copyleft = "" if found is None else key if found["family"] == "sa" else found["family"]
    free = bool(_FREE.match(key)) and not (non_commercial or no_derivatives or copyleft)
    return Licence(shown, key, True, free, non_commercial, no_derivatives, copyleft)


def hub_names(rows: Mapping[str, int]) -> list[str]:
    """The licences of a front matter, each once, the most frequent first."""
    ordered = sorted(rows.items(), key=lambda item: -item[1])
    return list(dict.fromkeys(read(name).hub for name, _ in ordered))


def clashes(rows: Mapping[str, int]) -> list[str]:
    """What stands in the way of using rows of these licences together, a sentence each. ``rows``: rows of a licence.

    A row may count under two: its problem's and its response's.
    """
    found = [(read(name), number) for name, number in rows.items()]
    closed = [(one, number) for one, number in found if one.non_commercial]
    sentences = []
    if closed and len(closed) < sum(one.known for one, _ in found):
        others = _names(one for one, _ in found if one.known and not one.non_commercial)
        sentences.append(
            f"Licences clash: {_rows(closed)} for non-commercial use only, while {others} does not ask that. Taken "
            "together the rows may be used non-commercially only; leave those rows out for anything else."
        )
    elif closed:
        sentences.append(f"{_rows(closed)} for non-commercial use only.")
    shared = {one.copyleft: one for one, _ in found if one.copyleft}
    if shared and any(not one.copyleft for one, _ in closed):
        sentences.append(
            f"Licences clash: {_names(shared.values())} asks that what is made of it is shared under the same terms, "
            f"which {_names(one for one, _ in closed if not one.copyleft)} does not allow. No one work can keep both."
        )
    if len(shared) > 1:
        sentences.append(
            f"Licences clash: {_names(shared.values())} each ask to be the licence of the whole. No one work can keep "
            "them all unless one of them says that it is compatible with the others."
        )
    elif shared:
        sentences.append(f"What is made of these rows has to be shared under {_names(shared.values())}.")
    if fixed := [(one, number) for one, number in found if one.no_derivatives]:
        sentences.append(
            f"{_rows(fixed)} not to be shared in altered form; a rewritten, translated or shortened row is one."
        )
    if unread := [
        one for one, _ in found
        if one.known and not (one.free or one.non_commercial or one.no_derivatives or one.copyleft)
    ]:  # fmt: skip
        sentences.append(f"Not judged here, to be read by a person: {_names(unread)}.")
    if unknown := sum(number for one, number in found if not one.known):
        sentences.append(
            f"The licence of {unknown:,} rows is unknown: without one nobody may assume that they can be used."
        )
    return sentences


def _rows(licences: list[tuple[Licence, int]]) -> str:
    parts = [f"{number:,} rows are under {one.name}" for one, number in licences]
    return " and ".join(parts) + ","


def _names(licences: Iterable[Licence]) -> str:
    return " and ".join(dict.fromkeys(one.name for one in licences))
