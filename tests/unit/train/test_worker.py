"""Training for real, with a tiny model: the run directory it leaves, stopping, resuming, trouble."""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from o1lab.errors import RefusedError
from o1lab.jobs.heartbeat import Heartbeat
from o1lab.models.description import Description
from o1lab.train.adapter import find_checkpoint
from o1lab.train.recipes.probe import Probe
from o1lab.train.recipes.recipe_file import load
from o1lab.train.rows import TrainingRow
from o1lab.train.runs.directory import RunDir
from o1lab.train.runs.metrics_reader import Metrics, Samples
from tests.support.tiny_model import make_tiny_model
from tests.support.training_lab import prepared, recipe, rows

pytest.importorskip("trl", reason="the train extra is not installed")
pytestmark = pytest.mark.slow

CONTRACT = {
    "step", "epoch", "loss", "learning_rate", "grad_norm", "num_tokens", "mean_token_accuracy", "tokens_per_second",
    "elapsed_s",
}  # fmt: skip


@pytest.fixture
def base(tiny_base: Path) -> Path:
    return tiny_base


@pytest.fixture(autouse=True)
def _as_before(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Workers run in this process here: what they do to it is undone, and their queue is their own."""
    monkeypatch.setenv("O1LAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


def work(run: RunDir, *, resuming: bool = False) -> int:
    from o1lab.train import worker

    if resuming:
        run.stop_file.unlink(missing_ok=True)
    return worker.work(run, resuming=resuming)


def losses(run: RunDir) -> dict[int, float]:
    metrics = Metrics(run.metrics)
    metrics.poll()
    return {int(step): loss for step, loss in zip(metrics.steps, metrics.column("loss"), strict=True)}


def after_step(monkeypatch: pytest.MonkeyPatch, step: int, act: Callable[[], object]) -> None:
    """Let the trainer call ``act`` within the step that follows ``step``."""
    from trl import SFTTrainer

    honest = SFTTrainer.compute_loss

    def acting(self: Any, *args: Any, **kwargs: Any) -> Any:
        if self.state.global_step == step:
            act()
        return honest(self, *args, **kwargs)

    monkeypatch.setattr(SFTTrainer, "compute_loss", acting)


def test_a_run_leaves_what_the_contract_promises(base: Path, tmp_path: Path) -> None:
    chosen = recipe(
        base,
        eval_steps=4,
        save_steps=4,
        eval_rows=4,
        probes=[{"prompt": "What is 1 + 2?", "gold": "3"}, {"prompt": "Hi"}],
    )
    run = prepared(tmp_path, "r", chosen)
    assert work(run) == 0
    status = run.read_status()
    assert (status.state, status.step, status.total_steps) == ("finished", 8, 8)
    assert "Finished" in status.message
    lines = [json.loads(line) for line in run.metrics.read_text().splitlines()]
    logged = [line for line in lines if "loss" in line]
    assert [line["step"] for line in logged] == list(range(1, 9))
    assert all(set(line) >= CONTRACT for line in logged)
    assert [line["step"] for line in lines if "eval_loss" in line] == [4, 8]
    assert all(b["num_tokens"] > a["num_tokens"] for a, b in pairwise(logged))
    samples = Samples(run.samples)
    samples.poll()
    assert [(item["step"], item["index"]) for item in samples.items] == [(s, i) for s in (0, 4, 8) for i in (0, 1)]
    assert {item["index"]: item["correct"] for item in samples.items} == {0: False, 1: None}
    assert [path.name for path in run.checkpoints()] == ["step-4", "step-8"]
    for name in ("adapter_config.json", "adapter_model.safetensors", "trainer_state.json"):
        assert (run.checkpoint(8) / name).is_file()
    assert sorted(path.name for path in run.checkpoints_dir.iterdir()) == ["step-4", "step-8"]
    described = json.loads(run.dataset.read_text())
    assert described["rows"] == 24
    assert described["tokens"]["max"] > 0
    assert load(run.recipe) == chosen


def test_what_is_learned_is_the_thought_the_solution_and_the_end_of_turn(base: Path, tmp_path: Path) -> None:
    from o1lab.train.trainer import tensors, trainers

    learn = [TrainingRow("t", "What is 1 + 4?", "ones: 1 + 4 = 5", "The answer is 5.")]
    tokenizer = tensors.load_tokenizer(base, recipe(base))
    for phase, taught in ((2, "<think>\nones: 1 + 4 = 5\n</think>\n\nThe answer is 5."), (1, "The answer is 5.")):
        trainer, _ = trainers.build_trainer(
            tensors.stand_in(tokenizer), tokenizer, recipe(base, phase=phase), learn, tmp_path, cpu=True
        )
        row = trainer.train_dataset[0]
        batch = trainer.data_collator([{"input_ids": row["input_ids"], "labels": row["labels"]}])
        labels = batch["labels"][0].tolist()
        trained = tokenizer.decode([label for label in labels if label != tensors.IGNORED])
        assert trained == taught + "<|im_end|>\n"
        assert tokenizer.decode(row["input_ids"]).endswith("assistant\n" + trained)


def test_the_resumed_curve_is_the_uninterrupted_one(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = recipe(base, lora_dropout=0.2, grad_accumulation=2, probes=[{"prompt": "What is 2 + 2?"}], eval_steps=3)
    whole, broken = prepared(tmp_path, "whole", chosen), prepared(tmp_path, "broken", chosen)
    assert work(whole) == 0
    with monkeypatch.context() as patch:
        after_step(patch, 3, broken.ask_to_stop)
        assert work(broken) == 0
    status = broken.read_status()
    assert (status.state, status.step) == ("stopped", 4)
    assert broken.checkpoints()[-1].name == "step-4"
    assert work(broken, resuming=True) == 0
    assert broken.read_status().state == "finished"
    assert losses(broken) == losses(whole)
    tokens = [metrics_of(run).column("num_tokens")[-1] for run in (whole, broken)]
    assert tokens[0] == tokens[1]
    weights = [(run.checkpoint(8) / "adapter_model.safetensors").read_bytes() for run in (whole, broken)]
    assert weights[0] == weights[1]


def metrics_of(run: RunDir) -> Metrics:
    metrics = Metrics(run.metrics)
    metrics.poll()
    return metrics


def test_work_lost_with_a_killed_worker_is_done_again_the_same(base: Path, tmp_path: Path) -> None:
    """As after SIGKILL at step 6: the newest checkpoint is of step 4, later lines are there, the last one torn."""
    import shutil

    whole = prepared(tmp_path, "whole", recipe(base, lora_dropout=0.2, save_steps=4))
    assert work(whole) == 0
    killed = RunDir(whole.path.with_name("killed"))
    shutil.copytree(whole.path, killed.path)
    shutil.rmtree(killed.checkpoint(8))
    lines = killed.metrics.read_bytes().splitlines(keepends=True)
    killed.metrics.write_bytes(b"".join(lines[:6]) + lines[6][:25])
    assert work(killed, resuming=True) == 0
    assert losses(killed) == losses(whole)
    assert metrics_of(killed).bad_lines == 1


def test_a_run_continues_the_adapter_of_another_run(base: Path, tmp_path: Path) -> None:
    from o1lab.paths import Lab

    first = prepared(tmp_path, "first", recipe(base, phase=1, steps=6, learning_rate=0.02, lora_r=4))
    assert work(first) == 0
    assert find_checkpoint(Lab(tmp_path), "first").name == "step-6"
    second = prepared(tmp_path, "second", recipe(base, phase=1, steps=2, learning_rate=1e-6, init_from="first/step-6"))
    fresh = prepared(tmp_path, "fresh", recipe(base, phase=1, steps=2, learning_rate=1e-6))
    assert work(second) == 0
    assert work(fresh) == 0
    assert losses(second)[1] < losses(fresh)[1] - 0.05
    config = json.loads((second.checkpoint(2) / "adapter_config.json").read_text())
    assert config["r"] == 4


def test_a_run_continues_an_imported_adapter(base: Path, tmp_path: Path) -> None:
    first = prepared(tmp_path, "first", recipe(base, phase=1, steps=6, learning_rate=0.02, lora_r=4))
    assert work(first) == 0
    imported = tmp_path / "models" / "kims"
    shutil.copytree(first.checkpoint(6), imported)
    Description("import", base=str(base)).write(imported)
    chosen = recipe(base, phase=1, steps=2, learning_rate=1e-6, lora_r=4, init_from="models/kims")
    second = prepared(tmp_path, "second", chosen)
    assert work(second) == 0
    assert losses(second)[1] < losses(first)[1] - 0.05


def test_an_adapter_of_another_base_is_refused(base: Path, tmp_path: Path) -> None:
    first = prepared(tmp_path, "first", recipe(base, steps=1))
    assert work(first) == 0
    wider = make_tiny_model(tmp_path / "wider", hidden=64)
    second = prepared(tmp_path, "second", recipe(wider, init_from="first/step-1"))
    assert work(second) == 1
    assert "was trained on" in second.read_status().message


def test_a_loss_that_is_not_finite_stops_the_run_and_saves_nothing(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trl import SFTTrainer

    honest = SFTTrainer.compute_loss

    def poisoned(self: Any, *args: Any, **kwargs: Any) -> Any:
        loss = honest(self, *args, **kwargs)
        return loss * math.nan if self.state.global_step == 4 else loss

    monkeypatch.setattr(SFTTrainer, "compute_loss", poisoned)
    run = prepared(tmp_path, "r", recipe(base, save_steps=1))
    assert work(run) == 1
    status = run.read_status()
    assert status.state == "failed"
    assert "nan at step 5" in status.message
    assert status.warnings == ("The loss became nan at step 5.",)
    assert "step-4" in status.hint
    assert run.checkpoints()[-1].name == "step-4"
    last = json.loads(run.metrics.read_text().splitlines()[-1])
    assert (last["step"], last["loss"], last["alert"]) == (5, None, "nan")


def test_gradients_that_are_no_numbers_are_found_before_they_are_saved(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loss of that step is still finite: only its gradient tells that the weights are lost."""
    from trl import SFTTrainer

    from o1lab.train import worker

    honest = SFTTrainer.compute_loss

    def poisoned(self: Any, *args: Any, **kwargs: Any) -> Any:
        loss = honest(self, *args, **kwargs)
        if self.state.global_step == 2:
            loss.register_hook(lambda gradient: gradient * math.nan)
        return loss

    ended: list[BaseException] = []
    explain = worker.explain
    monkeypatch.setattr(worker, "explain", lambda error, run: ended.append(error) or explain(error, run))
    monkeypatch.setattr(SFTTrainer, "compute_loss", poisoned)
    run = prepared(tmp_path, "r", recipe(base, save_steps=1, logging_steps=4))
    assert work(run) == 1
    assert [error.code for error in ended if isinstance(error, RefusedError)] == ["nan_loss"]
    assert "gradient became nan at step 3" in run.read_status().message
    assert [path.name for path in run.checkpoints()] == ["step-1", "step-2"]


def test_probes_that_fail_are_a_warning_and_the_run_finishes(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from o1lab.train.trainer.probes import Prober

    honest = Prober.ask

    def failing(self: Any, model: Any, step: int, progress: Any) -> Any:
        if step:
            raise RuntimeError("CUDA out of memory")
        return honest(self, model, step, progress)

    monkeypatch.setattr(Prober, "ask", failing)
    cut = TrainingRow("cut", "What is 2 + 2?", "twos: 2 + 2", "", cut_off="thought")
    chosen = recipe(base, steps=2, probes=[Probe(prompt="What is 1 + 4?", gold="5")], accept=["cut_off"])
    run = prepared(tmp_path, "r", chosen, [*rows(7), cut])
    assert work(run) == 0
    status = run.read_status()
    assert (status.state, json.loads(run.samples.read_text().splitlines()[0])["step"]) == ("finished", 0)
    assert status.warnings == (
        "1 row was cut off before the end.",
        "The probes could not be asked at step 2: RuntimeError: CUDA out of memory.",
    )


@pytest.mark.filterwarnings("error:.gradient_checkpointing. is deprecated:FutureWarning")
@pytest.mark.parametrize("chosen", [False, True])
def test_layers_are_computed_again_only_with_gradient_checkpointing(
    chosen: bool, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from o1lab.train.trainer import trainers

    made: list[Any] = []
    honest = trainers.build_trainer

    def kept(*args: Any, **more: Any) -> Any:
        made.append(honest(*args, **more))
        return made[-1]

    monkeypatch.setattr(trainers, "build_trainer", kept)
    assert work(prepared(tmp_path, "r", recipe(base, steps=1, gradient_checkpointing=chosen))) == 0
    modules = made[0][0].model.modules()
    flags = [flag for module in modules for name, flag in vars(module).items() if name.endswith("_checkpointing")]
    assert any(flags) == chosen and flags


def test_two_workers_never_share_a_run(base: Path, tmp_path: Path) -> None:
    run = prepared(tmp_path, "r", recipe(base, steps=1))
    before = run.read_status()
    with run.exclusive_lock() as ours:
        assert ours
        assert work(run) == 1
        assert run.read_status() == before
        assert not run.metrics.read_bytes()
    assert work(run) == 0


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"), "out of memory"),
        (OSError(28, "No space left on device"), "disk is full"),
        (ValueError("what\nnow"), "ValueError: what"),
    ],
)
def test_trouble_is_one_clear_sentence(
    base: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    *,
    error: Exception,
    said: str,
) -> None:
    from trl import SFTTrainer

    def fail(*_: Any, **__: Any) -> Any:
        raise error

    monkeypatch.setattr(SFTTrainer, "training_step", fail)
    run = prepared(tmp_path, "r", recipe(base))
    assert work(run) == 1
    status = run.read_status()
    assert status.state == "failed"
    assert said in status.message
    assert status.hint
    assert "Traceback" not in status.message
    assert "Traceback" in capfd.readouterr().err


def test_rows_over_length_are_refused_dropped_or_cut_as_the_recipe_says(base: Path, tmp_path: Path) -> None:
    from o1lab.train.trainer import tensors, trainers

    long = TrainingRow("long", "What is 1 + 1?", "ones: " * 100, "The answer is 2.")
    learn = [*rows(6), long]
    tokenizer = tensors.load_tokenizer(base, recipe(base))

    def build(policy: str) -> tuple[Any, Any]:
        chosen = recipe(base, over_length=policy, max_length=80)
        return trainers.build_trainer(tensors.stand_in(tokenizer), tokenizer, chosen, learn, tmp_path, cpu=True)

    trainer, found = build("refuse")
    with pytest.raises(RefusedError, match="1 of 7 rows are longer than max_length 80"):
        tensors.refuse_over_length(found, recipe(base, max_length=80))
    trainer, found = build("drop")
    assert (len(trainer.train_dataset), found.over, found.dropped, found.truncated) == (6, 1, 1, 0)
    trainer, found = build("truncate")
    assert (len(trainer.train_dataset), found.dropped, found.truncated) == (7, 0, 1)
    assert max(len(ids) for ids in trainer.train_dataset["input_ids"]) == 80

    run = prepared(tmp_path, "r", recipe(base, max_length=80), learn)
    assert work(run) == 1
    assert "longer than max_length" in run.read_status().message


def test_being_asked_to_stop_while_waiting_for_the_device(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from o1lab.jobs import device_queue as devices

    monkeypatch.setattr(devices, "POLL_S", 0.01)
    run = prepared(tmp_path, "r", recipe(base))
    with devices.acquire_first([devices.Device("cpu")]):
        done = threading.Event()

        def stop_when_queued() -> None:
            while "another run" not in run.read_status().message:
                done.wait(0.01)
            run.ask_to_stop()

        thread = threading.Thread(target=stop_when_queued, daemon=True)
        thread.start()
        assert work(run) == 0
        thread.join(30)
    assert run.read_status().state == "stopped"
    assert not run.metrics.read_bytes()


def test_a_run_takes_a_gpu_that_no_other_run_uses(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from o1lab.jobs import device_queue as devices

    monkeypatch.setattr(devices, "visible_gpus", lambda: ["4", "6"])  # pretend: torch has no GPU here
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,6")
    run = prepared(tmp_path, "r", recipe(base, device="auto", steps=1))
    with devices.acquire_first([devices.Device("cuda:0", "4")]):
        assert work(run) == 0
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "6"
    assert run.read_status().warnings == ("torch cannot use cuda:1: the run trains on the CPU.",)


def test_a_signal_is_a_request_to_stop(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = prepared(tmp_path, "r", recipe(base))
    after_step(monkeypatch, 1, lambda: signal.raise_signal(signal.SIGTERM))
    assert work(run) == 0
    status = run.read_status()
    assert (status.state, status.step) == ("stopped", 2)
    assert run.checkpoint(2).is_dir()


def test_a_spike_is_called_out_and_noise_is_not() -> None:
    from o1lab.train.trainer.callbacks import spike

    steady = deque([1.0, 1.1, 0.9, 1.05, 0.95] * 4, maxlen=30)
    assert spike(1.2, steady) is None
    assert spike(3.0, steady) == pytest.approx(1.0)
    assert spike(3.0, deque([1.0] * 3)) is None
    assert spike(0.011, deque([0.010] * 20)) is None


def test_old_checkpoints_are_deleted_as_the_recipe_says(base: Path, tmp_path: Path) -> None:
    run = prepared(tmp_path, "r", recipe(base, save_steps=2, keep_checkpoints=2))
    assert work(run) == 0
    assert [path.name for path in run.checkpoints()] == ["step-6", "step-8"]


def test_asking_the_probes_changes_nothing_about_the_training(base: Path, tmp_path: Path) -> None:
    quiet = prepared(tmp_path, "quiet", recipe(base, lora_dropout=0.2, steps=4))
    asked = prepared(
        tmp_path, "asked", recipe(base, lora_dropout=0.2, steps=4, eval_steps=1, probes=[{"prompt": "What is 2 + 2?"}])
    )
    assert work(quiet) == work(asked) == 0
    assert losses(quiet) == losses(asked)


def test_the_status_has_the_number_of_answered_probes(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    update = Heartbeat.update

    def note(self: Any, **changes: Any) -> None:
        update(self, **changes)
        said.append(self.status.message)

    monkeypatch.setattr(Heartbeat, "update", note)
    questions = [{"prompt": f"What is {n} + 2?"} for n in range(9)]
    assert work(prepared(tmp_path, "asked", recipe(base, steps=1, probes=questions))) == 0
    assert {"Asking probes 0/9.", "Asking probes 8/9.", "Asking probes 9/9."} <= set(said)
    assert "Asking" not in said[-1]
