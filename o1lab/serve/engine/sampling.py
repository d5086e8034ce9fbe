"""Scores of tokens from logits, and sampling of tokens."""

from __future__ import annotations

from dataclasses import dataclass

import torch

OVERFLOWED = "The model's numbers overflowed (not finite)."
_TOP_TOKENS = 256
_TILE_NUMBERS = 1 << 26
"""Log-probabilities of a tile of tokens that are scored together: 0.25 GB in float32, and as much for a copy."""


@dataclass(frozen=True, slots=True)
class TokenScore:
    """A model's view of one token, given those before it.

    Attributes:
        token: its id.
        logprob: its natural log-probability, at temperature 1.
        rank: 1 for the most likely token.
        entropy: the entropy of the distribution it comes from, in nats.
        top: the ids of the most likely tokens with their log-probabilities, the most likely first.
    """

    token: int
    logprob: float
    rank: int
    entropy: float
    top: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of :class:`TokenScore` for some positions, as tensors on the model's device."""

    tokens: torch.Tensor
    logprobs: torch.Tensor
    ranks: torch.Tensor
    entropies: torch.Tensor
    top_ids: torch.Tensor
    top_logprobs: torch.Tensor

    def scores(self) -> list[TokenScore]:
        """Return them as scores; on a GPU this waits for what it computes."""
        pairs = zip(self.top_ids.tolist(), self.top_logprobs.tolist(), strict=True)
        rows = zip(
            self.tokens.tolist(),
            self.logprobs.tolist(),
            self.ranks.tolist(),
            self.entropies.tolist(),
            (tuple(zip(ids, logprobs, strict=True)) for ids, logprobs in pairs),
            strict=True,
        )
        return [TokenScore(*row) for row in rows]


def figures(logits: torch.Tensor, tokens: torch.Tensor, top: int) -> list[Figures]:
    """Compute the figures of tokens in tiles, so that their distributions take little memory.

    Args:
        logits: [positions, vocabulary], what the model predicts at each position.
        tokens: [positions], the ids at these positions.
        top: the number of alternatives to return for each.
    """
    tile = max(1, _TILE_NUMBERS // logits.shape[1])
    tokens = tokens.to(logits.device)
    return [_figures(*part, top) for part in zip(logits.split(tile), tokens.split(tile), strict=True)]


def token_scores(logits: torch.Tensor, tokens: torch.Tensor, top: int) -> list[TokenScore]:
    """Return the score of each token; the arguments are those of :func:`figures`."""
    return [score for part in figures(logits, tokens, top) for score in part.scores()]


def _figures(logits: torch.Tensor, tokens: torch.Tensor, top: int) -> Figures:
    likely = torch.log_softmax(logits.float(), dim=-1)
    chosen = likely.gather(1, tokens[:, None])
    ranks = (likely > chosen).sum(1) + 1
    values, ids = likely.topk(min(top, likely.shape[1]), dim=-1)
    # 0 * -inf is not a number: a token that is excluded adds nothing.
    likely.clamp_(min=torch.finfo(likely.dtype).min)
    entropies = -torch.bmm(likely.exp()[:, None, :], likely[:, :, None])[:, 0, 0]
    return Figures(tokens, chosen[:, 0], ranks, entropies, ids, values)


def draw(logits: torch.Tensor, temperature: float, top_p: float, generator: torch.Generator) -> int:
    """Sample a token by nucleus sampling (Holtzman et al. 2020, arXiv 1904.09751).

    Args:
        logits: [vocabulary].
        temperature: above 0.
        top_p: the token is drawn from the smallest set of most likely tokens with at least this probability.
        generator: the random generator of the row.

    Returns:
        The token id.
    """
    # A tiny temperature would overflow the largest logits; with the largest at 0, only those far below it do, to -inf.
    logits = logits.float().cpu()
    likely = torch.softmax((logits - logits.max()) / temperature, dim=-1)
    if not torch.isfinite(likely).all():  # the temperature is 0 in float32
        return int(logits.argmax())
    if top_p >= 1:
        return int(torch.multinomial(likely, 1, generator=generator))
    # The nucleus is nearly always within the top tokens; sorting the whole vocabulary is the exception.
    values, tokens = torch.topk(likely, min(_TOP_TOKENS, likely.numel()))
    if float(values.sum()) < top_p:
        values, tokens = torch.sort(likely, descending=True)
    before = torch.cumsum(values, 0) - values
    values = values.masked_fill(before >= top_p, 0.0)
    values[0] = max(float(values[0]), 1e-12)  # top_p 0 keeps the most likely token
    return int(tokens[torch.multinomial(values, 1, generator=generator)])
