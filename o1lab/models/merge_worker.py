"""``python -P -m o1lab.models.merge_worker``: merge an adapter into its base, and check the result.

Reads a :class:`o1lab.models.merging.Job` from standard input and reports as :mod:`o1lab.models.child` says. This runs
in a separate process because it imports torch.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from o1lab.errors import RefusedError
from o1lab.models.adapters import misfit
from o1lab.models.child import progress_to_parent, report_to_parent
from o1lab.models.merging import TOLERANCE, Job
from o1lab.models.prompts import PromptOptions, encode, render


def merge(job: Job) -> dict[str, Any]:
    """Merge in float32, save, load what was saved, and compare the three on the job's prompts.

    Returns:
        The fields of :class:`o1lab.models.merging.Merged`, without its path.

    Raises:
        RefusedError: the adapter does not fit the base, or the merged model does not answer as base and adapter do.
    """
    base, adapter, out = Path(job.base), Path(job.adapter), Path(job.out)
    if layer := misfit(base, adapter):
        raise RefusedError(
            f"The adapter in {adapter} does not fit the base in {base} ({layer}).", "Name its base.", code="adapter"
        )
    options = PromptOptions.of_checkpoint(adapter)
    tokenizer = AutoTokenizer.from_pretrained(base)
    conversations = [options.conversation([{"role": "user", "content": prompt}]) for prompt in job.prompts]
    prompts = [encode(tokenizer, render(tokenizer, messages, options)) for messages in conversations]
    stored = getattr(AutoConfig.from_pretrained(base), "dtype", None) or torch.float32
    dtype = stored if job.dtype == "auto" else getattr(torch, job.dtype)

    progress_to_parent("Loading the base in float32...")
    device = _device(base)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32, use_safetensors=True)
    student = PeftModel.from_pretrained(model, str(adapter)).eval().to(device)
    progress_to_parent(f"Asking base and adapter {len(prompts)} prompts...")
    expected = _next_tokens(student, prompts)
    progress_to_parent("Merging...")
    merged = student.merge_and_unload(safe_merge=True)
    found = _next_tokens(merged, prompts)
    difference = float((found - expected).abs().max())
    equal = int((found.argmax(-1) == expected.argmax(-1)).sum())
    if not difference <= TOLERANCE * float(expected.abs().max()):  # in this form it also refuses nan
        raise RefusedError(
            f"The merged model does not answer as base and adapter do: its logits differ by up to {difference:.3g}.",
            "Use the adapter with its base; please report this.",
            code="merge",
        )
    progress_to_parent(f"Saving in {str(dtype).removeprefix('torch.')}...")
    if options.chat_template:
        tokenizer.chat_template = options.chat_template
    if options.eos_token:
        ends = merged.generation_config.eos_token_id
        ids = ends if isinstance(ends, list) else [] if ends is None else [ends]
        merged.generation_config.eos_token_id = [*ids, tokenizer.convert_tokens_to_ids(options.eos_token)]
    merged.to("cpu", dtype).save_pretrained(out)
    tokenizer.save_pretrained(out)
    del model, student, merged
    progress_to_parent("Checking what was saved...")
    saved = AutoModelForCausalLM.from_pretrained(out, dtype=torch.float32, use_safetensors=True).eval().to(device)
    read = _next_tokens(saved, prompts)
    if not torch.isfinite(read).all():
        raise RefusedError(
            f"The weights saved in {str(dtype).removeprefix('torch.')} overflow: the logits are not finite.",
            "Merge with --dtype bfloat16 or --dtype float32.",
            code="merge",
        )
    return {
        "dtype": str(dtype).removeprefix("torch."),
        "prompts": len(prompts),
        "difference": difference,
        "equal": equal,
        "saved_difference": float((read - expected).abs().max()),
        "saved_equal": int((read.argmax(-1) == expected.argmax(-1)).sum()),
    }


def _next_tokens(model: Any, prompts: Sequence[list[int]]) -> torch.Tensor:
    """Return the logits of the token after each prompt, [prompts, vocabulary]."""
    rows = []
    with torch.inference_mode():
        for ids in prompts:
            out = model(input_ids=torch.tensor([ids], device=model.device), logits_to_keep=1)
            rows.append(out.logits[0, -1].float().cpu())
    return torch.stack(rows)


def _device(base: Path) -> str:
    """Return the GPU if the weights fit there twice in float32, else the CPU."""
    if not torch.cuda.is_available():
        return "cpu"
    size = sum(path.stat().st_size for path in base.glob("*.safetensors"))
    return "cuda" if torch.cuda.mem_get_info()[0] > 4 * size else "cpu"


def main() -> int:
    """Run one job, and return the exit status."""
    job = Job.model_validate_json(sys.stdin.buffer.read())
    failed, hint = "The adapter could not be merged", "See the message; the base may be incomplete."
    return report_to_parent(lambda: merge(job), failed=failed, hint=hint)


if __name__ == "__main__":
    sys.exit(main())
