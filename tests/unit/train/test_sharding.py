"""What several processes share, as options of transformers; FSDP2 itself needs GPUs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl", reason="the train extra is not installed")

import torch
from accelerate.data_loader import BatchSamplerShard, DataLoaderShard, SeedableRandomSampler, skip_first_batches
from datasets import Dataset
from torch.utils.data import BatchSampler, Sampler
from trl import SFTTrainer

from o1lab.train.recipes.recipe_file import resolve
from o1lab.train.trainer.held_out import IGNORED, over_processes, shared_evenly
from o1lab.train.trainer.sft import LengthSampler, Trainer, sharding


def test_one_process_shares_nothing() -> None:
    assert sharding(resolve({"dataset": "d", "strategy": "fsdp2"}), cpu=False) == {}


def test_fsdp2_shards_layers_and_saves_whole_adapters(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from accelerate.utils import FullyShardedDataParallelPlugin
    from trl import SFTConfig

    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    recipe = resolve({"dataset": "d", "processes": 2, "strategy": "fsdp2", "gradient_checkpointing": True})
    assert sharding(resolve({"dataset": "d", "processes": 2}), cpu=True) == {"ddp_backend": "gloo"}
    assert sharding(resolve({"dataset": "d", "processes": 2}), cpu=False) == {}
    options = sharding(recipe, cpu=False)
    monkeypatch.undo()
    monkeypatch.setenv("ACCELERATE_USE_CPU", "1")
    settings = SFTConfig(output_dir=str(tmp_path), **options, bf16=False)
    plugin = FullyShardedDataParallelPlugin(**settings.fsdp_plugin_args)
    assert plugin.fsdp_version == 2
    assert "FULL_STATE_DICT" in str(plugin.state_dict_type)
    assert plugin.activation_checkpointing
    assert not getattr(settings, "activation_checkpointing", False)


@pytest.mark.parametrize(
    "sampler", [lambda: LengthSampler([5 + n % 7 for n in range(32)], 8, 1), lambda: SeedableRandomSampler(range(32))]
)
def test_a_resume_within_a_later_epoch_has_its_order(
    monkeypatch: pytest.MonkeyPatch, sampler: Callable[[], Sampler[int]]
) -> None:
    def loader(_: Any) -> DataLoaderShard:
        shard = BatchSamplerShard(BatchSampler(sampler(), 4, drop_last=False), 2, 0)
        return DataLoaderShard(range(32), batch_sampler=shard, collate_fn=list)

    monkeypatch.setattr(SFTTrainer, "get_train_dataloader", loader)
    trainer = object.__new__(Trainer)
    whole, resumed = trainer.get_train_dataloader(), skip_first_batches(trainer.get_train_dataloader(), 1)
    whole.set_epoch(0)
    first = list(whole)
    whole.set_epoch(1)
    resumed.set_epoch(1)
    second = list(whole)
    assert second != first
    assert list(resumed) == second[1:]


def test_held_out_rows_are_filled_up_with_rows_that_do_not_count() -> None:
    rows = Dataset.from_list([{"input_ids": [n, n], "labels": [IGNORED, n]} for n in range(5)])
    shared = shared_evenly(rows, 2, 4)
    assert len(shared) == 8
    assert shared["labels"][:5] == rows["labels"][:]
    assert all(label == IGNORED for row in shared["labels"][5:] for label in row)
    assert len(shared_evenly(rows, 1, 4)) == 5
    assert len(shared_evenly(rows, 5, 1)) == 5


def test_a_batch_counts_by_its_tokens_in_all_processes() -> None:
    class Two:
        num_processes, device = 2, "cpu"

        def reduce(self, mine: Any, how: str) -> Any:
            assert how == "sum"
            return mine + torch.tensor([[6.0, 0.0], [2.0, 0.0]], dtype=torch.float64)

    assert over_processes(Two(), [1.0, 0.0], [2, 0]) == ([2.0, 0.0], [4, 0])
