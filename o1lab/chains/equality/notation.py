r"""Write answers in one notation, so that equal answers look alike whether typed in LaTeX, Unicode or Chinese.

:func:`plain` returns a text in which every relation and operator is one character (``\leq`` is ``≤``, ``\cup`` is
``∪``), braces of sets are ``❴ ❵``, text is between ``⟦`` and ``⟧``, and sizes, fonts and spacing are gone.
:func:`latex` writes such a text as LaTeX again.
"""

from __future__ import annotations

import re
import unicodedata

FUNCTIONS = frozenset({
    "sin", "cos", "tan", "cot", "sec", "csc", "log", "ln", "exp", "det", "max", "min", "gcd", "lcm", "arcsin", "arccos",
    "arctan", "sinh", "cosh", "tanh", "sqrt", "mod", "asin", "acos", "atan",
})  # fmt: skip

_MARKS = (("$$", "$$"), ("$", "$"), ("\\(", "\\)"), ("\\[", "\\]"), ("\\boxed{", "}"), ("{", "}"))

# Characters that mean the same, as one of them.
_GREEK = {
    "α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "ε": "epsilon", "θ": "theta", "λ": "lambda",
    "ρ": "rho", "σ": "sigma", "φ": "phi", "ω": "omega", "Δ": "Delta", "Γ": "Gamma", "Ω": "Omega",
}  # fmt: skip
_ALIKE = {
    "": "\u200b\u200c\u200d\u2060\ufeff\u00ad⟦⟧❴❵", " ": "\u3000\u00a0\u2002\u2003\u2009\u202f", "-": "−–—‐‑﹣",
    ",": "、﹐", '"': "“”„「」『』", "'": "‘’′", "*": "·⋅∙•×✕", ".": "。", "(": "【〔⟨", ")": "】〕⟩", "/": "÷∕⁄",
    "≤": "⩽≦", "≥": "⩾≧", "≈": "≃≅∼", "°": "º˚", ":": "∶︰", "|": "∣", "%": "％", "…": "⋯", "l": "ℓ", "μ": "µ",
    "\\emptyset ": "∅", "Å": "Å",
}  # fmt: skip
_CHARACTERS = {
    **{code: chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)},  # full-width ASCII
    **{ord(letter): f"\\{name} " for letter, name in _GREEK.items()},
    **{ord(one): same for same, others in _ALIKE.items() for one in others},
}
_RAISED = {raised: unicodedata.normalize("NFKC", raised).replace("−", "-") for raised in "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ"}
_LOWERED = {lowered: unicodedata.normalize("NFKC", lowered) for lowered in "₀₁₂₃₄₅₆₇₈₉ₙₓ"}

# LaTeX commands that are one character.
_COMMANDS = {
    "leq": "≤", "le": "≤", "leqslant": "≤", "geq": "≥", "ge": "≥", "geqslant": "≥", "lt": "<", "gt": ">", "neq": "≠",
    "ne": "≠", "approx": "≈", "simeq": "≈", "cong": "≈", "in": "∈", "cup": "∪", "cap": "∩", "setminus": "∖",
    "backslash": "∖", "pm": "±", "mp": "∓", "infty": "∞", "pi": "π", "equiv": "≡", "times": "*", "cdot": "*",
    "ast": "*", "div": "/", "degree": "°", "mid": "|", "vert": "|", "lvert": "|", "rvert": "|", "langle": "(",
    "rangle": ")",
    "lbrace": "❴", "rbrace": "❵", "lbrack": "[", "rbrack": "]", "ldots": "…", "dots": "…", "cdots": "…",
    "lparen": "(", "rparen": ")", "colon": ":", "prime": "'", "varnothing": "\\emptyset ", "euro": "€", "pounds": "£",
    "AA": "Å", "mu": "μ", "land": " ⟦and⟧ ", "lor": " ⟦or⟧ ", "wedge": " ⟦and⟧ ", "vee": " ⟦or⟧ ", "varphi": "\\phi ",
    "varepsilon": "\\epsilon ", "quad": " ", "qquad": " ", "space": " ", "thinspace": " ", "hspace": " ",
    "dollar": "$",
}  # fmt: skip
_NOTHING = re.compile(
    r"\\(?:left|right|bigl?|bigr|Bigl?|Bigr|biggl?|biggr|Biggl?|Biggr|displaystyle|textstyle|limits|rm|bf|it|sf|mathstrut"
    r"|phantom\{[^{}]*\}|hfill|noindent|label\{[^{}]*\}|tag\{[^{}]*\})(?![a-zA-Z])\.?"
)
_TEXT = re.compile(r"\\(?:text(?:bf|it|rm|sf|tt|normal)?|mbox|hbox|emph|operatorname\*?)\s*\{((?:[^{}]|\{[^{}]*\})*)\}")
_ROMAN = re.compile(r"(?P<before>[\d})]?)(?P<gap>[\s~]*)\\mathrm\s*\{(?P<inner>[^{}]*)\}")
_FONT = re.compile(
    r"\\(?:mathbf|mathit|mathsf|mathtt|mathbb|mathcal|boldsymbol|bm|overrightarrow|vec|hat|underline)\s*\{([^{}]*)\}"
)
_FRACTION = re.compile(r"\\[dtc]?frac(?![a-zA-Z])\s*")
_ROOT = re.compile(r"\\sqrt(?![a-zA-Z])\s*(?P<index>\[[^\[\]]*\])?\s*(?=[^{\s])(?P<one>\\[a-zA-Z]+|[0-9a-zA-Z])")
_COMMAND = re.compile(r"\\([a-zA-Z]+)\s*")
_OUT = str.maketrans(
    {
        "≤": "\\le ", "≥": "\\ge ", "≠": "\\ne ", "≈": "\\approx ", "∈": "\\in ", "∪": "\\cup ", "∩": "\\cap ",
        "∖": "\\setminus ", "±": "\\pm ", "∓": "\\mp ", "∞": "\\infty ", "π": "\\pi ", "≡": "\\equiv ", "*": "\\cdot ",
        "°": "^\\circ ", "ℝ": "\\mathbb{R}", "…": "\\ldots ",
        "❴": "\\{", "❵": "\\}", "⟦": "\\text{", "⟧": "}", "%": "\\%", "$": "\\$",
    }
)  # fmt: skip


