"""Explain the errors of torch, transformers, PEFT and TRL: what they mean for a run, and what to do.

It works on texts, so that a failed process can be explained from its log, and imports none of these libraries.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from o1lab.errors import LabError

LESS_MEMORY = "Lower batch_size (raise grad_accumulation), turn on gradient_checkpointing, or lower max_length."
_FETCH = "Fetch the model again."


@dataclass(frozen=True)
class _Known:
    """A kind of error: the pattern of its text, and the sentences, which may use the pattern's groups."""

    code: str
    pattern: re.Pattern[str]
    message: str
    hint: str


def _known(code: str, pattern: str, message: str, hint: str) -> _Known:
    return _Known(code, re.compile(pattern, re.IGNORECASE | re.DOTALL), message, hint)


# The first match counts.
_KNOWN = (
    _known(
        "disk_full",
        r"no space left on device|disk quota exceeded",
        "The disk is full: the run could not write.",
        "Free some space, then resume: the last complete checkpoint is kept.",
    ),
    _known(
        "out_of_memory",
        r"CUDA out of memory|\bOutOfMemoryError\b|CUBLAS_STATUS_ALLOC_FAILED",
        "The GPU ran out of memory.",
        LESS_MEMORY,
    ),
    _known(
        "out_of_memory",
        r"allocate memory|DefaultCPUAllocator|\bMemoryError\b|bad_alloc",
        "The machine ran out of memory.",
        LESS_MEMORY,
    ),
    _known(
        "index",
        r"index out of range in self|device-side assert triggered|vectorized_gather_kernel",
        "A row has a token or a position that the base has no embedding for.",
        "Run preflight, which names it: o1lab train ... --dry-run.",
    ),
    _known(
        "head_target",
        r"PEFT adapter to `?(?P<head>lm_head)",
        "An adapter on the output head ({head}) would not be trained.",
        "Remove {head} from lora_targets, or train it in full: --set modules_to_save={head}.",
    ),
    _known(
        "expert_dropout",
        r"ParamWrapper does not work with lora_dropout",
        "The experts of the base cannot have lora_dropout.",
        "Set lora_dropout to 0, or name the attention layers in lora_targets.",
    ),
    _known(
        "no_targets",
        r"Target modules .* not found in the base model|NoMatchingPeftModule|Target module .* is not supported",
        "No layer that can have an adapter has a name in lora_targets.",
        "Use all-linear. Preflight lists the names that the base has: o1lab train ... --dry-run.",
    ),
    _known(
        "remote_code",
        r"contains custom code|trust_remote_code",
        "The base needs its own Python code (auto_map), which training does not run.",
        "Use a base whose architecture transformers knows, or update transformers: pip install -U transformers.",
    ),
    _known(
        "unknown_architecture",
        r"but Transformers does not recognize|Unrecognized (?:model|configuration class)",
        "The installed transformers does not know the architecture of the base.",
        "Update it (pip install -U transformers), or use another base.",
    ),
    _known(
        "quantised_library",
        r"pip install (?:-U |--upgrade )?[\"']?(?P<package>[\w.-]*(?:bitsandbytes|gptqmodel|autoawq|optimum|hqq|aqlm|"
        r"compressed-tensors|torchao|quanto|eetq|kernels|vptq|auto-round|spqr)[\w.-]*)",
        "The base is quantised and needs {package}, which is not installed.",
        "Install it (pip install {package}), or use the base without quantisation.",
    ),
    _known(
        "package_missing",
        r"No module named '(?P<module>[\w.]+)'|requires the (?P<library>\w+) library",
        "The package {module}{library}, which the base or the training needs, is not installed.",
        "Install it: pip install {module}{library}.",
    ),
    _known(
        "damaged_weights",
        r"SafetensorError|HeaderTooLarge|MetadataIncompleteBuffer|InvalidHeader|header too large",
        "The weights of the base are incomplete or damaged.",
        _FETCH,
    ),
    _known(
        "weights_mismatch",
        r"size mismatch|mismatched sizes|ignore_mismatched_sizes",
        "The weights of the base do not have the shapes in its config.json.",
        _FETCH,
    ),
    _known(
        "offline",
        r"offline mode|couldn'?t connect to|name resolution|LocalEntryNotFound",
        "A file of the base is not on this machine, and the hub cannot be reached.",
        "Check the network, or fetch the model first: o1lab models fetch NAME.",
    ),
    _known(
        "driver",
        r"driver version is insufficient|found an old version of the NVIDIA driver|driver/library version mismatch",
        "The NVIDIA driver does not fit the installed torch.",
        "Update the driver, install a torch for an older CUDA, or choose device cpu.",
    ),
    _known(
        "driver",
        r"no kernel image is available",
        "The installed torch has no code for this GPU.",
        "Install a build of torch that supports it, or choose device cpu.",
    ),
    _known(
        "gpu",
        r"CUDA error: (?P<reason>[^\n]+)",
        "The GPU reported an error: {reason}.",
        "If it happens again, check the GPU with nvidia-smi.",
    ),
    _known(
        "killed",
        r"ChildFailedError.*Root Cause.*?rank\s*:\s*(?P<rank>\d+).*?Signal 9\b",
        "Process {rank} of the run was killed, as a rule because the machine ran out of memory.",
        LESS_MEMORY,
    ),
    _known(
        "node_missing",
        r"waiting for clients\.?\s*(?P<came>\d+)/(?P<all>\d+)",
        "Only {came} of {all} nodes came in the time that they wait for each other.",
        "Start the run's command on every node; all must reach the address of the first one.",
    ),
    _known(
        "node_missing",
        r"client socket has timed out.{0,80}connect to \((?P<host>[^,)]+), (?P<port>\d+)\)",
        "The first node could not be reached at {host}, port {port}.",
        "Start the run's command there, and check the address and the firewall.",
    ),
    _known(
        "killed",
        r"^(?:out of memory: )?killed\b",
        "The process was killed, as a rule because the machine ran out of memory.",
        LESS_MEMORY,
    ),
    _known(
        "crash",
        r"Segmentation fault|Fatal Python error|Bus error|core dumped",
        "The process crashed inside a library ({0}).",
        "If it happens again, check the versions in env.json and the memory of the machine.",
    ),
)
_ERROR_LINE = re.compile(
    r"^(?:\[rank\d+\]:\s*)?(?:[\w.]+\.)?\w*(?:Error|Exception|Interrupt|Exit)\b(?::|$)|"
    r"Segmentation fault|Fatal Python error|Bus error|core dumped|^Killed\b|Out of memory: |terminate called|bad_alloc"
)
# Lines that do not continue the message of an error: warnings, logging, metrics, progress bars, a new traceback.
_OTHER_LINE = re.compile(r"\w*Warning: |^\d{4}-\d\d-\d\d[ T]\d|^\{'|^\d+%\||^Traceback \(|^---(?!-{20})")


