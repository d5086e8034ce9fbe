"""Check whether the licences of a dataset's rows are compatible. Not legal advice: open questions are named as such.

Licences are recognised by the words in their names (NC, ND, SA, GPL, ...), so no list of versions is needed.
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
# Licence identifiers of the Hugging Face hub; any other licence is `other` with a name.
_HUB = re.compile(
    r"^(?:mit|apache-2\.0|bsd|bsd-[23]-clause|isc|unlicense|zlib|wtfpl|mpl-2\.0|(?:a|l)?gpl-[23]\.[01]|(?:a|l)?gpl|cc0-1\.0"
    r"|cc-by-(?:nc-)?(?:sa-|nd-)?[234]\.[05]|odc-by|odbl|pddl|cdla-permissive-[12]\.0|cdla-sharing-1\.0|openrail|llama[0-9.]*)$"
)


@dataclass(frozen=True, slots=True)
class Licence:
    """A licence and its conditions.

    Attributes:
        name: the name as given.
        key: the normalised name.
        known: whether a licence is named at all.
        free: whether it is a known permissive licence.
        non_commercial: whether it forbids commercial use.
        no_derivatives: whether it forbids altered versions.
        copyleft: the licence family that derived works must be under, or an empty string.
    """

    name: str
    key: str
    known: bool
    free: bool
    non_commercial: bool
    no_derivatives: bool
    copyleft: str

    @property
    def hub(self) -> str:
        """Its identifier in the front matter of a dataset card."""
        if not self.known:
            return UNKNOWN
        return self.key if _HUB.match(self.key) else "other"


def read(name: str | None) -> Licence:
    """Parse a licence name. Placeholders such as "other" give an unknown licence."""
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
    """Return the licence identifiers for a front matter without duplicates, the most frequent first."""
    ordered = sorted(rows.items(), key=lambda item: -item[1])
    return list(dict.fromkeys(read(name).hub for name, _ in ordered))


def clashes(rows: Mapping[str, int]) -> list[str]:
    """Return the obstacles to using rows of these licences together, as sentences.

    Args:
        rows: number of rows by licence. A row may count twice: for its problem and for its response.
    """
    found = [(read(name), number) for name, number in rows.items()]
    closed = [(one, number) for one, number in found if one.non_commercial]
    sentences = []
    if closed and len(closed) < sum(one.known for one, _ in found):
        others = _names(one for one, _ in found if one.known and not one.non_commercial)
        sentences.append(
            f"Licences clash: {_rows(closed)} for non-commercial use only, while {others} does not require that. "
            "Together the rows may only be used non-commercially; leave those rows out for other uses."
        )
    elif closed:
        sentences.append(f"{_rows(closed)} for non-commercial use only.")
    shared = {one.copyleft: one for one, _ in found if one.copyleft}
    if shared and any(not one.copyleft for one, _ in closed):
        sentences.append(
            f"Licences clash: {_names(shared.values())} requires that derived works are shared under the same terms, "
            f"which {_names(one for one, _ in closed if not one.copyleft)} forbids. One work cannot satisfy both."
        )
    if len(shared) > 1:
        sentences.append(
            f"Licences clash: {_names(shared.values())} each require to be the licence of the whole. One work cannot "
            "satisfy them all unless one of them is declared compatible with the others."
        )
    elif shared:
        sentences.append(f"Works derived from these rows must be shared under {_names(shared.values())}.")
    if fixed := [(one, number) for one, number in found if one.no_derivatives]:
        sentences.append(
            f"{_rows(fixed)} which forbids sharing altered versions, such as rewritten, translated or shortened rows."
        )
    if unread := [
        one for one, _ in found
        if one.known and not (one.free or one.non_commercial or one.no_derivatives or one.copyleft)
    ]:  # fmt: skip
        sentences.append(f"Not judged automatically; read these licences: {_names(unread)}.")
    if unknown := sum(number for one, number in found if not one.known):
        sentences.append(f"The licence of {unknown:,} rows is unknown: do not assume that they may be used.")
    return sentences


def _rows(licences: list[tuple[Licence, int]]) -> str:
    parts = [f"{number:,} rows are under {one.name}" for one, number in licences]
    return " and ".join(parts) + ","


def _names(licences: Iterable[Licence]) -> str:
    return " and ".join(dict.fromkeys(one.name for one in licences))