def normalise(answer: str) -> str:
    """Return ``answer`` without surrounding math marks, final full stop, GSM8K's ``####`` and spaces."""
    text = answer.strip()
    last = text.rpartition("####")[2].strip()
    if "####" in text and last and "\n" not in last:
        text = last
    return _unwrapped(text, (*_MARKS, ("\\text{", "}")))


def _unwrapped(text: str, marks: tuple[tuple[str, str], ...]) -> str:
    unwrapped = True
    while unwrapped:
        text = text.strip().rstrip(".。").strip()
        unwrapped = False
        for left, right in marks:
            inner = text[len(left) : len(text) - len(right)]
            if len(text) > len(left + right) and text.startswith(left) and text.endswith(right) and _closed(inner):
                text, unwrapped = inner, True
                break
    return text


def _closed(inner: str) -> bool:
    """Return whether ``inner`` contains no marks of its own: ``{1}+{2}`` is not wrapped in braces."""
    return "$" not in inner and "{" not in inner and "}" not in inner and "\\(" not in inner and "\\[" not in inner


def plain(answer: str) -> str:
    """Return ``answer`` in the notation of this module, without math marks around it or in it."""
    text = _characters(answer)
    text = re.sub(r"\\math?frac(?![a-z])", r"\\frac", text)
    text = text.replace("\\\\", "\ue000").replace("\\{", "❴").replace("\\}", "❵").replace("\\$", "\ue001")
    text = re.sub(r"\{,\}\s*|,\s*\\!\s*|(?<=\d)\\[,; ](?=\d{3}(?!\d))|(?<=\d)~(?=\d{3}(?!\d))", _thousands, text)
    text = re.sub(r"\\[()\[\]]", "", text)
    if text.count("$") % 2 == 0:
        text = text.replace("$", "")
    text = text.replace("\ue001", "$").replace("\\%", "%").replace("\\&", "&").replace("\\#", "#").replace("\\_", "_")
    text = _NOTHING.sub(" ", re.sub(r"\\mathbb\s*(?:\{R\}|R)|\\R(?![a-zA-Z])", "ℝ", text))
    text = re.sub(r"\\[,;:!> ]|~", " ", text)
    for _ in range(3):  # \textbf{\text{x}}
        text = _TEXT.sub(_marked, _FONT.sub(r"\1", text))
    text = _ROMAN.sub(_roman, text)
    text = re.sub(r"\^\s*(?:\{\s*\\circ\s*\}|\\circ)", "°", text)
    text = _COMMAND.sub(_one_character, text)
    text = re.sub(r"not\s*=|\\not\s*=", "≠", text)
    text = re.sub(r"<=|=<", "≤", text).replace(">=", "≥").replace("!=", "≠").replace("**", "^").replace("...", "…")
    text = re.sub(r"√\s*(?:\(([^()]*)\)|(\d+(?:\.\d+)?|[a-zπ]))", lambda at: f"\\sqrt{{{at[1] or at[2]}}}", text)
    text = _ROOT.sub(lambda at: f"\\sqrt{at['index'] or ''}{{{at['one']}}}", text)
    text = re.sub(r"⟦([^⟦⟧]*[^⟦⟧\s,]),?\s+(and|or)⟧", r"⟦\1⟧ ⟦\2⟧", re.sub(r"负(?=[\d\\])", "-", text))
    text = _fractions(re.sub(r"°\s*⟦?([CF])⟧?(?![a-zA-Z])", r"°\1", text))
    text = text.replace("\ue000", "\\\\")
    return re.sub(r"\s+", " ", text).strip().rstrip(".;:,\\").strip()