def explain(text: str) -> LabError | None:
    """Return the explanation of a library's error, None if it is not a known one.

    Args:
        text: the error's class and message, as the last lines of a traceback.
    """
    for known in _KNOWN:
        if found := known.pattern.search(text):
            groups = {name: (value or "").strip().rstrip(".") for name, value in found.groupdict().items()}
            words = found.group(0).strip()
            return LabError(known.message.format(words, **groups), known.hint.format(words, **groups), code=known.code)
    return None


def explained(error: BaseException, failed: str, hint: str) -> LabError:
    """Return the explanation of a library's error; an unknown one is quoted.

    Args:
        error: the error.
        failed: what failed, as a sentence without its full stop.
        hint: what to do about an unknown error.
    """
    if found := explain(f"{type(error).__name__}: {error}"):
        return LabError(f"{failed}. {found.message}", found.hint, code=found.code)
    return LabError(f"{failed}: {first_line(error)}.", hint)


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message without its full stop; its class if it has none."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].strip().rstrip(".")


def last_error(lines: list[str]) -> str:
    """Return the last error in a log, with the lines of its message; empty if there is none."""
    at = next((i for i in range(len(lines) - 1, -1, -1) if _ERROR_LINE.search(lines[i])), None)
    if at is None:
        return ""
    end = next((i for i in range(at + 1, len(lines)) if _OTHER_LINE.search(lines[i])), len(lines))
    return "\n".join(lines[at:end]).strip()
