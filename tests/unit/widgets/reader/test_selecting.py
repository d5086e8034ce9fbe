"""The line of labels: all of them fit, the longest names are shortened first."""

from __future__ import annotations

from o1lab.widgets.reader.document import LabelKey
from o1lab.widgets.reader.selecting import LETTERS, MARKING, keys_line

KEYS = (LabelKey("a very long label", "red", 2), LabelKey("slip", "green", 1), LabelKey("none", "blue", None))


def test_the_labels_are_shown_with_their_digits_in_order() -> None:
    assert keys_line(KEYS, 80).plain == "1 slip  2 a very long label"
    assert keys_line(KEYS, 20).plain == "1 slip  2 a very …"
    assert keys_line(KEYS, 5).plain == "1 sl…  2 a …"
    assert keys_line((KEYS[2],), 80).plain == "no label has a digit: L changes the labels"


def test_each_digit_and_each_kind_has_a_key() -> None:
    keys = [binding.key for binding in MARKING if not isinstance(binding, tuple)]
    assert sorted(keys) == sorted("0123456789" + LETTERS)
