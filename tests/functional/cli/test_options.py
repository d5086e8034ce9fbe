"""Options made from settings models: all of them are there, under headings, and only what was given is passed on."""

from __future__ import annotations

from typing import Any

import pytest

from o1lab.cli.base import options
from o1lab.cli.base.command import Verbs
from o1lab.cli.base.output import invoked
from o1lab.cli.main import run
from o1lab.settings import settings_of
from o1lab.train.recipes.recipe import Recipe

VERBS = {
    "distill": ("--endpoint", "-e", "--problems", "--traces", "--method", "--prompt", "--n", "--limit", "--temperature",
                "--top-p", "--seed", "--max-tokens", "--reasoning-effort", "--critic", "--rounds", "--language",
                "--concurrency", "--requests-per-minute", "--tokens-per-minute", "--attempts", "--silence-timeout",
                "--first-token-timeout",
                "--stream", "--budget-usd", "--budget-tokens", "--engine", "--estimate", "--resume", "--detach"),
    "eval run": ("--model", "-m", "--samples", "--limit", "--items", "--temperature", "--top-p", "--seed",
                 "--max-tokens", "--reasoning-effort", "--force-answer", "--judge", "--reuse", "--no-reuse",
                 "--concurrency", "--requests-per-minute", "--tokens-per-minute", "--attempts", "--silence-timeout",
                "--first-token-timeout",
                 "--budget-usd", "--budget-tokens", "--resume", "--rescore", "--detach"),
    "train": ("--base", "--dataset", "--recipe", "--init-from", "--set", "--dry-run", "--wait", "--check"),
}  # fmt: skip


@pytest.mark.parametrize("verb", VERBS)
def test_no_option_was_lost(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*verb.split(), "--help"]) == 0
    words = capsys.readouterr().out.replace(",", " ").split()
    assert set(VERBS[verb]) <= set(words)
    assert "Example:" in words


def test_every_field_is_under_its_heading(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", "--help"]) == 0
    text = capsys.readouterr().out
    lines = text.splitlines()
    at = [lines.index(f"{section}:") for section in dict.fromkeys(one.section for one in settings_of(Recipe).values())]
    assert at == sorted(at) and lines.index("Options:") > at[-1]
    rank = settings_of(Recipe)["lora_r"].help
    assert f"--lora-r <int>,... {rank} [default: 16; 1<=x<=1024]" in " ".join(text.split())


def given_by(arguments: list[str]) -> dict[str, Any]:
    """What a command made from the recipe is given."""
    found: list[dict[str, Any]] = []
    verbs = Verbs()

    @verbs.command(settings="o1lab.train.recipes.recipe:Recipe")
    def train(quick: bool = False) -> None:
        found.append(options.given() | {"quick": quick})

    with invoked():
        verbs(arguments, standalone_mode=False)
    return found[0]


def test_only_what_was_given_is_passed_on() -> None:
    assert given_by([]) == {"quick": False}
    assert given_by(["--quick", "--phase", "1", "--steps", "3", "--gradient-checkpointing"]) == {
        "quick": True, "phase": 1, "steps": 3, "gradient_checkpointing": True,
    }  # fmt: skip
    assert given_by(["--no-gradient-checkpointing"]) == {"quick": False, "gradient_checkpointing": False}


def test_a_list_is_given_by_repeating_its_option() -> None:
    values = given_by(["--probe", "1 + 1? => 2", "--probe", "Hm"])
    probes = Recipe.model_validate({"dataset": "d", "probes": values["probes"]}).probes
    assert [(probe.prompt, probe.gold) for probe in probes] == [("1 + 1?", "2"), ("Hm", None)]


def test_numbers_and_choices_take_several_values_by_commas() -> None:
    assert given_by(["--seed", "1, 2", "--phase", "1,2", "--learning-rate", "1e-4", "--lora-targets", "q,v"]) == {
        "quick": False, "seed": [1, 2], "phase": [1, 2], "learning_rate": 1e-4, "lora_targets": "q,v",
    }  # fmt: skip


def test_a_value_that_is_no_choice_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", "--schedule", "steep"]) == 2
    assert "Invalid value for '--schedule': 'steep' is not one of" in capsys.readouterr().err
