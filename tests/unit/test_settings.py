"""Settings models: what is read from their fields, and texts of a form to values and back."""

from __future__ import annotations

from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field

from o1lab.distill.settings import TeacherRunSettings
from o1lab.errors import UsageError
from o1lab.evaluate.run.settings import EvaluationSettings
from o1lab.settings import Display, faults, settings_of, validate, values_of
from o1lab.train.recipes.recipe import Recipe

MODELS: list[type[BaseModel]] = [Recipe, TeacherRunSettings, EvaluationSettings]


class Shared(BaseModel):
    """What several models inherit."""

    model_config = ConfigDict(extra="forbid")

    limit: Annotated[int | None, Display("Limits", empty="no limit")] = Field(default=None, ge=1, description="Most.")
    heat: Annotated[float | None, Display("Sampling", none="leave it out")] = Field(
        default=0.5, gt=0, le=1, description="How hot."
    )


class Pretend(Shared):
    """A model with a field of each kind."""

    mode: Annotated[Literal["a", "b"], Display("What")] = "a"
    phase: Literal[1, 2] = 2
    about: Annotated[str, Display(empty="everything", when=lambda values: values.get("mode") == "b")] = "x"
    lines: list[str] = Field(default_factory=list)
    quick: bool = False
    seed: Annotated[int, Display("Sampling")] = 1
    limit: Annotated[int | None, Display(default="the lab's")] = Field(default=4, ge=1)


@pytest.mark.parametrize("model", MODELS)
def test_every_field_has_a_section_and_a_sentence_of_help(model: type[BaseModel]) -> None:
    found = settings_of(model)
    assert set(found) == set(model.model_fields)
    for setting in found.values():
        assert setting.section not in ("", "Other") and setting.help.endswith("."), setting.name


@pytest.mark.parametrize("model", MODELS)
def test_every_default_survives_as_text(model: type[BaseModel]) -> None:
    required = {"dataset": "d", "endpoint": "e", "suite": "s", "model": "m"}
    whole = model.model_validate({name: value for name, value in required.items() if name in model.model_fields})
    texts = {name: setting.as_text(getattr(whole, name)) for name, setting in settings_of(model).items()}
    assert model.model_validate(values_of(model, texts)) == whole


def test_sections_of_the_model_come_first_and_inherited_fields_keep_their_place() -> None:
    found = settings_of(Pretend)
    assert [(one.section, one.name) for one in found.values()] == [
        ("What", "mode"), ("What", "phase"), ("What", "about"), ("What", "lines"), ("What", "quick"),
        ("Limits", "limit"), ("Sampling", "heat"), ("Sampling", "seed"),
    ]  # fmt: skip
    assert found["heat"].bounds == "0<x<=1" and found["limit"].bounds == "x>=1" and found["seed"].bounds == ""
    assert found["mode"].choices == ("a", "b") and found["quick"].kind is bool
    assert (found["limit"].unset, found["heat"].unset, found["quick"].unset) == ("the lab's", "0.5", "no")
    assert found["limit"].help == "Most." and settings_of(Shared)["limit"].unset == "no limit"


def test_texts_become_values() -> None:
    texts = {"limit": "", "heat": " none ", "mode": "b", "phase": "1", "about": "", "lines": "x\n\ny", "quick": "true"}
    assert values_of(Pretend, texts) == {
        "heat": None, "mode": "b", "phase": "1", "about": "", "lines": ["x", "y"], "quick": "true",
    }  # fmt: skip
    assert "about" not in values_of(Pretend, texts | {"mode": "a"})


def test_null_of_a_field_with_a_default_is_not_lost() -> None:
    heat = settings_of(Pretend)["heat"]
    assert heat.from_text(heat.as_text(None)) == {"heat": None}


def test_a_number_is_shown_in_full() -> None:
    rate = settings_of(Recipe)["learning_rate"]
    assert (rate.as_text(5e-4), rate.as_text(0.000123456789)) == ("0.0005", "0.000123456789")


def test_a_fault_names_its_field_and_explains_it() -> None:
    with pytest.raises(UsageError, match="The limit: Input should be greater than or equal to 1") as caught:
        validate(Shared, {"limit": 0}, verb="x", of="The ")
    assert caught.value.hint == "Most."
    with pytest.raises(UsageError, match="other") as caught:
        validate(Shared, {"other": 0}, verb="x")
    assert caught.value.hint == "See `o1lab x --help`."


def test_faults_are_listed_by_field() -> None:
    from pydantic import ValidationError

    with pytest.raises(ValidationError) as caught:
        Recipe.model_validate({"dataset": "d", "steps": "x", "device": "gpu"})
    assert faults(caught.value, "max_length") == {
        "steps": "Input should be a valid integer", "device": "a device is auto, cpu or cuda:N",
    }  # fmt: skip
    with pytest.raises(ValidationError) as caught:
        Recipe.model_validate({"dataset": "d", "over_length": "truncate", "max_length": 8})
    assert set(faults(caught.value, "max_length")) == {"max_length"}
