"""Segment a thought into moves by rules: segments with one function each.

The rules use the opening of a sentence, a few phrases anywhere in it, and whether it calculates. They are hand-written
and tuned on half of the tagged sentences that ``bench/segmentation.py`` measures with. Imports use them, because they
are fast; :mod:`~o1lab.chains.segmentation.labelling` gives the sentences better kinds later. Every stored segmentation
records ``SEGMENTER_VERSION``.

For speed there are few calls: one scan finds the sentences and their openings, and ``str.find`` searches the phrases in
the whole text.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import NamedTuple

from o1lab.text import lowered

SEGMENTER_VERSION = 2


class MoveKind(StrEnum):
    """The function of a segment of a thought."""

    UNDERSTAND = "understand"
    PLAN = "plan"
    COMPUTE = "compute"
    REFLECT = "reflect"
    BACKTRACK = "backtrack"
    VERIFY = "verify"
    CONCLUDE = "conclude"

    @property
    def letter(self) -> str:
        """The one-letter abbreviation: U P C R B V F (F is conclude, "final")."""
        return _LETTERS[self]


_LETTERS = {
    MoveKind.UNDERSTAND: "U",
    MoveKind.PLAN: "P",
    MoveKind.COMPUTE: "C",
    MoveKind.REFLECT: "R",
    MoveKind.BACKTRACK: "B",
    MoveKind.VERIFY: "V",
    MoveKind.CONCLUDE: "F",
}
MOVE_OF_LETTER = {letter: kind for kind, letter in _LETTERS.items()}


class Move(NamedTuple):
    """One segment: [start, end) in code points of the segmented text."""

    kind: MoveKind
    start: int
    end: int


def pack(moves: Iterable[Move]) -> str:
    """Encode moves without gaps for storage, as letter and end offset of each, such as ``U120 C400``."""
    return " ".join(f"{move.kind.letter}{move.end}" for move in moves)


def place_of_token(starts: Sequence[int], start: int, end: int) -> int:
    """Return the index of the move that a token belongs to: the one that has its last character.

    Tokens of words begin with the space before them, which belongs to the move before if a move begins mid-line.

    Args:
        starts: where the moves begin, in order.
        start: where the token begins.
        end: where it ends; the same for a token without characters.
    """
    return max(bisect_right(starts, max(end - 1, start)) - 1, 0)


def unpack(packed: str) -> list[Move]:
    """Decode the text that :func:`pack` returned.

    Raises:
        ValueError: the text is not a packed list of moves.
    """
    moves: list[Move] = []
    start = 0
    for entry in packed.split():
        kind = MOVE_OF_LETTER.get(entry[0])
        if kind is None:
            raise ValueError(f"'{entry}' is not a packed move")
        end = int(entry[1:])
        moves.append(Move(kind, start, end))
        start = end
    return moves


_FILLER = r"""
    (?:(?:so|okay|ok|alright|now|and|but|then|well|hmm+|wait|actually|oh|yes|no)\b[,:\ …—]{1,3}){0,3}
