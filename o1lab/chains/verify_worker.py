"""The process that compares answers with math-verify: ``python -P -m o1lab.chains.verify_worker LIMIT_S MEMORY_MB``.

Input and output are JSON Lines. The process prints ``{"ready": true}`` once sympy is loaded, then answers
``{"gold": …, "answer": …}`` with ``{"status": …, "reason": …}``. A comparison cannot hang: SIGPROF ends the process
when the processor time of an answer is used up, the parent kills it after the wall-clock limit, and an alarm ends it if
the parent is gone.
"""

from __future__ import annotations

import json
import logging
import resource
import signal
import sys
from typing import Any

from o1lab.chains.verify import PATIENCE

_GRACE_S = 5


def main() -> None:
    limit_s, memory_mb = float(sys.argv[1]), int(sys.argv[2])
    logging.disable(logging.CRITICAL)
    # A computation in C blocks Python's signal handlers: only the default action of the signal ends it.
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is handled by the parent
    import math_verify

    _limit_memory(memory_mb)
    _warm_up(math_verify)
    out = sys.stdout
    sys.stdout = sys.stderr
    out.write('{"ready": true}\n')
    out.flush()
    for line in sys.stdin:
        signal.setitimer(signal.ITIMER_PROF, limit_s)
        signal.setitimer(signal.ITIMER_REAL, limit_s * PATIENCE + _GRACE_S)
        job = json.loads(line)
        try:
            status, reason = compare(job["gold"], job["answer"])
        except RecursionError:
            status, reason = "unverifiable", "nested too deeply to be parsed"
        except MemoryError:
            status, reason = "unverifiable", "comparing it needs too much memory"
        except Exception as error:
            status, reason = "unverifiable", f"math-verify failed: {type(error).__name__}"
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        out.write(json.dumps({"status": status, "reason": reason}) + "\n")
        out.flush()


def compare(gold: str, answer: str) -> tuple[str, str]:
    """Compare the parsed values and return (status, reason)."""
    from math_verify import verify

    expected, given = _parsed(gold), _parsed(answer)
    if not _values(expected):
        return "unverifiable", "the gold answer is not mathematics that can be parsed"
    if not _values(given):
        return "unverifiable", "the answer is not mathematics that can be parsed"
    right = verify(expected, given, timeout_seconds=None, raise_on_error=True)
    return ("correct", "equal by math-verify") if right else ("incorrect", "differs by math-verify")


def _parsed(text: str) -> list[Any]:
    from math_verify import ExprExtractionConfig, LatexExtractionConfig, parse

    config = [LatexExtractionConfig(boxed_match_priority=0), ExprExtractionConfig()]
    found: list[Any] = parse(f"\\boxed{{{text}}}", config, parsing_timeout=None, raise_on_error=True)
    if not _values(found):
        found = parse(text, config, parsing_timeout=None, raise_on_error=True)
    return found


def _values(parsed: list[Any]) -> list[Any]:
    """Return the parsed values; math-verify also returns the string it was given."""
    return [value for value in parsed if not isinstance(value, str)]


def _limit_memory(megabytes: int) -> None:
    limit = megabytes << 20
    try:
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    except (ValueError, OSError):
        pass  # a stricter limit is set already, or this system has no such limit


def _warm_up(math_verify: Any) -> None:
    """Build the grammar tables before the first answer is timed."""
    math_verify.verify(
        math_verify.parse("\\boxed{\\frac{1}{2}}", parsing_timeout=None),
        math_verify.parse("\\boxed{0.5}", parsing_timeout=None),
        timeout_seconds=None,
    )


if __name__ == "__main__":
    main()
