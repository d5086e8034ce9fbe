"""What a step keeps for its backward pass, counted on the base without weights. Imports torch.

The forward pass runs on the meta device, where tensors have shapes but no memory, and every tensor that autograd saves
is counted once. So adapters of all kinds, grouped attention, casts between formats and modules that are trained in full
need no separate formula. Attention itself is counted as the fused kernels compute it: they keep queries, keys,
values, the output and one number for each head and token, not the matrix.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.autograd.graph import saved_tensors_hooks
from transformers import masking_utils


class _Attention(torch.autograd.Function):  # type: ignore[misc]  # torch is not typed for us
    """Attention by its shapes alone."""

    @staticmethod
    def forward(ctx: Any, query: Any, key: Any, value: Any) -> Any:
        rows, heads, tokens, _ = query.shape
        out = query.new_empty((rows, tokens, heads, value.shape[-1])).transpose(1, 2)  # as the kernels lay it out
        ctx.save_for_backward(query, key, value, out, query.new_empty(query.shape[:-1], dtype=torch.float32))
        return out

    @staticmethod
    def backward(ctx: Any, *_: Any) -> Any:
        raise NotImplementedError


@contextmanager
def _autocast(kind: torch.dtype | None) -> Iterator[None]:
    """Let linear layers compute in ``kind`` as autocast does on a GPU, which does not work on the meta device."""
    functional = torch.nn.functional
    before: Callable[..., Any] = functional.linear

    def linear(inputs: Any, weight: Any, bias: Any = None) -> Any:
        return before(inputs.to(kind), weight.to(kind), None if bias is None else bias.to(kind))

    if kind is not None:
        functional.linear = linear
    try:
        yield
    finally:
        functional.linear = before


@contextmanager
def _fused_attention() -> Iterator[None]:
    def attention(query: Any, key: Any, value: Any, *_: Any, **__: Any) -> Any:
        return _Attention.apply(query, key, value)

    functional = torch.nn.functional
    before: Callable[..., Any] = functional.scaled_dot_product_attention
    find = masking_utils.find_packed_sequence_indices
    functional.scaled_dot_product_attention = attention
    masking_utils.find_packed_sequence_indices = lambda *_: None  # it reads the positions
    try:
        yield
    finally:
        functional.scaled_dot_product_attention = before
        masking_utils.find_packed_sequence_indices = find


def saved_bytes(model: Any, *, rows: int, tokens: int, autocast: torch.dtype | None = None) -> int | None:
    """Return the bytes that the layers save for the backward pass of a batch, without the output head.

    Args:
        model: the student without weights (the meta device), in the number formats of the run.
        rows: rows of the batch.
        tokens: tokens of each row.
        autocast: the format in which autocast computes linear layers; None without autocast.

    Returns:
        The bytes, or None if the model cannot run without weights, as some mixtures of experts.
    """
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    layers = getattr(base, base.base_model_prefix)
    own = {one.untyped_storage()._cdata for one in (*model.parameters(), *model.buffers())}
    kept: dict[int, Any] = {}

    def keep(tensor: Any) -> Any:
        storage = tensor.untyped_storage()
        if storage._cdata not in own:
            kept[storage._cdata] = storage  # held, so that no other storage gets its address
        return tensor

    was_training = model.training
    try:
        with _autocast(autocast), _fused_attention(), saved_tensors_hooks(keep, lambda tensor: tensor):
            layers.train()
            ids = torch.zeros((rows, tokens), dtype=torch.long, device="meta")
            hidden = layers(input_ids=ids, use_cache=False).last_hidden_state
    except Exception:  # it reads values, which do not exist here
        return None
    finally:
        model.train(was_training)
    kept[hidden.untyped_storage()._cdata] = hidden.untyped_storage()  # the head reads it
    return int(sum(storage.nbytes() for storage in kept.values()))
