"""Rule ``image``: the problem needs an image. It has a drawing, links to an image, or refers to one.

References such as "shown below" or "the graph above" may also mean tables and displayed formulas, which are text; they
count only if the statement has neither. Every pattern takes linear time, and only the first LONGEST characters of a
statement are read.
"""

from __future__ import annotations

import re

from o1lab.distill.filters.rule import quoted, rule
from store.records import Problem

LONGEST = 100_000
_DRAWING = re.compile(
    r"\[asy\b|\[/asy\]|\\begin\{(?:asy|tikzpicture|pspicture|picture)\}|\\(?:draw|tikz)\b", re.IGNORECASE
)
_LINK = re.compile(
    r"!\[[^\]\n]{0,200}\]\([^)\n]{0,2000}\)|<img\b|<image\b|\[image\b|\\includegraphics\b|data:image/"
    r"|https?://[^\s)\"'>]{1,2000}\.(?:png|jpe?g|gif|svg|webp|bmp)\b|\[图\d{0,3}\]|<svg\b",
    re.IGNORECASE,
)

_PICTURE = r"(?:figures?|diagrams?|illustrations?|sketch(?:es)?|drawings?)"
_LOOSE = (
    r"(?:pictures?|photos?|photographs?|images?|graphs?|charts?|grids?|maps?|plots?|number\s+lines?|logos?|patterns?)"
)
_SHAPE = (
    r"(?:triangles?|squares?|rectangles?|circles?|semi-?circles?|quadrilaterals?|trapezoids?|trapeziums?|parallelograms?|"
    r"rhombus|pentagons?|hexagons?|octagons?|polygons?|polyhedr(?:on|a)|parabolas?|hyperbolas?|ellipses?|curves?|lines?|"
    r"segments?|angles?|arcs?|sectors?|regions?|cubes?|boxes|box|prisms?|pyramids?|cylinders?|cones?|spheres?|solids?|"
    r"shapes?|tiles?|tilings?|tessellations?|stars?|paths?|nets?|spinners?|dartboards?|boards?|clocks?|"
    r"configurations?|arrangements?|points?|plane|rays?|chords?|tangents?|blocks?|gardens?|fields?|tracks?|rooms?|walls?)"
)
_WHERE = r"(?:below|above|here|at\s+(?:the\s+)?(?:right|left)|(?:to|on)\s+the\s+(?:right|left))"
_SHOWN = r"(?:shown|pictured|illustrated|depicted|sketched|drawn|graphed|plotted|diagrammed)"
_NOW = r"(?=\s*(?:[.,:;?!)$]|\\\[|$|\n|(?:is|are|has|have|shows?|contains?|consists?|represents?|below|above|here)\b))"

