"""Words that may stand behind a number without changing that it is one: units and what is counted."""

from __future__ import annotations

import re


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_UNITS = _words(
    """
    mm cm dm km nm um mi ft yd in inch inches foot feet yard yards mile miles meter meters metre metres centimeter
    centimeters centimetre centimetres millimeter millimeters kilometer kilometers kilometre kilometres
    kg mg lb lbs oz ml cl dl hz khz mhz ev kev mev gev kw mw kj kpa pa atm mol cal kcal rad sr deg
    sec secs min mins hr hrs ms ns day days wk yr yrs mph kph kmh rpm fps au pc kpc mpc ly
    usd eur gbp rmb cny cent cents pound pounds unit units sq cu square cubic squared cubed per each
    men man boy boys girl girls way ways times time bit bits hour hours minute minutes second seconds
    degree degrees radian radians percent dollar dollars euro euros kelvin celsius
    """
)
_LETTERS = _words("m g s L l h N J W V A K C F T Å Ω")
_CHINESE = re.compile(
    r"(?:平方|立方)?(?:千米|厘米|毫米|分米|公里|米|里)|(?:千|毫)?克|公斤|吨|千瓦|(?:毫)?升|小时|分钟|分|秒|天|日|年|月|周|岁"
    r"|元|角|块|美元|度|个|人|名|只|条|本|张|支|枝|台|辆|棵|颗|次|倍|种|件|箱|盒|袋|瓶|杯|朵|头|匹|位|组|排|页|单位"
)
# Words that say something of the number, or join it to another.
_NO_UNIT = _words(
    """
    and or to if when where for not no yes at least most more less than about approximately roughly around infinitely
    many none all any every some between from with without true false is are pm am both
    """
)
_MOST_WORDS = 6


def is_unit(text: str, *, as_text: bool, apart: bool) -> bool:
    r"""Whether the words are a unit or a thing counted.

    ``as_text`` says that they stand in ``\text`` or the like, ``apart`` that white space divides them from the number:
    ``6m`` is six times m, ``6 \mathrm{m}`` is six metres, ``3 apples`` is a number of apples.
    """
    if _CHINESE.fullmatch(text):
        return True
    words = re.findall(r"[A-Za-zÅΩµμ]+", text)
    if not as_text:
        word = text.rstrip(".")
        return word.lower() in _UNITS or (apart and len(word) > 3 and word.islower() and word not in _NO_UNIT)
    if not words:
        return re.fullmatch(r"[\s.,;%°$]*", text) is not None
    if len(words) > _MOST_WORDS or re.search(r"[=<>+]|\d{3}", text):
        return False
    if any(word.lower() in _NO_UNIT for word in words):
        return False
    return len(words) > 1 or len(words[0]) > 1 or words[0] in _LETTERS
