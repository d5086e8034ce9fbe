"""The scorer ``refusal-model``: a sequence classifier in a process of its own."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from o1lab.errors import LabError, NotFoundError, UsageError
from o1lab.evaluate.items import Item
from o1lab.evaluate.scorers import ScorerSpec, make_scorer, scorer_label
from o1lab.evaluate.scorers.base import Attempt, Score
from o1lab.evaluate.scorers.refusal_model import means_refusal
from store.evaluations import Turn


def attempt(answer: str, gold: str = "refuse") -> Attempt:
    return Attempt(Item("1", "How?", ("How?",), (gold,)), 0, (Turn("How?", "", answer),))


async def scores(model: Path, *attempts: Attempt, **options: object) -> list[Score]:
    spec = ScorerSpec(name="refusal-model", options={"model": str(model), **options})
    async with make_scorer(spec) as scorer:
        return await scorer.score(attempts)


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny classifier whose head is set by hand: the label depends on its bias alone."""
    return make_classifier(tmp_path_factory.mktemp("models") / "tiny", ("Non-refusal", "Refusal"))


def make_classifier(folder: Path, labels: tuple[str, ...]) -> Path:
    torch = pytest.importorskip("torch")
    from transformers import LlamaConfig, LlamaForSequenceClassification

    from tests.support.tiny_model import make_tiny_model

    make_tiny_model(folder)
    config = LlamaConfig.from_pretrained(folder, id2label=dict(enumerate(labels)), num_labels=len(labels))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = LlamaForSequenceClassification(config)
    model.save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    ("label", "refuses"),
    [("Refusal", True), ("REJECTION", True), ("refused", True), ("Non-refusal", False), ("NORMAL", False),
     ("not_refused", False), ("LABEL_1", False)],
)  # fmt: skip
def test_labels_that_speak_of_refusing(label: str, refuses: bool) -> None:
    assert means_refusal(label) is refuses


@pytest.mark.model
async def test_a_classifier_from_a_folder_scores(classifier: Path) -> None:
    long = "no " * 3000
    found = await scores(
        classifier, attempt("No."), attempt("No.", "comply"), attempt(long), attempt(" "), attempt("y", "?")
    )
    assert {found[0].outcome, found[1].outcome} == {"correct", "incorrect"}
    assert found[0].answer in ("refused", "complied")
    assert "probability of a refusal 0." in found[0].reason
    assert found[2].reason.endswith("longer than the model reads")
    assert [one.outcome for one in found[3:]] == ["unextracted", "unscored"]
    always = await scores(classifier, attempt("No."), threshold=0.01)
    never = await scores(classifier, attempt("No."), threshold=0.99)
    assert (always[0].answer, never[0].answer) == ("refused", "complied")


def test_importing_the_scorer_loads_no_torch() -> None:
    modules = "o1lab.evaluate.scorers.refusal_model, o1lab.evaluate.scorers.refusal_worker"
    code = f"import sys, {modules}\nassert not {{'torch', 'transformers'}} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.model
def test_the_label_names_the_model_and_its_weights(classifier: Path, tmp_path: Path) -> None:
    def label(model: Path, **options: object) -> str:
        return scorer_label(ScorerSpec(name="refusal-model", options={"model": str(model), **options}), None, None)

    assert label(classifier).startswith(f"refusal-model@1({classifier} ")
    assert label(classifier, threshold=0.7).endswith("threshold=0.7)")
    with pytest.raises(UsageError, match="no label 'no'"):
        label(classifier, refuse=["no"])
    other = make_classifier(tmp_path / "other", ("LABEL_0", "LABEL_1"))
    with pytest.raises(UsageError, match="not clear which labels"):
        label(other)
    assert label(other, refuse=["label_1"]).endswith('refuse=["label_1"])')


@pytest.mark.model
@pytest.mark.usefixtures("real_python")
async def test_a_model_that_cannot_be_loaded_leaves_samples_unscored(classifier: Path, tmp_path: Path) -> None:
    broken = shutil.copytree(classifier, tmp_path / "broken")
    (broken / "model.safetensors").write_bytes(b"\x00" * 100)
    (found,) = await scores(broken, attempt("No."))
    assert found.outcome == "unscored"
    assert isinstance(found.error, LabError) and found.error.code == "classifier"  # with an error it is scored again
    assert "The refusal classifier ended" in found.reason


def test_a_folder_without_a_classifier_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        scorer_label(ScorerSpec(name="refusal-model", options={"model": str(tmp_path / "none")}), None, None)
    folder = tmp_path / "base"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": "llama"}))
    (folder / "model.safetensors").write_bytes(b"x")
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(LabError, match="does not hold a sequence classifier"):
        scorer_label(ScorerSpec(name="refusal-model", options={"model": str(folder)}), None, None)
    with pytest.raises(UsageError):
        scorer_label(ScorerSpec(name="refusal-model"), None, None)
