"""What LaTeX commands and characters are in Unicode. The bulk comes from pylatexenc; here is what it lacks."""

from __future__ import annotations

import re
import unicodedata
from functools import cache


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


FUNCTIONS = _names(
    "arccos arcsin arctan arg cos cosh cot coth csc deg det dim exp gcd hom inf ker lcm lg lim liminf limsup "
    "ln log max min Pr sec sin sinh sup tan tanh"
)
"""Names that are set upright, with a space before what they apply to."""

LARGE = {
    "sum": "∑",
    "prod": "∏",
    "coprod": "∐",
    "int": "∫",
    "iint": "∬",
    "iiint": "∭",
    "oint": "∮",
    "bigcup": "⋃",
    "bigcap": "⋂",
}
"""Operators that take a space before what they apply to."""

_ADDED = {
    "ne": "≠", "neq": "≠", "implies": "⇒", "iff": "⇔", "impliedby": "⇐", "triangle": "△", "degree": "°", "colon": ":",
    "checkmark": "✓", "Re": "Re", "Im": "Im", "land": "∧", "lor": "∨", "neg": "¬", "lnot": "¬", "|": "‖", "%": "%",
    "models": "⊨", "bot": "⊥", "lll": "⋘", "ggg": "⋙", "Box": "□", "square": "□", "Diamond": "◇", "blacksquare": "■",
    "clubsuit": "♣", "heartsuit": "♥", "spadesuit": "♠", "diamondsuit": "♦", "euro": "€", "pounds": "£", "S": "§",
    "P": "¶", "copyright": "©", "dag": "†", "ddag": "‡", "mod": "mod", "bmod": "mod", "AA": "Å", "aa": "å",
    "ldots": "…", "cdots": "⋯", "dots": "…", "dotsc": "…", "dotsb": "⋯", "vdots": "⋮", "ddots": "⋱", "circ": "∘",
    "cdot": "·", "ast": "∗", "star": "⋆", "bullet": "•", "lbrace": "{", "rbrace": "}", "{": "{", "}": "}", "$": "$",
    "&": "&", "#": "#", "_": "_", "vert": "|", "Vert": "‖", "lvert": "|", "rvert": "|", "lVert": "‖", "rVert": "‖",
    "lbrack": "[", "rbrack": "]", "backslash": "\\", "epsilon": "ϵ", "phi": "φ", "varphi": "ϕ", "dotsm": "⋯",
    "longrightarrow": "⟶", "longleftarrow": "⟵", "Longrightarrow": "⟹", "Longleftrightarrow": "⟺", "to": "→",
    "gets": "←", "mapsto": "↦", "prime": "′", "therefore": "∴", "because": "∵", "perp": "⊥", "parallel": "∥",
    "mid": "|", "nmid": "∤", "setminus": "∖", "complement": "∁", "aleph": "ℵ", "wp": "℘", "cong": "≅", "simeq": "≃",
    "lfloor": "⌊", "rfloor": "⌋", "lceil": "⌈", "rceil": "⌉", "langle": "⟨", "rangle": "⟩", "angle": "∠",
    "leqslant": "≤", "geqslant": "≥", "leq": "≤", "geq": "≥", "le": "≤", "ge": "≥", "leqq": "≦", "geqq": "≧",
    "textdegree": "°", "textbackslash": "\\", "textasciitilde": "~", "newline": "\n", "hbar": "ℏ", "ell": "ℓ",
    "hdots": "…",
}  # fmt: skip

SPACES = {
    ",": " ", ";": " ", ":": " ", ">": " ", " ": " ", "quad": "  ", "qquad": "    ", "enspace": " ", "thinspace": " ",
    "medspace": " ", "thickspace": " ", "nobreakspace": " ", "!": "", "negthinspace": "", "/": "", "\n": " ",
}  # fmt: skip

SILENT = _names(
    "left right middle big Big bigg Bigg bigl bigr Bigl Bigr biggl biggr Biggl Biggr bigm Bigm limits nolimits "
    "displaystyle textstyle scriptstyle scriptscriptstyle rm bf it tt sf cal normalsize small large Large huge "
    "nonumber notag noindent centering protect relax strut mathstrut"
)
"""Commands that draw nothing and take no argument."""

DROPPED = {"label": 1, "hspace": 1, "vspace": 1, "color": 1, "cline": 1, "smash": 0}
"""Commands that draw nothing, and the number of their arguments."""

