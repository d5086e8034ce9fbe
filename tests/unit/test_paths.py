"""Who and where one is."""

from __future__ import annotations

import os
import pwd

import pytest

from o1lab.paths import annotator


def test_annotations_are_signed_with_the_name_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(number: int) -> pwd.struct_passwd:
        raise KeyError(f"getpwuid(): uid not found: {number}")

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    for name in ("O1LAB_ANNOTATOR", "LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    assert annotator() == f"user-{os.getuid()}"
    monkeypatch.setenv("USER", "wu")
    assert annotator() == "wu"
    monkeypatch.setenv("O1LAB_ANNOTATOR", "lin")
    assert annotator() == "lin"