# These refer to a picture, whatever else the statement contains.
_PLAIN = re.compile(
    rf"\b(?:in|on|from|see|to|consider|use|using|study|per|of)\s+(?:the|this|that|each|these|our)\s+"
    rf"(?:(?:adjacent|accompanying|adjoining|attached|following|given|left|right|first|second|above|below)\s+)?"
    rf"(?:figure|diagram|illustration)s?\b(?!\s+(?:is|are)\s+(?:rotated|reflected|translated))"
    rf"|\b{_PICTURE}\s+(?:(?:is|are)\s+)?(?:{_SHOWN}\s+)?{_WHERE}\b"
    rf"|\b{_PICTURE}\s+(?:(?:is|are)\s+)?{_SHOWN}\b{_NOW}"
    rf"|\b(?:fig\.|figure)\s*\d{{1,3}}\b"
    rf"|\b(?:accompanying|adjoining|attached)\s+(?:{_PICTURE}|{_LOOSE})"
    rf"|\b(?:diagram|figure|illustration)\s+(?:below|above|shows|illustrates|depicts)\b"
    rf"|\bthe\s+(?:un)?shaded\s+(?:region|area|part|portion|{_SHAPE})s?\b(?!\s+(?:is|are)\s+shaded)"
    rf"|\b(?:gr[ae]y|dotted|dashed)\s+(?:region|area)s?\b"
    rf"|如[下上左右]?图|[下上左右附]图(?![书像])|图中|见图|图所示|图\s*\d|阴影部分",
    re.IGNORECASE,
)
# These refer to something that may be text.
_POINTING = re.compile(
    rf"\b{_LOOSE}\s+(?:(?:is|are)\s+)?(?:{_SHOWN}|given)(?:\s+{_WHERE})?\b{_NOW}"
    rf"|\b{_LOOSE}\s+(?:{_WHERE})\b{_NOW}"
    rf"|\b(?:graph|curve|parabola|function|line|ellipse|hyperbola|portion)\b[^.?!\n]{{1,120}}?\b"
    rf"(?:is|are)\s+(?:{_SHOWN}|given\s+below|given\s+above){_NOW}"
    rf"|\b(?:below|here|above)\s+(?:is|are)\s+(?:the|a|an|part\s+of\s+the|a\s+portion\s+of\s+the)\s+"
    rf"(?:{_PICTURE}|{_LOOSE})\b"
    rf"|\b{_SHOWN}\s+{_WHERE}\b"
    rf"|\b{_SHOWN}\s+(?:in|on)\s+the\s+(?:{_PICTURE}|{_LOOSE})\b"
    rf"|\b(?:labell?ed|marked|numbered|colou?red|arranged|placed|positioned)\s+as\s+(?:shown|pictured|illustrated)\b"
    rf"|\b(?:like\s+the\s+one|like\s+the\s+ones)\s+{_WHERE}\b",
    re.IGNORECASE,
)
# These refer to a picture only if the statement mentions shapes.
_AS_SHOWN = re.compile(
    rf"\bas\s+(?:is\s+|are\s+)?(?:shown|pictured|illustrated|depicted|sketched)\b{_NOW}"
    rf"|\b{_SHAPE}\s+(?:(?:is|are)\s+)?(?:shown|pictured|illustrated|depicted)\b{_NOW}",
    re.IGNORECASE,
)
_SHAPES = re.compile(rf"\b{_SHAPE}\b", re.IGNORECASE)
_TEXTUAL = re.compile(
    r"\\begin\{(?:tabularx?|array|[pbvBV]?matrix|smallmatrix|align\*?|aligned|gather\*?|cases|verbatim|tabbing)\}"
    r"|\|\s{0,20}:?-{2,}|\\\[|\$\$|<t[dr]\b|(?:(?<!\d)-?\d{1,6}[ \t\n,;&|]{1,6}){8}",
    re.IGNORECASE,
)


# Every match of the patterns above contains one of these words. Searching for words is much cheaper.
_WORDS_OF_PLAIN = (
    "figure", "fig.", "diagram", "illustrat", "sketch", "drawing", "accompanying", "adjoining", "attached", "shaded",
    "grey", "gray", "dotted", "dashed", "图", "阴影",
)  # fmt: skip
_WORDS_OF_POINTING = (
    "shown", "pictured", "illustrated", "depicted", "sketched", "drawn", "graphed", "plotted", "diagrammed", "given",
    "below", "above", "here", " right", " left",
)  # fmt: skip


@rule("image", version=1, order=10, about="needs an image: it has a drawing, links to an image, or refers to one")
def needs_image(problem: Problem) -> str | None:
    """Return why the statement needs an image, or None."""
    text = problem.statement[:LONGEST]
    lower = text.lower()
    if found := _DRAWING.search(text):
        return f"has a drawing: {quoted(found[0])}"
    if found := _LINK.search(text):
        return f"links to an image: {quoted(found[0])}"
    if any(word in lower for word in _WORDS_OF_PLAIN) and (found := _PLAIN.search(text)):
        return f"refers to an image: {quoted(found[0])}"
    if not any(word in lower for word in _WORDS_OF_POINTING) or _TEXTUAL.search(text):
        return None
    if (found := _AS_SHOWN.search(text)) and _SHAPES.search(text):
        return f"refers to an image: {quoted(found[0])}"
    if found := _POINTING.search(text):
        return f"refers to something that is not in the text: {quoted(found[0])}"
    return None
