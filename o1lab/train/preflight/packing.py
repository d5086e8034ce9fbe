"""Whether the base keeps packed rows apart, measured on a small copy of its architecture. Imports torch."""

from __future__ import annotations

import copy
from typing import Any

import torch
from transformers import AutoModelForCausalLM
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

from o1lab.train.trainer.sft import packs_apart

_SMALL = {
    "vocab_size": 128, "hidden_size": 64, "intermediate_size": 64, "num_attention_heads": 4, "head_dim": 16,
    "num_key_value_heads": 2, "num_experts": 4, "num_local_experts": 4, "n_routed_experts": 4,
    "num_experts_per_tok": 2, "moe_intermediate_size": 64, "shared_expert_intermediate_size": 64,
}  # fmt: skip


def measured(config: Any) -> bool | None:
    """Return whether a model of this architecture keeps packed rows apart; None if no small copy of it can be made.

    The weights do not matter: whether a row sees the one before it follows from masks and positions. The worker asks
    the base itself before its first step.
    """
    try:
        with torch.random.fork_rng(devices=[]):
            model = AutoModelForCausalLM.from_config(_small(config), dtype=torch.float32)
        return packs_apart(model, DataCollatorForLanguageModeling(pad_token_id=0, padding_free=True))
    except Exception:  # an architecture that does not come in this size
        return None


def _small(config: Any) -> Any:
    """Return the configuration with few and narrow layers, at least one of each kind."""
    small = copy.deepcopy(config)
    text = small.get_text_config()
    for name, value in _SMALL.items():
        if isinstance(now := getattr(text, name, None), int):
            setattr(text, name, min(now, value))
    for name in ("bos_token_id", "eos_token_id", "pad_token_id"):
        setattr(text, name, None)
    kinds = list(dict.fromkeys(getattr(text, "layer_types", None) or ()))
    text.num_hidden_layers = max(len(kinds), 2)
    if kinds:
        text.layer_types = (kinds * 2)[: text.num_hidden_layers]
    return small
