"""Child processes."""

from __future__ import annotations

import subprocess
import sys

# As in the app, where Textual's stand-in for stderr has no descriptor.
CODE = """
import sys

class StandIn:
    def fileno(self): return -1
    def write(self, text): return len(text)
    def flush(self): pass

sys.stderr = StandIn()
from o1lab.process import spawned_pool

with spawned_pool(1) as pool:
    print(pool.submit(abs, -3).result())
assert isinstance(sys.stderr, StandIn)
"""


def test_a_pool_starts_while_the_app_has_stderr() -> None:
    done = subprocess.run([sys.executable, "-P", "-c", CODE], capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.returncode) == ("3", 0), done.stderr
