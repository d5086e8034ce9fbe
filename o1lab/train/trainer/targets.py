"""Which layers of a base get an adapter, from the names in the recipe. Imports torch."""

from __future__ import annotations

import copy
import difflib
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

import torch
from peft import LoraConfig
from peft.utils.transformers_weight_conversion import convert_peft_config_for_transformers
from transformers.pytorch_utils import Conv1D

from o1lab.errors import RefusedError
from o1lab.models.adapters import added_by_peft
from o1lab.train.recipes.recipe import Recipe
from o1lab.train.recipes.variants import STARTED, rank_in_checkpoint

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel

ALL_LINEAR = "all-linear"
_PARTS_OF_FUSED = re.compile(r"target\(s\) (.+) without also targeting (.+) because they are fused into (\w+)")
_LAYERS = (torch.nn.Linear, Conv1D, torch.nn.Embedding)


def lora_config(recipe: Recipe, model: PreTrainedModel) -> LoraConfig:
    """Return the adapter settings of a recipe for a base.

    ``all-linear`` means the linear layers without the output head, and the experts that transformers keeps in one
    parameter, which PEFT itself includes for some architectures only.

    Args:
        recipe: the recipe.
        model: the base, with or without weights.

    Returns:
        The settings in the format of PEFT.

    Raises:
        RefusedError: a name matches nothing in this base (code ``no_targets``; the hint has the names it has), an
            adapter on the output head would not be trained, the experts cannot have dropout, or a layer cannot have
            the variant (code ``variant``).
    """
    layers, fused = adaptable(model)
    targets = recipe.targets
    modules: str | list[str]
    if isinstance(targets, str):
        modules, parameters = targets, sorted({_suffix(name) for name in fused if _is_expert(model, name)})
    else:
        modules, parameters = _named(targets, model, layers, fused)
    kept = _kept(recipe, model)
    linear = [name for name in layers if not isinstance(model.get_submodule(name), torch.nn.Embedding)]
    if parameters and recipe.adapter not in ("lora", "rslora"):
        raise RefusedError(
            f"The experts of this base ({', '.join(parameters)}) cannot have a {recipe.adapter} adapter.",
            f"Set adapter to lora or rslora, or leave the experts out: lora_targets={','.join(_last(linear))}.",
            code="variant",
        )
    if parameters and recipe.lora_dropout:
        raise RefusedError(
            f"The experts of this base ({', '.join(parameters)}) cannot have lora_dropout.",
            f"Set lora_dropout to 0, or leave the experts out: lora_targets={','.join(_last(linear))}.",
            code="expert_dropout",
        )
    if recipe.adapter in STARTED:
        _check_start(recipe, model, layers if isinstance(modules, str) else _matching(layers, modules))
    config = LoraConfig(
        r=rank_in_checkpoint(recipe.adapter, recipe.lora_r),
        lora_alpha=rank_in_checkpoint(recipe.adapter, recipe.lora_alpha),
        use_rslora=recipe.adapter == "rslora",
        use_dora=recipe.adapter == "dora",
        lora_dropout=recipe.lora_dropout,
        target_modules=modules,
        target_parameters=parameters or None,
        modules_to_save=kept or None,
        fan_in_fan_out=any(isinstance(module, Conv1D) for module in model.modules()),
        bias="none",
        task_type="CAUSAL_LM",
    )
    _converted(config, model)
    return config


def _check_start(recipe: Recipe, model: PreTrainedModel, names: list[str]) -> None:
    """Refuse layers without as many directions as the adapter starts from."""
    for name in names:
        layer = model.get_submodule(name)
        if isinstance(layer, torch.nn.Embedding):
            if recipe.targets == ALL_LINEAR:
                continue
            message = f"{_suffix(name)} is an embedding: a {recipe.adapter} adapter starts from a linear layer."
            hint = f"Remove {name.rpartition('.')[2]} from lora_targets, or set adapter to lora."
        elif recipe.lora_r > (directions := _directions(layer)):
            message = f"{_suffix(name)} has {directions} directions, but lora_r asks for {recipe.lora_r}."
            hint = f"Set lora_r to {directions} or less, or adapter to lora."
        else:
            continue
        raise RefusedError(message, hint, code="variant")


def _directions(layer: torch.nn.Module) -> int:
    if isinstance(layer, torch.nn.Linear):  # the weight of a quantised layer has another shape
        return min(int(layer.in_features), int(layer.out_features))
    return min(int(size) for size in layer.weight.shape)


def left_out(recipe: Recipe, model: PeftModel) -> list[str]:
    """Return the linear layers without an adapter although the recipe says ``all-linear``, by their last names.

    PEFT takes layers such as ``shared_expert.up_proj`` for parts of the fused experts.
    """
    base = model.get_base_model()
    if recipe.targets != ALL_LINEAR:
        return []
    head = base.get_output_embeddings()
    names = [
        name
        for name, module in base.named_modules()
        if isinstance(module, torch.nn.Linear | Conv1D) and module is not head and not added_by_peft(name)
    ]
    return sorted({_suffix(name) for name in names if not name.endswith(".base_layer")})


