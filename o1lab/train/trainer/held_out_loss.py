"""The loss of a student on a fixed set of held-out chains, by part and by kind of move. Imports torch.

It shows what a student learns: whether the loss falls on the thought or on the solution, and on which moves. The names
of the metrics begin with ``eval_loss_``: ``thought``, ``solution``, and the kinds of moves.
"""

from __future__ import annotations

import random
import traceback
from collections.abc import Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from o1lab.chains.segmentation.moves import MoveKind, place_of_token, segment
from o1lab.errors import RefusedError
from o1lab.models.prompts import Place, Written, placed_tokens
from o1lab.train.recipes.recipe import Recipe
from o1lab.train.rows import TrainingRow
from o1lab.train.trainer.distributed import World
from o1lab.train.trainer.held_out import IGNORED
from o1lab.train.trainer.tensors import asked, split
from store.records import scrubbed

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

PREFIX = "eval_loss_"
PARTS = ("thought", "solution")
NAMES = (*PARTS, *map(str, MoveKind))


@dataclass(frozen=True, slots=True)
class _Chain:
    """A row in tokens.

    Attributes:
        ids: the tokens of the question and of the response.
        prompt: the number of those of the question.
        columns: for each token of the response, the places in ``NAMES`` that it counts in.
    """

    ids: list[int]
    prompt: int
    columns: list[tuple[int, ...]]


class HeldOutLoss:
    """Measures the loss on some of the held-out rows, the same ones at each checkpoint.

    Attributes:
        trace_ids: the chosen rows.
        left_out: the number of rows that are missing: too few are held out, they are too long, or the tokenizer does
            not report the positions of its tokens.
    """

    def __init__(
        self, rows: Sequence[TrainingRow], recipe: Recipe, tokenizer: PreTrainedTokenizerBase, world: World
    ) -> None:
        """Choose the rows, by the recipe's seed, and encode them."""
        held_out = split(rows, recipe)[1]
        random.Random(recipe.seed).shuffle(held_out)  # noqa: S311 - not used for secrets
        self._world = world
        self._sharded = recipe.strategy == "fsdp2"
        self._chains: list[_Chain] = []
        self.trace_ids: list[str] = []
        for row in held_out:
            if len(self._chains) == recipe.lens_traces:
                break
            with suppress(RefusedError):  # the tokenizer does not report positions
                chain = _chain(row, recipe, tokenizer)
                if len(chain.ids) <= recipe.max_length:
                    self._chains.append(chain)
                    self.trace_ids.append(row.trace_id)
        self.left_out = recipe.lens_traces - len(self._chains)

    def measure(self, model: Any, autocast: AbstractContextManager[Any]) -> dict[str, float] | None:
        """Return the mean losses in nats by the names of the metrics; None if they could not be measured.

        Every process of the run must call it; each measures its share, and all get the same result.

        Args:
            model: the student, with the output head of TRL's trainers.
            autocast: the context in which the trainer computes losses.

        Raises:
            Exception: a sharded model failed. Its other processes wait for this one within their pass, so the run ends.
        """
        sums, counts = [0.0] * len(NAMES), [0.0] * len(NAMES)
        was_training, failed = model.training, 0.0
        model.eval()
        try:
            with torch.no_grad(), autocast:
                for at in range(self._world.rank, _rounded_up(len(self._chains), self._world.size), self._world.size):
                    # With a sharded model, all processes make the same number of passes: the last ones may be repeated.
                    losses = _losses(model, self._chains[min(at, len(self._chains) - 1)])
                    if at < len(self._chains):
                        for loss, columns in zip(losses, self._chains[at].columns, strict=True):
                            for column in columns:
                                sums[column] += loss
                                counts[column] += 1
        except Exception:  # an error here must not end the training
            if self._sharded:
                raise
            traceback.print_exc()
            failed = 1.0
        finally:
            model.train(was_training)
        totals = self._world.total([*sums, *counts, failed])
        if totals[-1]:
            return None
        return {
            PREFIX + name: totals[at] / totals[len(NAMES) + at]
            for at, name in enumerate(NAMES)
            if totals[len(NAMES) + at]
        }


def _chain(row: TrainingRow, recipe: Recipe, tokenizer: PreTrainedTokenizerBase) -> _Chain:
    thought = scrubbed(row.thought) if row.replay or recipe.phase == 2 else ""
    response = Written(thought, scrubbed(row.solution), row.cut_off)
    tokens, places = placed_tokens(tokenizer, asked(row, recipe), recipe.prompt, response)
    part = "thought" if thought else "solution"
    moves = segment(thought or response.solution)
    starts = [move.start for move in moves]
    kinds = [NAMES.index(str(move.kind)) for move in moves]

    def columns(place: Place) -> tuple[int, ...]:
        if place.part not in PARTS:
            return ()
        own = (PARTS.index(place.part),)
        return (*own, kinds[place_of_token(starts, place.start, place.end)]) if place.part == part else own

    return _Chain([*tokens.prompt, *tokens.completion], len(tokens.prompt), [columns(place) for place in places])


def _losses(model: Any, chain: _Chain) -> list[float]:
    """Return the negative log-probability of each token of the response, in nats.

    The trainer's head computes the logits in tiles: those of a long response are too large to be in memory at once.
    """
    ids = torch.tensor([chain.ids], device=model.device)
    labels = ids.clone()
    labels[:, : chain.prompt] = IGNORED
    found = model(input_ids=ids, attention_mask=torch.ones_like(ids), labels=labels, fused_lm_head=True)
    losses: list[float] = (-found.log_probs[found.label_mask].float()).tolist()
    return losses


def _rounded_up(number: int, size: int) -> int:
    return -(-number // size) * size
