"""The classifier of moves: what it keeps of the rules, and what it gains on real chains."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from o1lab.chains.segmentation.features import BUCKETS, DENSE, FEATURES_VERSION, features
from o1lab.chains.segmentation.labelling import Labeller, labeller_at, shipped_path
from o1lab.chains.segmentation.linear import Weights
from o1lab.chains.segmentation.moves import MoveKind, segment, sentences
from o1lab.errors import LabError
from tests.support.linear import assert_linear

CHAIN = (
    "Okay, so I have this problem about a tank that leaks. First, I need to find the rate. "
    "12 / 3 = 4, and 4 * 2 = 8. Wait, is that right? Let me check that: 4 * 3 = 12. "
    "So the answer is 4 litres per hour."
)


@pytest.fixture
def shipped() -> Iterator[Labeller]:
    yield labeller_at(shipped_path())


def always(kind: MoveKind, *others: MoveKind) -> Labeller:
    """Return a labeller that calls every sentence ``kind``."""
    kinds = (kind, *others)
    bias = np.array([1.0, *(0.0 for _ in others)], np.float32)
    return Labeller("always", kinds, Weights(bias, np.zeros((DENSE, len(kinds)), np.float32), {}, {}))


def test_moves_cover_a_thought_and_a_chain_reads_as_a_person_would(shipped: Labeller) -> None:
    moves, by = shipped.label(CHAIN)
    assert by == "model"
    assert [move.start for move in moves] == [0, *(move.end for move in moves[:-1])]
    assert moves[-1].end == len(CHAIN)
    assert "".join(move.kind.letter for move in moves) == "UPCRVF"


@settings(max_examples=60)
@given(st.text(alphabet=st.sampled_from("aW.!?\n 。等İ{}=\\$'\")*0,\0\ud800"), max_size=80))
def test_any_text_is_labelled_without_gaps(text: str) -> None:
    thought = f"So this is the end of it and that is that. {text}"
    moves = labeller_at(shipped_path()).label(thought).moves
    assert [move.start for move in moves] == [0, *(move.end for move in moves[:-1])]
    assert moves[-1].end == len(thought)
    assert features(thought, sentences(thought)).dense.shape == (len(sentences(thought)), DENSE)


def test_a_thought_in_another_language_keeps_the_rules(shipped: Labeller) -> None:
    thought = "已知甲乙两地相距45公里。首先设时间为t。计算得t=1.5。等等，这不对吧。让我检查一下。答案是27。"
    assert shipped.label(thought) == (segment(thought), "rules")
    assert shipped.label("") == ([], "rules")


def test_the_rules_tell_backtracking_from_reflection_unless_the_classifier_knows_both() -> None:
    thought = "I made a mistake in the second step of this. The sum of the two numbers is that."
    assert segment(thought)[0].kind is MoveKind.BACKTRACK
    assert [move.kind.letter for move in always(MoveKind.REFLECT).label(thought).moves] == ["B", "R"]
    assert [move.kind.letter for move in always(MoveKind.COMPUTE).label(thought).moves] == ["C"]
    both = always(MoveKind.REFLECT, MoveKind.BACKTRACK)
    assert [move.kind.letter for move in both.label(thought).moves] == ["R"]


def test_features_count_words_of_their_own_sentence_alone() -> None:
    one, other = "The tank leaks slowly. Then it is empty.", "The tank leaks slowly. Nobody knows why."
    found = [features(text, sentences(text)) for text in (one, other)]
    for group in BUCKETS:
        first = [set(each.hashed[group].buckets[each.hashed[group].rows == 0]) for each in found]
        second = [set(each.hashed[group].buckets[each.hashed[group].rows == 1]) for each in found]
        assert first[0] == first[1]
        assert second[0] != second[1]


@pytest.mark.parametrize("unit", ["a", "a. ", "$", "So x = 3. ", "\n"])
def test_labelling_is_linear(unit: str) -> None:
    assert_linear(labeller_at(shipped_path()).label, unit, start="So this is the end of it and that is that. ")


def test_the_shipped_weights_are_small_and_belong_to_these_features(shipped: Labeller) -> None:
    assert shipped_path().stat().st_size < 2_000_000
    assert shipped.weights.about["features"] == str(FEATURES_VERSION)
    assert set(shipped.kinds) == set(MoveKind) - {MoveKind.BACKTRACK}
    assert shipped.name.startswith("shipped-2 ")


def test_a_damaged_classifier_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "moves.safetensors"
    for content in (None, b"no weights"):
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(LabError) as raised:
            labeller_at(path)
        assert raised.value.code == "moves_classifier"
        assert "o1lab moves train" in raised.value.hint


@pytest.mark.data
@pytest.mark.slow
def test_it_beats_the_rules_on_problems_that_it_never_saw(shared_data: Path) -> None:
    pytest.importorskip("sklearn", reason="training needs scikit-learn")
    from bench.moves import example, figures, left_out, load, pairs, tagged

    chains = [(row, example(row["thought"], tagged(row))) for row in load()]
    by_rules = figures([pair for row, one in chains for pair in pairs(row, [s.kind for s in one.sentences], one)])
    by_model = figures(left_out(chains))
    assert by_model[0] > by_rules[0] + 0.03
    assert by_model[1] > by_rules[1] + 0.03
