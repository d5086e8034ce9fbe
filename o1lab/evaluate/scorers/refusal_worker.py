"""The process that runs a refusal classifier: ``python -P -m o1lab.evaluate.scorers.refusal_worker FOLDER``.

Input and output are JSON Lines. It prints ``{"ready": true}`` once the model is loaded, then answers
``{"texts": [...]}`` with ``{"chances": [[...], ...], "cut": [...]}``: the probability of each label, in the order of
the model's configuration, and whether the text was longer than the model reads. It runs separately because it imports
torch.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from store.batches import batched

_AT_ONCE = 16
_LONGEST = 8192  # tokens, for tokenizers that state no limit


def main() -> None:
    out, sys.stdout = sys.stdout, sys.stderr  # libraries print too
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(sys.argv[1])
    model: Any = AutoModelForSequenceClassification.from_pretrained(sys.argv[1], use_safetensors=True).eval()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model.to(device)
    positions = getattr(model.config, "max_position_embeddings", None) or _LONGEST
    limit = min(tokenizer.model_max_length, positions - 2, _LONGEST)  # RoBERTa leaves two positions unused
    print(json.dumps({"ready": True}), file=out, flush=True)
    for line in sys.stdin:
        texts = json.loads(line)["texts"]
        lengths = [len(ids) for ids in tokenizer(texts)["input_ids"]]
        chances: list[list[float]] = []
        size = _AT_ONCE if tokenizer.pad_token else 1
        for part in batched(texts, size):
            tokens = tokenizer(part, truncation=True, max_length=limit, padding=size > 1, return_tensors="pt")
            with torch.inference_mode():
                logits = model(**tokens.to(device)).logits.float()
            chances += torch.softmax(logits, dim=-1).tolist()
        print(json.dumps({"chances": chances, "cut": [length > limit for length in lengths]}), file=out, flush=True)


if __name__ == "__main__":
    main()
