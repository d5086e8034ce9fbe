"""``python -P -m o1lab.models.import_worker``: check that a model which is being imported can be used.

Reads a :class:`o1lab.models.imported.Job` from standard input and reports as :mod:`o1lab.models.child` says. This runs
in a separate process because it imports torch.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from transformers import AutoTokenizer

from o1lab.errors import RefusedError
from o1lab.models.adapters import bare_model, misfit
from o1lab.models.child import report_to_parent
from o1lab.models.imported import Job


def check(job: Job) -> dict[str, Any]:
    """Check the shape of an adapter against its base, or the files of a whole model. No weights are loaded.

    Returns:
        Nothing.

    Raises:
        RefusedError: it cannot be used.
    """
    folder = Path(job.folder)
    if job.base:
        if layer := misfit(Path(job.base), folder):
            raise RefusedError(
                f"The adapter does not fit its base: {layer} differs.",
                "Name the base that it was trained on with --base.",
                code="adapter",
            )
        return {}
    bare_model(folder)  # raises if the architecture is unknown
    AutoTokenizer.from_pretrained(folder, local_files_only=True)
    for path in sorted(folder.glob("*.safetensors")):
        try:
            with safe_open(path, framework="pt") as file:
                file.keys()
        except (OSError, SafetensorError) as error:
            raise RefusedError(
                f"{path.name} is incomplete or damaged ({error}).", "Fetch or save the model again.", code="model"
            ) from error
    return {}


def main() -> int:
    """Run one job, and return the exit status."""
    job = Job.model_validate_json(sys.stdin.buffer.read())
    return report_to_parent(lambda: check(job), failed="The model cannot be used", hint="See the message.")


if __name__ == "__main__":
    sys.exit(main())
