"""Plugins for tests, put on a path as an installer would lay them out: modules and their dist-info."""

from __future__ import annotations

import shutil
import tomllib
from collections.abc import Mapping
from pathlib import Path

EXAMPLE = Path(__file__).parent.parent / "fixtures" / "example_plugin"


def lay_out(site: Path, name: str, groups: Mapping[str, Mapping[str, str]], **modules: str) -> None:
    """Write a package to ``site``: its entry points by group, and the text of its modules by name."""
    info = site / f"{name.replace('-', '_')}-0.1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.1.0\n", "utf-8")
    sections = ("\n".join([f"[{group}]", *(f"{key} = {value}" for key, value in points.items())])
                for group, points in groups.items())  # fmt: skip
    (info / "entry_points.txt").write_text("\n\n".join(sections) + "\n", "utf-8")
    for module, text in modules.items():
        (site / f"{module}.py").write_text(text, "utf-8")


def lay_out_example(site: Path) -> None:
    """The example package, with the entry points of its pyproject.toml."""
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text("utf-8"))["project"]
    lay_out(site, project["name"], project["entry-points"])
    shutil.copy(EXAMPLE / "o1lab_example.py", site)
