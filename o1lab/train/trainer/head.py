"""The output head of supervised training on a CPU: log-probabilities of the learned tokens. Imports torch.

TRL's head computes the logits in tiles, so that they never are in memory at once. On a GPU a kernel of Triton does that
well. Without Triton it computes the logits of all positions, learned or not, and a second time for the gradient. The
head here passes over the learned positions alone, and once: it computes the gradient with the logits, as Liger's fused
cross entropy does (https://arxiv.org/abs/2410.10989). `bench/training.py` measures what that saves.
"""

from __future__ import annotations

import functools
import types
from typing import Any

import torch
from trl.trainer.utils import FusedCausalLMOutput

from o1lab.train.trainer.held_out import IGNORED

TILE = 256
"""Tokens whose logits are in memory at once."""
_SCALES = ("final_logit_softcapping", "logit_scale", "output_multiplier", "lm_head_multiplier", "logits_scaling")
"""Settings of a model that change its logits after the projection."""


class LearnedLogProbs(torch.autograd.Function):  # type: ignore[misc]  # torch is not typed for us
    """Log-probability, entropy and correctness of tokens, from the hidden states before the output head.

    Only the log-probability has a gradient, and only the hidden states get it.
    """

    @staticmethod
    def forward(ctx: Any, hidden: Any, weight: Any, bias: Any, targets: Any) -> tuple[Any, Any, Any]:
        """Compute the figures of each token, and the gradient of its log-probability.

        Args:
            ctx: keeps the gradient for the backward pass.
            hidden: the hidden states (tokens, size).
            weight: the weights of the head (vocabulary, size).
            bias: its bias (vocabulary), or None.
            targets: the token that follows each hidden state (tokens).

        Returns:
            The log-probability and the entropy in nats, both in float32, and whether the token is the likeliest.
        """
        tokens = hidden.shape[0]
        likely, entropy = (torch.empty(tokens, dtype=torch.float32, device=hidden.device) for _ in range(2))
        correct = torch.empty(tokens, dtype=torch.bool, device=hidden.device)
        gradient = torch.empty_like(hidden) if ctx.needs_input_grad[0] else None
        for start in range(0, tokens, TILE):
            part = slice(start, start + TILE)
            target = targets[part, None]
            logits = torch.nn.functional.linear(hidden[part], weight, bias).float()
            correct[part] = logits.argmax(-1) == targets[part]
            scores = logits.log_softmax(-1)
            share = torch.exp(scores, out=logits)
            likely[part] = scores.gather(1, target)[:, 0]
            entropy[part] = -torch.bmm(share[:, None, :], scores[:, :, None])[:, 0, 0]
            if gradient is not None:  # that of the log-probability is the target's row less the expected one
                share.neg_().scatter_add_(1, target, torch.ones_like(target, dtype=share.dtype))
                torch.mm(share.to(weight.dtype), weight, out=gradient[part])
        ctx.save_for_backward(gradient)
        ctx.mark_non_differentiable(entropy, correct)
        return likely, entropy, correct

    @staticmethod
    def backward(ctx: Any, likely: Any, *_: Any) -> tuple[Any, None, None, None]:
        (gradient,) = ctx.saved_tensors
        return (gradient * likely[:, None]).to(gradient.dtype), None, None, None


def attach(model: Any) -> None:
    """Give a model this head for the calls of TRL's trainer; other calls, and what it cannot compute, are TRL's.

    TRL has patched the model with its own head (``add_fused_lm_head``); this one comes before it, and returns the same.
    """
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    theirs = base.forward
    text_config = base.config.get_text_config()
    plain = all(getattr(text_config, name, None) in (None, 1) for name in _SCALES)

    @functools.wraps(type(base).forward)  # generation checks its arguments against the signature
    def forward(self: Any, *args: Any, fused_lm_head: bool = False, labels: Any = None, **options: Any) -> Any:
        if not (fused_lm_head and plain and _computes(self, options)):
            if labels is not None:
                options["labels"] = labels
            return theirs(*args, fused_lm_head=fused_lm_head, **options)
        options["use_cache"] = False
        hidden = self.base_model(*args, **options).last_hidden_state[:, :-1]
        return _scored(hidden, labels[:, 1:], self.get_output_embeddings())

    base.forward = types.MethodType(forward, base)


def _computes(model: Any, options: dict[str, Any]) -> bool:
    """Whether the head computes this call: on a CPU, with a head that is not trained, and with nothing else to add."""
    head = model.get_output_embeddings()
    frozen = isinstance(head, torch.nn.Linear) and not any(one.requires_grad for one in head.parameters())
    routed = options.get("output_router_logits") or getattr(model.config.get_text_config(), "output_router_logits", 0)
    shifted = options.get("shift_labels") is not None or options.get("num_items_in_batch") is not None
    return frozen and head.weight.device.type == "cpu" and not routed and not shifted


def _scored(hidden: Any, labels: Any, head: Any) -> FusedCausalLMOutput:
    learned = labels != IGNORED
    figures = LearnedLogProbs.apply(hidden[learned].to(head.weight.dtype), head.weight, head.bias, labels[learned])
    # Zero elsewhere; scattered, so that a batch without a learned token still has a gradient, which is zero.
    likely, entropy, correct = (one.new_zeros(learned.shape).masked_scatter(learned, one) for one in figures)
    loss = -likely.sum() / learned.sum().clamp(min=1)
    return FusedCausalLMOutput(loss=loss, log_probs=likely, entropy=entropy, is_top1=correct, label_mask=learned)
