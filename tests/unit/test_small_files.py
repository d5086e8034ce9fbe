"""Small files: what is wrong with YAML is an error, also where libyaml would end the process."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import yaml

from o1lab.paths import assets_dir
from o1lab.small_files import UnreadableError, parse_yaml

DEEP = {
    "lists in a line": "- " * 32_000,
    "keys in a line": "? " * 32_000,
    "brackets": "[" * 200 + "]" * 200,
    "many brackets": "[" * 5_000,
    "objects": '{"a":' * 5_000,
    "indented": "".join(" " * depth + "a:\n" for depth in range(340)),
    "lines of lists": "".join(" " * (16 * depth) + "- " * 8 + "\n" for depth in range(85)) + " " * (16 * 85) + "a",
}


@pytest.mark.parametrize("kind", DEEP)
def test_a_deep_text_is_refused_on_a_small_stack(kind: str) -> None:
    """libyaml would end the process: threads of macOS have 512 KiB."""
    found: list[str] = []

    def parse() -> None:
        try:
            parse_yaml(Path("deep.yaml"), DEEP[kind])
        except UnreadableError as error:
            found.append(error.reason)

    before = threading.stack_size(512 * 1024)
    try:
        thread = threading.Thread(target=parse)
        thread.start()
    finally:
        threading.stack_size(before)
    thread.join()
    assert found == ["it is nested too deeply"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            "\n".join(["- &a0 []", *(f"- &a{n} {'[' * 50}*a{n - 1}{']' * 50}" for n in range(1, 4))]),
            "it is nested too deeply",
        ),
        (
            "\n".join(["a0: &a0 {x: 1}", *(f"a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}]}}" for n in range(1, 40))]),
            "it is not YAML: its merge keys expand to too many values (line 15)",
        ),
        ("a: 1\na: 2", "it is not YAML: the key 'a' is given twice (line 1)"),
        ("a: *x", "it is not YAML: found undefined alias 'x' (line 1)"),
        ("a: [1,", "it is not YAML: expected the node content, but found '<stream end>' (line 1)"),
        ("a: &a [*a]", "its aliases expand to too many values"),
    ],
)
def test_an_error_says_what_is_wrong_and_where(text: str, reason: str) -> None:
    with pytest.raises(UnreadableError) as refused:
        parse_yaml(Path("wrong.yaml"), text)
    assert refused.value.reason == reason


def test_merge_keys_are_resolved() -> None:
    text = "a: &a {x: 1, y: 2}\nb: &b {<<: *a, y: 3}\nc: {<<: [*b, *a], z: 4}"
    assert parse_yaml(Path("merged.yaml"), text)["c"] == {"x": 1, "y": 3, "z": 4}


@pytest.mark.parametrize("kind", DEEP)
def test_without_libyaml_a_deep_text_is_refused_as_well(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yaml, "__with_libyaml__", False)
    with pytest.raises(UnreadableError, match="nested too deeply"):
        parse_yaml(Path("deep.yaml"), DEEP[kind])


@pytest.mark.parametrize("folder", ["recipes", "suites", "words"])
def test_the_files_of_the_program_mean_what_the_parser_in_python_reads(folder: str) -> None:
    files = sorted((assets_dir() / folder).glob("*.yaml"))
    assert files
    for file in files:
        text = file.read_text("utf-8")
        assert parse_yaml(file, text) == yaml.safe_load(text)
