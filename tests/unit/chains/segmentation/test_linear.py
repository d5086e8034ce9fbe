"""Linear classifiers: scores, files, and the way from training to weights."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from o1lab.chains.segmentation.linear import Grams, Weights, in_order, matrix, normed, read, split, write

BUCKETS = {"a": 4, "b": 2}
ABOUT = {"features": "3", "kinds": "x y"}


def weights() -> Weights:
    rng = np.random.default_rng(0)
    hashed = {name: rng.normal(size=(size, 2)).astype(np.float16) for name, size in BUCKETS.items()}
    return Weights(np.array([0.5, -0.5], np.float32), rng.normal(size=(3, 2)).astype(np.float32), hashed, ABOUT)


def grams() -> dict[str, Grams]:
    return {
        "a": normed(np.array([0, 0, 0, 1]), np.array([1, 5, 2, 7]), 4),
        "b": normed(np.array([1]), np.array([2]), 2),
    }


def test_a_bucket_counts_once_for_a_text_and_values_have_the_norm_1() -> None:
    found = grams()["a"]
    assert found.rows.tolist() == [0, 0, 1]
    assert found.buckets.tolist() == [1, 2, 3]
    assert found.values.tolist() == pytest.approx([2**-0.5, 2**-0.5, 1.0])
    assert len(normed(np.zeros(0, np.int64), np.zeros(0, np.int64), 4).rows) == 0


def test_texts_that_were_hashed_one_by_one_keep_their_order() -> None:
    found = in_order([[(3, 0.5), (1, 0.25)], [], [(0, 1.0)]])
    assert (found.rows.tolist(), found.buckets.tolist()) == ([0, 0, 2], [3, 1, 0])
    assert found.values.tolist() == [0.5, 0.25, 1.0]


def test_scores_are_sums_of_weights_and_survive_a_file(tmp_path: Path) -> None:
    one, dense = weights(), [[1.0, 0.0, 2.0], [0.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
    write(tmp_path / "w.safetensors", one)
    again = read(tmp_path / "w.safetensors", features=3, dense=3, buckets=BUCKETS)
    found = again.scores(dense, grams())
    by_hand = one.bias + one.dense[0] + 2 * one.dense[2] + 2**-0.5 * (one.hashed["a"][1] + one.hashed["a"][2])
    assert found[0] == pytest.approx(by_hand, abs=1e-3)  # float16
    assert found[2] == pytest.approx(one.bias + one.dense[1], abs=1e-6)
    assert again.about == ABOUT


@pytest.mark.skipif(find_spec("scipy") is None, reason="the matrix for training is scipy's")
def test_training_and_inference_see_the_same_features() -> None:
    one, dense = weights(), [[1.0, 0.0, 2.0], [0.0, 3.0, 0.0]]
    found = matrix(dense, grams(), BUCKETS)
    coefficients = np.concatenate([one.dense, *(one.hashed[name].astype(np.float32) for name in BUCKETS)]).T
    assert found @ coefficients.T + one.bias == pytest.approx(one.scores(dense, grams()), abs=1e-5)
    again = split(coefficients, one.bias, 3, BUCKETS, ABOUT)
    assert again.scores(dense, grams()) == pytest.approx(one.scores(dense, grams()), abs=1e-5)


def test_weights_of_other_features_and_damaged_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    write(path, weights())
    with pytest.raises(ValueError, match="features 3, not 4; train it again"):
        read(path, features=4, dense=3, buckets=BUCKETS)
    with pytest.raises(ValueError, match="other features"):
        read(path, features=3, dense=5, buckets=BUCKETS)
    with pytest.raises(ValueError, match="other features"):
        read(path, features=3, dense=3, buckets={"a": 8, "b": 2})
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(ValueError, match="holds no weights"):
        read(path, features=3, dense=3, buckets=BUCKETS)
