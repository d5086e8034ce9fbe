"""The tour of the form of a training run: pictures of it, and each field in the order of the form."""

from __future__ import annotations

from typing import NamedTuple

from docs.generate.keys import with_keys
from docs.generate.markdown import code, prose, table
from o1lab.settings import Setting, settings_of
from o1lab.train.recipes.recipe import Recipe

_BEGIN = """
# A tour of the Train form

On the Train screen ({key switch_mode_train}), {key new_run} opens the form of a run. A dataset is all that it
needs: each other field has a value that works, which is shown in it or, if it depends on the base or the machine,
in its place. On a wide terminal the help begins beside each field; that of the field with the focus is whole below
the form. A field that the values of others make pointless, such as the rank of an adapter in full training, is
hidden until it matters: the pictures show fewer fields than the tables.

<kbd>tab</kbd> goes to the next field. {key load_recipe} fills the form from a recipe file. {key go} checks the run:
[preflight](train.md#check-first) reads the rows as the trainer will, says what is wrong and what fits, shows the
command, and starts the run. The form keeps what you typed when you leave it. The settings of another run are taken
over with {key new_like_this} on that run; then `•` marks the fields that you changed.
"""


class Stop(NamedTuple):
    """What is said of a section of the form; ``picture`` is shown above it."""

    about: str
    picture: str = ""


STOPS = {
    "Data and model": Stop(
        "What is learned by which base. Choose the dataset; the phase decides whether the thought is learned (2) "
        "or the solution alone (1), and `init_from` goes on from an earlier student.",
        "form-data",
    ),
    "Prompt": Stop(
        "What stands before the response in a row. The student is asked with the same system prompt and template "
        "in chats and evaluations. Leave these fields empty unless your data need them."
    ),
    "Adapter": Stop(
        "How much of the base changes. Plain LoRA of rank 16 is a good start; `full` trains all weights and needs "
        "several times the memory."
    ),
    "Schedule": Stop(
        "How long and how fast. `batch_size` times `grad_accumulation` rows make a step. The learning rate is the "
        "field to try first if the loss falls slowly or jumps; several values, by commas, are a "
        "[sweep](train.md#sweeps) on the command line.",
        "form-schedule",
    ),
    "Row length": Stop(
        "Long thoughts. Preflight shows the lengths of the rows; a row that is longer than `max_length` stops the "
        "run before it starts, unless you say what to do with it. See [long chains](train.md#long-chains)."
    ),
    "Hardware": Stop(
        "Where it trains, and in which form. Preflight lists which of nf4, packing and checkpointing fit the "
        "device. More than one machine is in [Several GPUs, Slurm, Ray](cluster.md).",
        "form-hardware",
    ),
    "Measurements and checkpoints": Stop(
        "What you see while it trains: the answers to probes, the loss on held-out rows, and checkpoints, each of "
        "which you can chat with."
    ),
    "Preflight": Stop("Problems that you know and accept. They stay in the records of the run."),
}
"""The sections in the order of the form."""


def page() -> str:
    """Return the page.

    Raises:
        KeyError: a section of the form has no stop.
    """
    sections: dict[str, list[Setting]] = {}
    for one in settings_of(Recipe).values():
        if one.display.in_form:
            sections.setdefault(one.section, []).append(one)
    parts = [with_keys(_BEGIN.strip())]
    for section, found in sections.items():
        stop = STOPS[section]
        parts.append(f"## {section}")
        if stop.picture:
            parts.append(f"![The form from the section {section} on](../screenshots/{stop.picture}.svg)")
        rows = ((code(one.name), prose(one.unset), prose(one.full_help)) for one in found)
        parts += [stop.about, table(("Field", "If left alone", "Meaning"), rows)]
    return "\n\n".join(parts)
