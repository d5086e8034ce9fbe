"""From logits to the next token of each row: greedy, or drawn with the row's own seed."""

from __future__ import annotations

import torch

_FEW = 256


def draw(logits: torch.Tensor, temperature: float, top_p: float, generator: torch.Generator) -> int:
    """A token drawn from ``logits`` ([vocabulary]) at ``temperature`` > 0, from the smallest set of likeliest
    tokens that holds ``top_p`` of the probability (nucleus sampling, Holtzman et al. 2020, arXiv 1904.09751).
    """
    likely = torch.softmax(logits.float().cpu() / temperature, dim=-1)
    if top_p >= 1:
        return int(torch.multinomial(likely, 1, generator=generator))
    # The nucleus nearly always lies among a few tokens; sorting the whole vocabulary is the exception.
    values, tokens = torch.topk(likely, min(_FEW, likely.numel()))
    if float(values.sum()) < top_p:
        values, tokens = torch.sort(likely, descending=True)
    before = torch.cumsum(values, 0) - values
    values = values.masked_fill(before >= top_p, 0.0)
    values[0] = max(float(values[0]), 1e-12)  # top_p 0 leaves the likeliest
    return int(tokens[torch.multinomial(values, 1, generator=generator)])
