"""sqlite-utils, imported without what we never use of it."""

from __future__ import annotations

import sys

# sqlite-utils imports pandas and numpy wherever they are installed (the train extra brings them), only to know
# their column types. That is more than a second before the first paint, so for this import there are none.
_kept_out = [name for name in ("pandas", "numpy") if name not in sys.modules]
for _name in _kept_out:
    sys.modules[_name] = None  # type: ignore[assignment]
try:
    from sqlite_utils import Database
    from sqlite_utils.migrations import Migrations
finally:
    for _name in _kept_out:
        del sys.modules[_name]

__all__ = ["Database", "Migrations"]
