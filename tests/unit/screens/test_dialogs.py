"""Writing files that a screen exports."""

from __future__ import annotations

from pathlib import Path

import pytest

from o1lab.errors import LabError
from screens.base.dialogs import write_export


def test_an_export_keeps_what_utf_8_cannot_encode(tmp_path: Path) -> None:
    path = tmp_path / "new" / "page.md"
    write_export(path, "half a pair: \ud835\n")
    assert path.read_bytes() == "half a pair: \ud835\n".encode("utf-8", "surrogatepass")


def test_a_file_that_cannot_be_written_is_reported_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LabError, match="Cannot write"):
        write_export(tmp_path / "file" / "page.md", "text")