def _characters(answer: str) -> str:
    """Return ``answer`` without marks around it, and with one character for each meaning."""
    last = answer.rpartition("####")[2].strip()
    text = (last if last and "\n" not in last else answer.strip()).replace("...", "…")
    text = _unwrapped(text, _MARKS).translate(_CHARACTERS)
    text = re.sub("[⁰¹²³⁴-⁹⁺⁻ⁿ]+", lambda at: "^{" + "".join(_RAISED[one] for one in at.group()) + "}", text)
    text = re.sub("[₀-₉ₙₓ]+", lambda at: "_{" + "".join(_LOWERED[one] for one in at.group()) + "}", text)
    return re.sub("[¼-¾⅐-⅞]", _vulgar, text)


def _vulgar(at: re.Match[str]) -> str:
    over, _, under = unicodedata.normalize("NFKC", at.group()).partition("⁄")
    return f"\\frac{{{over}}}{{{under}}}"


def latex(text: str) -> str:
    """Write a text of this module's notation as LaTeX."""
    return text.translate(_OUT)


def _thousands(at: re.Match[str]) -> str:
    return "" if at.string[at.end() : at.end() + 3].isdigit() else ","


def _marked(at: re.Match[str]) -> str:
    inner = at[1].strip()
    if at.group().startswith("\\operatorname") and inner in FUNCTIONS:
        return f"\\{inner} "
    left, right = (" " if at[1][:1] in " ~" else ""), (" " if at[1][-1:] in " ~" else "")
    return f"{left}⟦{inner.replace('⟦', '').replace('⟧', '')}⟧{right}" if inner else " "


def _roman(at: re.Match[str]) -> str:
    inner = at["inner"].strip(" ~")
    if len(inner) == 1 and not at["before"]:
        return f"{at['gap']}{inner}"
    return f"{at['before']} ⟦{inner}⟧ " if inner else f"{at['before']} "


def _one_character(at: re.Match[str]) -> str:
    known = _COMMANDS.get(at[1])
    if known is None:
        return f"\\{at[1]}" + (" " if at.string[at.end() : at.end() + 1].isalnum() else "")
    return known


def _fractions(text: str) -> str:
    r"""Write ``\frac12``, ``\frac{a}b`` and ``\dfrac{1}{2}`` as ``\frac{1}{2}``."""
    parts: list[str] = []
    at = 0
    for match in _FRACTION.finditer(text):
        if match.start() < at:
            continue
        parts.append(text[at : match.start()] + "\\frac")
        at = match.end()
        for _ in range(2):
            found = re.compile(r"\s*([0-9a-zA-Zπ])").match(text, at)
            if found is None:
                break
            parts.append(f"{{{found[1]}}}")
            at = found.end()
            if text[at : at + 1] == "{":
                break
        if text[at : at + 1] == "{" and (end := closing(text, at)) is not None:
            rest = re.compile(r"\s*([0-9a-zA-Zπ])").match(text, end + 1)
            if rest is not None and text[at - 1] != "}":
                parts.append(f"{text[at : end + 1]}{{{rest[1]}}}")
                at = rest.end()
    return "".join(parts) + text[at:]


def closing(text: str, start: int) -> int | None:
    """Return where the bracket that opens at ``start`` closes, or None."""
    pairs = {"{": "}", "(": ")", "[": "]", "❴": "❵", "⟦": "⟧"}
    left, right = text[start], pairs[text[start]]
    depth = 0
    for at in range(start, len(text)):
        if text[at] == left:
            depth += 1
        elif text[at] == right:
            depth -= 1
            if not depth:
                return at
    return None
