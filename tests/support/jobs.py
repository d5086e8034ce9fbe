"""Jobs in tests: prepare one to continue without starting a worker."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from o1lab.jobs.directory import FolderT
from o1lab.jobs.manage import JobKind
from o1lab.paths import Lab


def prepared(kind: JobKind[FolderT], lab: Lab, identity: str, changes: Mapping[str, Any] | None = None) -> FolderT:
    """Prepare a job to continue, with new values of some settings; return its directory."""
    folder = kind.find(lab, identity)
    kind.prepare(lab, folder, changes or {})
    return folder