def adaptable(model: PreTrainedModel) -> tuple[list[str], list[str]]:
    """Return what can have an adapter.

    Args:
        model: the base, with or without weights.

    Returns:
        The names of linear layers, Conv1D layers and embeddings without the output head; and those of parameters in
        other modules, such as fused experts (three dimensions) and routers (two).
    """
    head = model.get_output_embeddings()
    layers, parameters = [], []
    for name, module in model.named_modules():
        if isinstance(module, _LAYERS):
            if module is not head:
                layers.append(name)
        elif not type(module).__module__.startswith("torch.nn"):
            own = module.named_parameters(recurse=False)
            fused = [part for part, one in own if one.dim() == 3 or (one.dim() == 2 and part == "weight")]
            parameters += [f"{name}.{part}" for part in fused if name]
    return layers, parameters


def _named(
    targets: list[str], model: PreTrainedModel, layers: list[str], fused: list[str]
) -> tuple[list[str], list[str]]:
    """Sort the recipe's names into those of modules and those of parameters."""
    head = _name_of(model, model.get_output_embeddings())
    modules, parameters, unknown = [], [], []
    for target in targets:
        if head and _matches(head, target):
            raise RefusedError(
                f"An adapter on the output head ({target}) would not be trained: the loss reads the head's weights.",
                f"Remove {target} from lora_targets, or train the head in full: --set modules_to_save={target}.",
                code="head_target",
            )
        found = any(_matches(name, target) for name in layers)
        if found:
            modules.append(target)
        if any(_matches(name, target) for name in fused):
            parameters.append(target)
        elif any(_matches(name, f"{target}.weight") for name in fused):  # a router
            parameters.append(f"{target}.weight")
        elif not found:
            unknown.append(target)
    if unknown:
        left = _converted(LoraConfig(target_modules=unknown), model).target_modules
        _refuse_unknown([name for name in unknown if name in left], "lora_targets", {*layers, *fused})
    return [*modules, *unknown], parameters


def _converted(config: LoraConfig, model: PreTrainedModel) -> LoraConfig:
    """Return the settings as PEFT changes them for a base whose experts transformers 5 keeps in one parameter.

    It finds names of before, such as ``w1`` and ``gate_proj``, in the fused parameters.

    Raises:
        RefusedError: only a part of the layers that are fused is named.
    """
    converted = copy.deepcopy(config)
    try:
        convert_peft_config_for_transformers(converted, model, None)
    except ValueError as error:
        parts = _PARTS_OF_FUSED.search(str(error))
        named, missing, fused = parts.groups() if parts else ("some layers", "others", "fused experts")
        raise RefusedError(
            f"This base keeps {named} and {missing} of its experts in one parameter, {fused}.",
            f"Name {missing} in lora_targets too, or {fused}.",
            code="no_targets",
        ) from error
    return converted


def _kept(recipe: Recipe, model: PreTrainedModel) -> list[str]:
    names = {name for name, module in model.named_modules() if name and next(module.parameters(), None) is not None}
    unknown = [word for word in recipe.full_modules if not any(_matches(name, word) for name in names)]
    _refuse_unknown(unknown, "modules_to_save", names)
    return recipe.full_modules


def _refuse_unknown(names: list[str], option: str, available: Iterable[str]) -> None:
    if not names:
        return
    short = _last(available)
    meant = []
    for name in names:
        close = [one for one in short if name in one] or difflib.get_close_matches(name, short, n=1)
        meant += [f"{one} for {name}" for one in close[:1]]
    raise RefusedError(
        f"This base has no layer called {', '.join(names)} ({option}).",
        (f"Did you mean {', '.join(meant)}? " if meant else "") + f"It has {', '.join(short)}.",
        code="no_targets",
    )


def _last(names: Iterable[str]) -> list[str]:
    """Return the last parts of names in order, without the ``weight`` of a router and the numbers of layers."""
    parts = {name.removesuffix(".weight").rpartition(".")[2] for name in names}
    return sorted(part for part in parts if not part.isdigit())


def _suffix(name: str) -> str:
    """Return the shortest name of a parameter that says whose it is: ``experts.gate_up_proj``."""
    return ".".join(name.split(".")[-2:])


def _matching(names: list[str], targets: list[str]) -> list[str]:
    return [name for name in names if any(_matches(name, target) for target in targets)]


def _matches(name: str, target: str) -> bool:
    return name == target or name.endswith(f".{target}")


def _is_expert(model: PreTrainedModel, name: str) -> bool:
    return bool(model.get_parameter(name).dim() == 3)


def _name_of(model: PreTrainedModel, wanted: torch.nn.Module | None) -> str:
    return next((name for name, module in model.named_modules() if module is wanted), "")