"""
_OPENINGS = {
    MoveKind.BACKTRACK: r"""
        let(?:'s|\ me|\ us)\ (?:start\ over|restart|backtrack|go\ back|scrap|redo|try\ (?:again|another|
            a\ different|something\ else))
        |scratch\ that|that(?:'s|\ is|\ was)\ (?:wrong|incorrect|not\ (?:right|correct))|(?:this|
            that)\ (?:approach|method|way)\ (?:isn't|is\ not|doesn't|does\ not|won't|fails)
        |i\ (?:made|must\ have\ made|think\ i\ made)\ (?:a|an|some)\ (?:mistake|error)|going\ back|
            back\ to\ the\ drawing
        |不对|重新(?:开始|来|考虑|计算|想)|换(?:个|一种|一个|种)(?:方法|思路|角度|办法)|我(?:算|想|弄|搞)错了|回到(?:之前|前面|上一步)
    """,
    MoveKind.VERIFY: r"""
        (?:let(?:'s|\ me|\ us)|i(?:'ll|\ will|\ should|\ can|\ need\ to)?|to|we\ can|
            just\ to)\ (?:quickly\ |also\ |just\ )?(?:re-?|double[-\ ]|cross[-\ ])?(?:check|verify|confirm|
            make\ sure|be\ sure|validate|test)
        |(?:double[-\ ]?|cross[-\ ]?|re)?check(?:ing)?\b|verif(?:y|ying|ication)\b|plug(?:ging)?\ (?:it\ |
            this\ |that\ |them\ |these\ )?back
        |(?:that|this|it)'s\ (?:correct|right|consistent)
        |(?:that|this|it|which)\ (?:all\ )?(?:makes\ sense|checks\ out|matches|is\ correct|is\ right|
            is\ consistent|seems\ (?:right|correct|consistent))
        |(?:让我|让我们|我们|我|再|来|需要)*(?:检查|验证|核对|检验|验算|确认)|代入(?:检验|验证|原)
    """,
    MoveKind.CONCLUDE: r"""
        (?:the\ |\**)?final\ answer|\*\*(?:final\ )?answer|the\ answer\ (?:is|should|must|to)|answer\s*:|
            in\ (?:conclusion|summary)|to\ (?:summarize|sum\ up|conclude)|overall
        |so\ (?:the|my|our)\ (?:final\ )?(?:answer|result)
        |(?:putting|combining)\ (?:it|this|these|them|everything|all)|i(?:'m|\ am)\ (?:confident|
            pretty\ sure|fairly\ sure)
        |综上|总之|最终答案|答案(?:是|为|：|:)|因此|所以(?:答案|最终|结果)|由此可(?:知|得|见)
    """,
    MoveKind.REFLECT: r"""
        wait\b|hmm+\b|hold\ on|hang\ on|actually\b|but\ (?:wait|that|this|is|how|why|what|maybe|perhaps|
            the\ problem|hold|let|i'm|i\ am|it|p\b|if|since)
        |(?:this|that|it)\ (?:is|seems|looks|doesn't|does\ not|can't|cannot|might|could|isn't|
            contradicts)(?:\ (?:confus|conflict|strange|odd|weird|tricky|not|a\ bit|complicat|impossible|
            make|like|seem|be))
        |(?:i'm|i\ am)\ (?:not\ sure|confused|unsure|stuck|a\ bit)|is\ (?:that|this|it|there)\ |am\ i\b|
            did\ i\b|maybe\ (?:i|the|there|it|that)|perhaps\ (?:i|the|there|it)|or\ (?:is|maybe|perhaps)|
            what\ if|how\ (?:come|is)|why\b|no[,.]\ |oh\b
        |等等|等一下|等下|且慢|慢着|嗯|奇怪|可是|不过|会不会|是不是|难道|我(?:不确定|有点|怀疑)|让我(?:再)?想想|其实
    """,
    MoveKind.PLAN: r"""
        let(?:'s|\ me|\ us)\ (?:try|think|see|start|use|consider|approach|break|figure|denote|define|set|
            call|first|look|write|find|solve|work|assume|begin|proceed|analy[sz]e|focus|outline|list|go|say)
        |(?:now,?\ )?(?:moving\ on|let\ me\ move)|i\ think\ the\ best
        |(?:i|we)(?:'ll|\ (?:will|should|could|can|need\ to|have\ to|must|want\ to|might|think\ (?:i|
            we)))\ |(?:my|the|our)\ (?:plan|approach|strategy|next\ step|goal|first\ step)
        |alternatively\b|another\ (?:way|approach|method|idea)|first(?:ly|\ off|\ of\ all|,\ i|,\ let|,\ we|
            \ things)|next\b|step\ \d|perhaps\b|maybe\b|if\ i\b|to\ (?:find|solve|do|determine|figure|get|
            proceed|calculate|compute|approach)\b|how\ (?:can|do|to|about)
        |首先|接下来|然后我|我(?:们)?(?:需要|应该|可以|打算|先|要|来)|让我(?:们)?(?:来|先|尝试|试|用|考虑|设)|第[一二三四五六七八九十\d]+步|下一步|另一(?:种|
            个)|或者|考虑|设
    """,
    MoveKind.COMPUTE: r"""
        compute|calculat(?:e|ing)|simplif(?:y|ies|ying)|substitut(?:e|ing)|convert(?:ing)?|subtract(?:ing)?|
            multiply(?:ing)?|divid(?:e|ing)|expand(?:ing)?|add(?:ing)?\b|plug(?:ging)?\ (?:in|this|these|
            the)|solv(?:e|ing)\b|factor(?:ing)?\b|rearrang|differentiat|integrat|equation\b|eq\b|
            rounded\b|(?:i|we)(?:'ve|\ have|\ get|\ got)[^.!?\n]{0,40}:\s|similarly\b|[-+(]?\ ?\d|\\\[|\\\(|\$
        |计算|代入|化简|展开|两边|移项|解得|求导|积分|得到|得|即
    """,
    MoveKind.UNDERSTAND: r"""
        (?:i|we)(?:'ve|\ have|'m\ given|\ am\ given|\ got|\ know|\ remember|\ recall|'re\ given|
            \ are\ given)|the\ (?:problem|question|task|formula|points?|smaller|larger|number|sum|total)
        |given\b|looking\ at|recall(?:ing)?\b|remember\b|each\b|in\ (?:the|this|a|our)\b|since\b|because\b|
            there(?:'s|\ is|\ are)|it\ (?:just\ )?(?:says|states)|a\ |the\ |from\b|points\b
        |题目|题意|已知|根据(?:题|条件)|给定|问题(?:是|要求|说|中)|好的|我(?:记得|知道)|这(?:是|道|个)|由于|因为
    """,
}
# Announced work would otherwise match as a plan, and a problem that is restated as a conclusion. Weak conclusions
# count only if the sentence calculates nothing.
_ANNOUNCED = r"""
    (?:(?:let(?:'s|\ me|\ us)|i'll|we'll|(?:i|we)(?:\ (?:can|need\ to|have\ to|will|should|
        could))?)\ (?:now\ |just\ |first\ )?|first,?\ |next,?\ )+(?:compute|calculate|convert|simplify|
        substitute|subtract|multiply|divide|expand|add|plug)
"""
_RESTATES = r"""
    (?:i|we)(?:'ve|\ have|\ need)?\ (?:got\ |to\ (?:solve|figure\ out)\ )?(?:this|a|an)\ (?:\w+\ ){0,2}(?:problem|
        question|puzzle|exercise)\b
"""
_WEAK = r"""
    (?:therefore|thus|hence|consequently|so\b(?!,?\ (?:i|we|let)\b)|(?:this|that|
        which)\ (?:gives|means|implies|leaves|tells))
"""


def _named(*kinds: MoveKind) -> str:
    return "|".join(f"(?P<{kind}>{_OPENINGS[kind]})" for kind in kinds)


# One sentence: fillers, then an opening that decides, or else whether it calculates; then the rest. A sentence ends at
# a full stop followed by whitespace (3.14 is one number), at a Chinese full stop, or at the end of the line. Every
# repetition is possessive, so a sentence of a megabyte is scanned once.
_SENTENCE = re.compile(
    rf"""
    (?: {_FILLER} (?: {_named(MoveKind.BACKTRACK, MoveKind.VERIFY, MoveKind.CONCLUDE, MoveKind.REFLECT)}
                  | (?P<restates>{_RESTATES}) | (?P<announced>{_ANNOUNCED}) | {_named(MoveKind.PLAN)} )
      | (?: (?P<weak>{_WEAK}) | {_FILLER} (?: {_named(MoveKind.COMPUTE, MoveKind.UNDERSTAND)} )? )
        [^.!?\n。！？=≈×÷√+^]*+ (?: \.(?=\d) [^.!?\n。！？=≈×÷√+^]*+ )*+
        (?P<calculates>[=≈×÷√+^])?
    )
    [^.!?\n。！？]*+ (?: [.!?] (?! ["'”’)\]*]*+ (?: \s | \Z ) ) [^.!?\n。！？]*+ )*+
    (?: \n\s*+ | [。！？] [”’」』）)"']*+ \s*+ | [.!?] ["'”’)\]*]*+ \s*+ )?
    """,
    re.VERBOSE,
)
_KIND_OF_GROUP: dict[str | None, MoveKind | None] = {
    None: None,
    "announced": MoveKind.COMPUTE,
    "restates": MoveKind.UNDERSTAND,
    "calculates": MoveKind.COMPUTE,
    "weak": MoveKind.CONCLUDE,
    **{kind.value: kind for kind in MoveKind},
}

# Phrases that decide the kind anywhere in a sentence, in order of precedence.
_PHRASES: dict[MoveKind, tuple[str, ...]] = {
    MoveKind.CONCLUDE: ("\\boxed", "final answer", "the answer is", "最终答案", "答案是"),
    MoveKind.BACKTRACK: (
        "start over", "try a different", "try another", "made a mistake", "scratch that", "different approach",
        "换一种方法", "换个思路", "重新开始",
    ),
    MoveKind.VERIFY: (
        "double-check", "double check", "let me check", "let me verify", "let me confirm", "let's check",
        "let's verify",
        "to make sure", "sanity check", "makes sense", "checks out", "让我检查", "让我验证", "检查一下", "验证一下",
    ),
    MoveKind.REFLECT: (
        "not sure", "confus", "doesn't make sense", "contradict", "conflict", "doesn't seem", "hold on", "i wonder",
        "impossible", "can't be", "等等", "不太对",
    ),
}  # fmt: skip


class Sentence(NamedTuple):
    """A sentence of a thought, up to the next one.

    Attributes:
        start: where it begins, in code points.
        kind: the kind that the rules give to it.
        cued: whether it begins a line with an opening of that kind, so that it begins a move of its own.
    """

    start: int
    kind: MoveKind
    cued: bool


def segment(thought: str) -> list[Move]:
    """Return the moves of ``thought`` in order, covering it without gaps; empty for an empty thought."""
    found = sentences(thought)
    return joined(found, [sentence.kind for sentence in found], len(thought))


def sentences(thought: str) -> list[Sentence]:
    """Return the sentences of ``thought`` with their kinds by the rules. Takes linear time."""
    text = lowered(thought)
    scanned = _without_ends(thought, text)
    opened = [(match.start(), _KIND_OF_GROUP[match.lastgroup]) for match in _SENTENCE.finditer(scanned)]
    if opened[-1][0] == len(text):
        opened.pop()  # the empty match at the very end
    phrases = _phrases(text, [start for start, _ in opened])
    found: list[Sentence] = []
    current = MoveKind.UNDERSTAND
    for index, (start, opening) in enumerate(opened):
        current = phrases.get(index, opening) or current  # without a cue, the move before continues
        cued = current in _CUED and opening is current and text[start - 1 : start] == "\n"
        found.append(Sentence(start, current, cued))
    return found


def joined(found: Sequence[Sentence], kinds: Sequence[MoveKind], length: int) -> list[Move]:
    """Return the moves of sentences with these kinds: neighbours of one kind are one move, except where one is cued.

    Args:
        found: the sentences of the text.
        kinds: the kind of each.
        length: the length of the text, in code points.
    """
    moves: list[Move] = []
    begin = 0
    for at in range(1, len(found)):
        if kinds[at] is not kinds[at - 1] or (found[at].cued and found[at].kind is kinds[at]):
            moves.append(Move(kinds[at - 1], begin, found[at].start))
            begin = found[at].start
    return [*moves, Move(kinds[-1], begin, length)] if found else []


def cut(moves: Sequence[Move], spans: Iterable[tuple[int, int]]) -> list[Move]:
    """Return moves among which each of ``spans`` is one: it has the kind that most of its characters had.

    Args:
        moves: moves without gaps.
        spans: spans of the same text. Of those that overlap, the first in order counts.
    """
    found: list[Move] = []
    at = 0
    for start, end in sorted(spans):
        inside = _within(moves, start, end)
        if start < at or not inside or inside[-1].end != end:
            continue
        found += [*_within(moves, at, start), Move(kind_within(moves, (start, end)), start, end)]
        at = end
    return [*found, *_within(moves, at, moves[-1].end)] if moves else []


def kind_within(moves: Sequence[Move], span: tuple[int, int]) -> MoveKind:
    """Return the kind that most characters of a span have."""
    shares: Counter[MoveKind] = Counter()
    for move in _within(moves, *span):
        shares[move.kind] += move.end - move.start
    return shares.most_common(1)[0][0]


def _within(moves: Iterable[Move], start: int, end: int) -> list[Move]:
    """Return the parts of moves that lie between two offsets."""
    parts = (Move(move.kind, max(move.start, start), min(move.end, end)) for move in moves)
    return [part for part in parts if part.start < part.end]


def _without_ends(thought: str, text: str) -> str:
    """Return ``text``, which is ``thought`` in lower case, without the ends of sentences inside mathematics."""
    if "$" in text or "\\" in text:
        text = _MATHEMATICS.sub(lambda found: found[0].translate(_NO_ENDS), text)
    if "!" in text:
        pieces, at = [], 0
        for found in _FACTORIAL.finditer(thought):
            pieces += [text[at : found.end() - 1], ","]
            at = found.end()
        text = "".join([*pieces, text[at:]])
    return text


# Formulas that are closed before another one opens, so that each character is read once. protected_spans() also finds
# nested ones, but takes four times as long as everything else here.
_MATHEMATICS = re.compile(
    r"""
      \$\$ [^$]++ \$\$
    | \$ (?! \s ) [^$\n]++ (?<! \s ) \$ (?! \d )
    | \\\[ [^\\]*+ (?: \\ (?! [][] ) [^\\]*+ )*+ \\\]
    | \\\( [^\\]*+ (?: \\ (?! [()] ) [^\\]*+ )*+ \\\)
    | \\begin\{ [^\\]*+ (?: \\ (?! begin | end ) [^\\]*+ )*+ \\end\{
    """,
    re.VERBOSE,
)
_CUED = frozenset({MoveKind.BACKTRACK, MoveKind.VERIFY, MoveKind.CONCLUDE, MoveKind.REFLECT, MoveKind.PLAN})
_NO_ENDS = str.maketrans(".!?\n。！？", ",,, ,,,")
_FACTORIAL = re.compile(r"(?:[\d)}]|\b[A-Za-z])!(?=[ \t]*+[a-z\d*+/=≈×÷·(),.;:^\\$-])")


def _phrases(text: str, starts: list[int]) -> dict[int, MoveKind]:
    """Return index and kind of the sentences that a phrase decides."""
    found: dict[int, MoveKind] = {}
    for kind, phrases in _PHRASES.items():
        for phrase in phrases:
            at = text.find(phrase)
            while at >= 0:
                index = bisect_right(starts, at) - 1
                found.setdefault(index, kind)
                at = text.find(phrase, starts[index + 1] if index + 1 < len(starts) else len(text))
    return found
