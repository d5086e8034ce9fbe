"""Adapters that start from directions of the base's weights (PiSSA, OLoRA), and what variants change in a trainer.

Such an adapter is an ordinary LoRA adapter of twice the rank of the recipe, from the first step on: ``[A; A0]`` and
``[B, -B0]``, where ``A0`` and ``B0`` are the start. Only ``A`` and ``B`` are trained. The papers subtract ``B0 A0``
from the base's weights instead, which is the same function; here the base stays as it is. So a checkpoint needs no
conversion, fits the unmodified base exactly, and a resumed run continues from the same numbers. Imports torch.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from peft.tuners.lora import LoraLayer
from peft.utils.integrations import dequantize_module_weight

from o1lab.train.recipes.recipe import Recipe
from o1lab.train.recipes.variants import STARTED

_EXACT = 1024
"""Matrices with more rows and columns than this get the fast singular value decomposition of the PiSSA paper."""
_ITERATIONS, _MORE = 16, 16
"""Its iterations, and the directions that it computes beyond those it keeps, which makes them more exact."""


def start(model: Any, recipe: Recipe) -> None:
    """Set a new adapter to directions of the base's weights; the student still answers as the base does."""
    rank = recipe.lora_r
    with torch.no_grad(), torch.random.fork_rng(devices=_gpus(model)):
        torch.manual_seed(recipe.seed)
        for layer in _layers(model):
            name = next(iter(layer.lora_A))
            weight = dequantize_module_weight(layer.get_base_layer()).float()
            if layer.fan_in_fan_out:
                weight = weight.T
            if recipe.adapter == "olora":
                a, b = _orthonormal(weight, rank)
            else:
                a, b = _principal(weight, rank, layer.scaling[name])
            layer.lora_A[name].weight.copy_(torch.cat([a, a]))
            layer.lora_B[name].weight.copy_(torch.cat([b, -b], dim=1))


def _principal(weight: torch.Tensor, rank: int, scaling: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Return A and B of the largest singular values, such that ``scaling * B @ A`` is that part of ``weight``."""
    if min(weight.shape) <= _EXACT:
        left, values, right = torch.linalg.svd(weight, full_matrices=False)
    else:
        left, values, columns = torch.svd_lowrank(weight, q=min(rank + _MORE, *weight.shape), niter=_ITERATIONS)
        right = columns.T
    roots = (values[:rank] / scaling).sqrt()
    return roots[:, None] * right[:rank], left[:, :rank] * roots


def _orthonormal(weight: torch.Tensor, rank: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the first rows of R and columns of Q of a QR decomposition."""
    q, r = torch.linalg.qr(weight)
    return r[:rank], q[:, :rank]


def hold_start(model: Any, rank: int, optimizer: torch.optim.Optimizer) -> None:
    """Keep the second half of the adapter as it is: it has no gradient, and weight decay does not change it."""
    pairs = [pair for layer in _layers(model) for pair in _pairs(layer)]
    halves = [(part.weight, dim) for part, dim in pairs if part.weight.requires_grad]  # a frozen copy has no gradient
    for weight, dim in halves:
        weight.register_hook(_Zeroed(dim, rank))
    if not any(group.get("weight_decay") for group in optimizer.param_groups):
        return
    kept: list[torch.Tensor] = []

    def before(*_: Any) -> None:
        kept[:] = [_second(weight, dim, rank).clone() for weight, dim in halves]

    def after(*_: Any) -> None:
        for (weight, dim), old in zip(halves, kept, strict=True):
            _second(weight, dim, rank).copy_(old)

    optimizer.register_step_pre_hook(before)
    optimizer.register_step_post_hook(after)


class _Zeroed:
    """A hook that removes the gradient of the second half along a dimension."""

    def __init__(self, dim: int, rank: int) -> None:
        self._dim, self._rank = dim, rank

    def __call__(self, gradient: torch.Tensor) -> torch.Tensor:
        changed = gradient.clone()
        _second(changed, self._dim, self._rank).zero_()
        return changed


def _second(tensor: torch.Tensor, dim: int, rank: int) -> torch.Tensor:
    return tensor.detach().narrow(dim, rank, tensor.shape[dim] - rank)


def _layers(model: Any) -> Iterator[Any]:
    return (module for module in model.modules() if isinstance(module, LoraLayer))


def _pairs(layer: Any) -> Iterator[tuple[Any, int]]:
    yield from ((one, 0) for one in layer.lora_A.values())
    yield from ((one, 1) for one in layer.lora_B.values())


def _gpus(model: Any) -> list[Any]:
    return [model.device] if model.device.type == "cuda" else []


class VariantTrainer:
    """What the variants change in a trainer of TRL; put it before the trainer's class.

    Attributes:
        recipe: the recipe, once it is set.
    """

    recipe: Recipe | None = None
    optimizer: Any
    model: Any

    def train(self, resume_from_checkpoint: Any = None, **options: Any) -> Any:
        """Train; a new adapter that starts from the base's weights gets its start first."""
        recipe = self.recipe
        if recipe is not None and recipe.adapter in STARTED and not (resume_from_checkpoint or recipe.init_from):
            start(self.model, recipe)
        return super().train(resume_from_checkpoint=resume_from_checkpoint, **options)  # type: ignore[misc]

    def create_optimizer(self, *model: Any) -> Any:
        """Create the optimiser: the B matrices in separate groups (LoRA+), the start of an adapter kept."""
        if self.optimizer is not None:
            return self.optimizer
        optimizer = super().create_optimizer(*model)  # type: ignore[misc]
        recipe, trained = self.recipe, model[0] if model and model[0] is not None else self.model
        if recipe is None or recipe.adapter == "full":
            return optimizer
        if recipe.lora_plus_ratio != 1:
            separate_b(optimizer, trained, recipe.lora_plus_ratio)
        if recipe.adapter in STARTED:
            hold_start(trained, recipe.lora_r, optimizer)
        return optimizer

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        """Load an adapter. A whole model has been loaded by ``load_student``, which knows the names of its tensors."""
        if self.recipe is None or self.recipe.adapter != "full":
            super()._load_from_checkpoint(resume_from_checkpoint, model)  # type: ignore[misc]


def separate_b(optimizer: torch.optim.Optimizer, model: Any, ratio: float) -> None:
    """Put the B matrices of adapters into groups whose learning rate is ``ratio`` times that of the others."""
    fast = {id(one) for name, one in model.named_parameters() if ".lora_B." in name or ".lora_embedding_B." in name}
    for group in list(optimizer.param_groups):
        moved = [one for one in group["params"] if id(one) in fast]
        if moved:
            group["params"] = [one for one in group["params"] if id(one) not in fast]
            optimizer.add_param_group({**group, "params": moved, "lr": group["lr"] * ratio})
