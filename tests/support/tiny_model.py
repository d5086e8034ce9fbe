"""Real but tiny models for tests: two layers with random weights, a trained tokenizer, a chat template."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

_WORDS = [
    "What is 12 + 34? The answer is 46. ones: 2 + 4 = 6, write 6. tens: 1 + 3 = 4, write 4.",
    "<think> check: 46 - 34 = 12, so it holds. Wait, let me see that again. </think>",
    "system user assistant You are a helpful assistant. 0123456789 abcdefghijklmnopqrstuvwxyz",
]
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


FAMILIES = ("llama", "mixtral", "qwen2_moe", "gpt_oss", "gpt2", "phi3", "qwen3_next")


def make_tiny_model(
    folder: Path, *, family: str = "llama", seed: int = 0, hidden: int = 32, template: str = TEMPLATE, **values: Any
) -> Path:
    """Write config.json, model.safetensors and the tokenizer's files into ``folder``; returns it.

    Args:
        folder: the folder, which may exist.
        family: the architecture, one of ``FAMILIES``.
        seed: the seed of the weights.
        hidden: the hidden size.
        template: the chat template.
        values: further values of the model's configuration.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    folder.mkdir(parents=True, exist_ok=True)
    size = _write_tokenizer(folder, template)
    config = AutoConfig.for_model(family, **(_shape(family, hidden) | {"vocab_size": size} | _ENDS | values))
    with torch.random.fork_rng(devices=[]):  # tests hide the GPUs after torch has seen them
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    model.save_pretrained(folder)
    return folder


_ENDS = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}


def _shape(family: str, hidden: int) -> dict[str, Any]:
    if family == "gpt2":
        return {"n_embd": hidden, "n_layer": 2, "n_head": 4, "n_positions": 512}
    shape: dict[str, Any] = {
        "hidden_size": hidden,
        "intermediate_size": 2 * hidden,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
        "tie_word_embeddings": family == "llama",
    }
    if family in ("mixtral", "gpt_oss"):
        shape |= {"num_local_experts": 4, "num_experts_per_tok": 2, "head_dim": hidden // 4}
    if family in ("qwen2_moe", "qwen3_next"):
        shape |= {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": hidden}
        shape |= {"shared_expert_intermediate_size": hidden, "decoder_sparse_step": 1}
    if family == "qwen3_next":
        shape |= {"head_dim": hidden // 4, "linear_num_value_heads": 2, "linear_num_key_heads": 2}
        shape |= {"linear_key_head_dim": 8, "linear_value_head_dim": 8}
        shape |= {"layer_types": ["linear_attention", "full_attention"]}
    return shape


def _write_tokenizer(folder: Path, template: str) -> int:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=384,
        special_tokens=["<|pad|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_WORDS, trainer)
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<|im_start|>",
        "eos_token": "<|im_end|>",
        "pad_token": "<|pad|>",
        "model_max_length": 512,
        "clean_up_tokenization_spaces": False,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), "utf-8")
    (folder / "chat_template.jinja").write_text(template, "utf-8")
    return int(tokenizer.get_vocab_size())
