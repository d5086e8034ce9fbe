"""``python -P -m o1lab.lens.token_worker FOLDER``: encode responses for a server that takes token ids.

Input and output are JSON Lines. A line of input is what :func:`o1lab.lens.scorers.request_of` returns, with ``options``
(see ``PromptOptions``) and an ``id``; the answer has this ``id``, the tokens of the question and
the response, and the places of those of the response; or an error. The first line of output reports that the tokenizer
is loaded. It is a separate process because transformers imports torch.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from o1lab.errors import O1LabError
from o1lab.models.child import error_report
from o1lab.models.library_errors import explained
from o1lab.models.prompts import PromptOptions, Written, placed_tokens


def encoded(tokenizer: Any, job: dict[str, Any]) -> dict[str, Any]:
    """Return the tokens of a question and a response, with the places of the response's tokens.

    Raises:
        RefusedError: the template refuses the conversation, or the tokenizer does not fit, see ``placed_tokens``.
    """
    options = PromptOptions.of(job["options"])
    response = Written(job["thought"], job["solution"], job["cut_off"])
    tokens, places = placed_tokens(tokenizer, options.conversation(job["messages"]), options, response)
    return {
        "prompt": tokens.prompt, "completion": tokens.completion,
        "part": [place.part for place in places], "start": [place.start for place in places],
        "end": [place.end for place in places],
    }  # fmt: skip


def main() -> int:
    out, sys.stdout = sys.stdout, sys.stderr  # libraries print too

    def answer(found: dict[str, Any]) -> None:
        print(json.dumps(found), file=out, flush=True)

    folder = Path(sys.argv[1])
    try:
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, ImportError) as error:
        answer(error_report(explained(error, f"The tokenizer of {folder} cannot be loaded", "Fetch the model again.")))
        return 1
    answer({"ready": True})
    for line in sys.stdin:
        job = json.loads(line)
        try:
            found = encoded(tokenizer, job)
        except O1LabError as error:
            found = error_report(error)
        answer(found | {"id": job["id"]})
    return 0


if __name__ == "__main__":
    sys.exit(main())
