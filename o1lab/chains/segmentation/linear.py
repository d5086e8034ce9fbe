"""Linear classifiers of texts: hashed n-grams, weights in safetensors, inference in numpy.

A classifier has dense features and groups of hashed ones. The weights of hashed features are stored as float16, those
of dense ones as float32. A file says in its metadata which version of the features it was trained with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Grams(NamedTuple):
    """The hashed features of a group, of several texts: entry i belongs to text ``rows[i]``, in ascending order.

    Attributes:
        rows: the number of the text, from 0.
        buckets: the bucket of the n-gram.
        values: its value.
    """

    rows: NDArray[np.int64]
    buckets: NDArray[np.int64]
    values: NDArray[np.float32]


def normed(rows: NDArray[np.int64], hashes: NDArray[np.int64], buckets: int) -> Grams:
    """Return n-grams as features: each bucket once for each text, with values of the Euclidean norm 1 for each text.

    Args:
        rows: the text of each n-gram.
        hashes: the hash of each n-gram, not negative.
        buckets: number of buckets.
    """
    import numpy as np

    found = np.sort(rows * buckets + hashes % buckets)  # np.unique took four times as long
    found = found[np.diff(found, prepend=-1) != 0]
    rows = found // buckets
    counts = np.bincount(rows) if len(rows) else np.zeros(1)
    return Grams(rows, found % buckets, (counts[rows] ** -0.5).astype(np.float32))


@dataclass(frozen=True, slots=True)
class Weights:
    """The weights of a classifier.

    Attributes:
        bias: one for each class; a classifier of two classes may have one, for the second.
        dense: (features, classes).
        hashed: (buckets, classes) of each group that it was trained with.
        about: the metadata of the file.
    """

    bias: NDArray[np.float32]
    dense: NDArray[np.float32]
    hashed: Mapping[str, NDArray[np.float16]]
    about: Mapping[str, str]

    def scores(self, dense: Any, hashed: Mapping[str, Grams]) -> NDArray[np.float64]:
        """Return the scores of texts, (texts, classes).

        Args:
            dense: the dense features, (texts, features).
            hashed: the hashed features, by group; groups without weights are ignored.
        """
        import numpy as np

        found = np.asarray(dense, np.float64) @ self.dense + self.bias
        for group, weights in self.hashed.items():
            rows, buckets, values = hashed[group]
            if len(rows):
                begins = np.flatnonzero(np.diff(rows, prepend=-1))
                found[rows[begins]] += np.add.reduceat(weights[buckets] * values[:, None], begins, axis=0)
        return found


def read(path: Path, *, features: int, dense: int, buckets: Mapping[str, int]) -> Weights:
    """Read the weights of a classifier.

    Args:
        path: a safetensors file.
        features: version of the features.
        dense: number of dense features.
        buckets: number of buckets of each group.

    Raises:
        ValueError: it is damaged, or was trained with other features.
        OSError: it cannot be read.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "np") as file:
            about = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is not a dictionary
    except SafetensorError as error:
        raise ValueError(f"{path} holds no weights: {error}") from error
    if about.get("features") != str(features):
        known = about.get("features")
        raise ValueError(f"{path} was trained with features {known}, not {features}; train it again")
    classes = tensors["bias"].size if "bias" in tensors else 0
    shaped = {name: one.reshape(len(one), -1) for name, one in tensors.items() if name != "bias"}
    expected = {"dense": (dense, classes), **{name: (size, classes) for name, size in buckets.items()}}
    if not classes or "dense" not in shaped or any(one.shape != expected.get(name) for name, one in shaped.items()):
        raise ValueError(f"{path} has weights of other features; train it again")
    hashed = {name: shaped[name] for name in buckets if name in shaped}
    return Weights(tensors["bias"].reshape(-1), shaped["dense"], hashed, about)


def write(path: Path, weights: Weights) -> None:
    """Write weights to a safetensors file."""
    import numpy as np
    from safetensors.numpy import save_file

    tensors = {"bias": weights.bias.astype(np.float32), "dense": weights.dense.astype(np.float32)}
    tensors |= {name: one.astype(np.float16) for name, one in weights.hashed.items()}
    save_file({name: np.ascontiguousarray(one) for name, one in tensors.items()}, path, dict(weights.about))


def matrix(dense: Any, hashed: Mapping[str, Grams], buckets: Mapping[str, int]) -> Any:
    """Return the features of texts as a sparse matrix for training: the dense ones, then each group in order."""
    import numpy as np
    from scipy import sparse

    dense = np.asarray(dense, np.float64)
    parts = [sparse.csr_matrix(dense)]
    for group, size in buckets.items():
        rows, found, values = hashed[group]
        parts.append(sparse.csr_matrix((values, (rows, found)), shape=(len(dense), size)))
    return sparse.hstack(parts).tocsr()


def split(coefficients: Any, bias: Any, dense: int, buckets: Mapping[str, int], about: Mapping[str, str]) -> Weights:
    """Return the weights of a model that was trained on :func:`matrix`.

    Args:
        coefficients: (classes, features).
        bias: one for each class.
        dense: number of dense features.
        buckets: number of buckets of each group.
        about: the metadata.
    """
    found, at = {}, dense
    for group, size in buckets.items():
        found[group] = coefficients[:, at : at + size].T
        at += size
    return Weights(bias, coefficients[:, :dense].T, found, about)


def in_order(texts: Sequence[Sequence[tuple[int, float]]]) -> Grams:
    """Return the features of texts that were hashed one by one, as (bucket, value)."""
    import numpy as np

    pairs = [pair for one in texts for pair in one]
    rows = np.repeat(np.arange(len(texts)), [len(one) for one in texts])
    found = np.array([bucket for bucket, _ in pairs], np.int64)
    return Grams(rows, found, np.array([value for _, value in pairs], np.float32))
