"""Errors of torch, transformers, PEFT and TRL are explained, from an exception and from the log of a dead process."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from o1lab.models.library_errors import explain, explained, last_error
from o1lab.process import started_at
from o1lab.train.runs.directory import RunDir, RunStatus

KNOWN = [
    ("DistStoreError: Timed out after 901 seconds waiting for clients. 1/2 clients joined.", "node_missing", "1 of 2"),
    ("IndexError: index out of range in self", "index", "token or a position"),
    ("OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB", "out_of_memory", "GPU ran out"),
    ("RuntimeError: [enforce fail] DefaultCPUAllocator: can't allocate memory: you tried", "out_of_memory", "machine"),
    (
        "ValueError: Applying a PEFT adapter to `lm_head` is not supported: the log-probabilities",
        "head_target",
        "lm_head",
    ),
    ("ValueError: lora.ParamWrapper does not work with lora_dropout != 0.", "expert_dropout", "experts"),
    (
        "NoMatchingPeftModuleError: Target modules {'x'} not found in the base model.",
        "no_targets",
        "lora_targets",
    ),
    (
        "ValueError: The repository x contains custom code which must be executed to correctly load the model.",
        "remote_code",
        "its own Python code",
    ),
    (
        "ValueError: The checkpoint you are trying to load has model type `new` but Transformers does not recognize",
        "unknown_architecture",
        "does not know the architecture",
    ),
    (
        "ImportError: Using `bitsandbytes` 4-bit needs bitsandbytes: `pip install -U bitsandbytes>=0.46`",
        "quantised_library",
        "needs bitsandbytes",
    ),
    ("ModuleNotFoundError: No module named 'tiktoken'", "package_missing", "tiktoken"),
    ("SafetensorError: Error while deserializing header: HeaderTooLarge", "damaged_weights", "damaged"),
    ("RuntimeError: size mismatch for model.embed_tokens.weight: copying a param", "weights_mismatch", "shapes"),
    ("OSError: We couldn't connect to 'https://huggingface.co' to load the files", "offline", "hub cannot be reached"),
    (
        "RuntimeError: The driver is too old (found an old version of the NVIDIA driver)",
        "driver",
        "",
    ),
    (
        "torch.AcceleratorError: CUDA error: no kernel image is available",
        "driver",
        "no code for this GPU",
    ),
    ("RuntimeError: CUDA error: an illegal memory access was encountered\nCUDA kernel", "gpu", "illegal memory access"),
    ("OSError: [Errno 28] No space left on device", "disk_full", "disk is full"),
    ("Fatal Python error: Segmentation fault", "crash", "crashed inside a library"),
    ("Killed", "killed", "was killed"),
]


@pytest.mark.parametrize(("text", "code", "words"), KNOWN, ids=[code for _, code, _ in KNOWN])
def test_known_errors_are_explained_with_what_to_do(text: str, code: str, words: str) -> None:
    found = explain(text)
    assert found is not None
    assert found.code == code
    assert words in found.message
    assert found.message.endswith(".")
    assert found.hint.endswith(".")


def test_an_unknown_error_is_quoted_with_what_failed() -> None:
    assert explain("ValueError: something new") is None
    assert str(explained(ValueError("Something new.\nMore."), "It failed", "Try.")) == "It failed: Something new. Try."
    assert explained(OSError(28, "No space left on device"), "It failed", "Try.").message.startswith(
        "It failed. The disk"
    )


def test_the_last_error_of_a_log_is_found_below_its_traceback() -> None:
    log = [
        "KeyError: 'an earlier one'",
        "Traceback (most recent call last):",
        '  File "x.py", line 3, in run',
        "    raise ValueError(words)",
        "ValueError: the last one",
        "with a second line",
    ]
    assert last_error(log) == "ValueError: the last one\nwith a second line"
    assert last_error(["step 3", "An error rate of 3 %."]) == ""


@pytest.mark.parametrize(
    ("log", "message", "hint"),
    [
        (
            "step 1\nTraceback (most recent call last):\ntorch.OutOfMemoryError: CUDA out of memory. Tried\nstep\n",
            "The GPU ran out of memory.",
            "Lower batch_size (raise grad_accumulation), turn on gradient_checkpointing, or lower max_length. "
            "It has no checkpoint to resume from.",
        ),
        (
            "Traceback (most recent call last):\nValueError: an odd thing\n",
            "The process ended without reporting why. The last error in its log: ValueError: an odd thing.",
            "It has no checkpoint to resume from.",
        ),
        (
            "ValueError: a bad value\nmodel.py:9: FutureWarning: set trust_remote_code\n{'loss': 0.5}\n",
            "The process ended without reporting why. The last error in its log: ValueError: a bad value.",
            "It has no checkpoint to resume from.",
        ),
        (
            "ValueError: of an earlier session\n--- o1lab: a session starts, 2026-01-01 10:00:00 ---\n"
            "UserWarning: there appear to be 2 leaked semaphores\n",
            "The process was killed: it reported no error, and its log has none.",
            "Perhaps memory ran out. Then train again with a lower batch_size. It has no checkpoint to resume from.",
        ),
        (
            "",
            "The process was killed: it reported no error, and its log has none.",
            "Perhaps memory ran out. Then train again with a lower batch_size. It has no checkpoint to resume from.",
        ),
    ],
)
def test_a_dead_run_gives_the_last_error_of_its_log_and_a_hint(
    log: str, message: str, hint: str, tmp_path: Path
) -> None:
    run = RunDir(tmp_path / "0a1b")
    run.checkpoints_dir.mkdir(parents=True)
    run.log.write_text(log)
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    started = started_at(child.pid)
    child.wait()
    run.write_status(
        RunStatus("running", pid=child.pid, host=socket.gethostname(), pid_started=started, heartbeat=time.time())
    )
    status = run.info().status
    assert (status.message, status.hint) == (message, hint)