PLAIN = _names(
    "mathrm mathit mathsf mathtt mathnormal mathop mathbin mathrel mathord ensuremath textnormal underbrace "
    "overbrace underbracket overbracket mathstrut pmb"
)
"""Commands that draw their argument as it is."""

TEXT = _names("text mbox hbox textrm textsf textup intertext textsc texttt")
STRONG = _names("bold mathbf boldsymbol bm textbf")
EMPHASIS = _names("textit emph textsl")

ACCENTS = {
    "hat": "\u0302", "widehat": "\u0302", "bar": "\u0304", "tilde": "\u0303", "widetilde": "\u0303", "vec": "\u20d7",
    "dot": "\u0307", "ddot": "\u0308", "dddot": "\u20db", "check": "\u030c", "breve": "\u0306", "acute": "\u0301",
    "grave": "\u0300", "mathring": "\u030a", "overrightarrow": "\u20d7", "overleftarrow": "\u20d6",
    "overleftrightarrow": "\u20e1", "overparen": "\u0311", "not": "\u0338",
}  # fmt: skip
OVER_EACH = {"overline": "\u0305", "underline": "\u0332", "cancel": "\u0336", "bcancel": "\u0336", "xcancel": "\u0336"}
"""Accents that are drawn on every character."""

ALPHABETS = {
    "mathbb": "DOUBLE-STRUCK",
    "Bbb": "DOUBLE-STRUCK",
    "mathcal": "SCRIPT",
    "mathscr": "SCRIPT",
    "mathfrak": "FRAKTUR",
}

RELATIONS = frozenset("↘↗⇌⇀↪=<>≤≥≠≈≡∼≃≅∝∈∉∋⊂⊃⊆⊇⊄⊊⊋→⟶←↔⇒⟹⇐⇔⟺↦≪≫≺≻∣∤∥⊥≜≐∴∵≦≧⊨⊢≔")
OPERATIONS = frozenset({*"×·÷±∘∓∪∩∧∨⊕⊗⊙∖∗⋆•", "mod"})

_SUPERSCRIPTS = {"−": "⁻", "-": "⁻", "′": "′", "∘": "°", "°": "°", "*": "*", "∗": "*", "†": "†", " ": " ", "…": "…"}
_SUBSCRIPTS = {"−": "₋", "-": "₋", " ": " "}


def _scripts(mark: str, known: dict[str, str]) -> dict[str, str]:
    """Return characters and their raised or lowered forms, by Unicode's compatibility decompositions."""
    found = dict(known)
    for block in (
        range(0xB2, 0xBA),
        range(0x2070, 0x20A0),
        range(0x1D2C, 0x1D6B),
        range(0x2C7C, 0x2C7E),
        range(0x1D9B, 0x1DC0),
        range(0x2B0, 0x2B9),
        range(0x2E0, 0x2E5),
    ):
        for code in block:
            kind, _, base = unicodedata.decomposition(chr(code)).partition(" ")
            if kind == mark and " " not in base:
                found.setdefault(chr(int(base, 16)), chr(code))
    return found


@cache
def superscripts() -> dict[str, str]:
    return _scripts("<super>", _SUPERSCRIPTS)


@cache
def subscripts() -> dict[str, str]:
    return _scripts("<sub>", _SUBSCRIPTS)


@cache
def symbols() -> dict[str, str]:
    """Return the commands without arguments and what each is in Unicode."""
    from pylatexenc.latex2text import get_default_latex_context_db  # 60 ms: not before the first formula

    # Its accents and text commands are specified by callables; a plain string is a symbol.
    found = {
        spec.macroname: spec.simplify_repl
        for spec in get_default_latex_context_db().iter_macro_specs()
        if isinstance(spec.simplify_repl, str) and re.fullmatch(r"[^%\s\w]|\w", spec.simplify_repl)
    }
    return found | _ADDED | {name: name for name in FUNCTIONS} | LARGE


@cache
def letter_in(command: str, letter: str) -> str:
    """Return ``letter`` in the alphabet of a command such as ``mathbb``."""
    style, name = ALPHABETS[command], unicodedata.name(letter, "")
    shape = re.fullmatch(r"(?:LATIN (CAPITAL|SMALL) LETTER|DIGIT) (\w+)", name)
    if shape is None:
        return letter
    rest = " ".join(filter(None, (shape[1], shape[2]) if shape[1] else ("DIGIT", shape[2])))
    first = "BLACK-LETTER" if style == "FRAKTUR" else style
    for candidate in (f"{first} {rest}", f"MATHEMATICAL {style} {rest}"):
        try:
            return unicodedata.lookup(candidate)
        except KeyError:
            continue
    return letter
