"""A lab in which every text that others may write is hostile, and a check of what a program writes to a terminal."""

from __future__ import annotations

import json
import re
from pathlib import Path

import tomlkit
from textual.pilot import Pilot

from o1lab.files import write_json
from o1lab.paths import Lab
from o1lab.train.recipes.probe import Probe
from o1lab.train.recipes.recipe import Recipe
from o1lab.transparency.framework import DEFAULT as INDEX
from o1lab.transparency.scores import SELF
from store import annotations, conversations, open_store, transparency
from store.records import now
from tests.support.evaluate_screen_lab import lab_with_suite, three
from tests.support.fake_runs import write_run
from tests.support.lab_seed import add_raw

HOSTILE = (
    "ok\x1b]52;c;UFdO\x1b\\\x1b]0;OWNED\x07\x1b[31337m\x1b[2J\x9b31337m\x9d0;OWNED\x9c\x90q\x85 \rover\x08\x0b\x00\x7f "
    "\u202egnp\u2066\u2028\u2029\u061c \u200b\ufeff\u2060\ufff9\U000e0041 \ud800 [bold red]markup[/] z" + "\u0335" * 60
)
WORK = f"markup {HOSTILE}"
GROUP = "group " + HOSTILE.replace("\x00", "").replace("\ud800", "")
_CONTROLS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]"
)
_OWN = re.compile(r"\x1b\[[0-9;]*[mHKABCD]|\x1b\[\?[0-9]+[hl]|\r\x1b\[K|\x1b\]22;[a-z-]*\x07")
_TAGS = re.compile("[\U000e0000-\U000e007f]")


def forbidden(written: str) -> list[str]:
    """Return what no terminal may get of ``HOSTILE``: sequences that the program does not write, and floods."""
    text = _OWN.sub("", written)
    flood = ["flood"] if "\u0335" * 5 in text else []
    payload = ["31337"] if "\x1b[31337m" in written else []
    return _CONTROLS.findall(text) + _TAGS.findall(text) + flood + payload


def make_hostile_lab(path: Path) -> Lab:
    lab = lab_with_suite(path)
    three(lab)
    text = HOSTILE.replace("\ud800", "")
    probe = Probe(prompt=text, gold=text)
    recipe = Recipe(dataset="set", dataset_hash="ab12cd34ef56ab12", steps=9, probes=[probe])
    sample = {"step": 3, "prompt": HOSTILE, "gold": HOSTILE, "text": HOSTILE, "answer": HOSTILE, "correct": True}
    run = write_run(
        lab.runs, "aaaa-1", "failed", steps=9, total=9, message=HOSTILE, hint=HOSTILE, log=text,
        samples=[sample], recipe=recipe,
    )  # fmt: skip
    rows = [{"trace_id": "0" * 16, "prompt": HOSTILE, "thought": HOSTILE, "solution": HOSTILE}]
    run.data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    write_json(run.group_file, {"name": GROUP, "varies": {text: text, "seed": HOSTILE}})
    for folder in (*lab.runs.iterdir(), *lab.evals.iterdir()):
        write_json(folder / "about.json", {"name": HOSTILE, "notes": [{"text": HOSTILE, "created_at": now()}]})
    document = tomlkit.parse(lab.config.read_text("utf-8"))
    document["endpoints"].append(  # type: ignore[union-attr]
        tomlkit.item({"name": text, "url": "http://127.0.0.1:9", "model": text, "role": "teacher", "terms": text})
    )
    lab.config.write_text(tomlkit.dumps(document), "utf-8")
    store = open_store(lab.database)
    trace = add_raw(store, f"<think>{HOSTILE}</think>{HOSTILE}", statement=HOSTILE, model=HOSTILE)
    for kind in ("tag", "note", "decision"):
        annotations.annotate(store.db, trace, kind, "accept" if kind == "decision" else HOSTILE, annotator=HOSTILE)
    annotations.annotate(store.db, trace, "span", HOSTILE, span=(0, 9), annotator=HOSTILE)
    for work in (SELF, WORK):
        transparency.add(store.db, INDEX, work, "data.sources", "yes", scorer=HOSTILE, evidence=HOSTILE, note=HOSTILE)
    conversations.create(store.db, HOSTILE, [(HOSTILE, HOSTILE)], {"system": HOSTILE})
    store.close()
    return lab


def drawn(pilot: Pilot[int]) -> str:
    """The text on the screen."""
    return "\n".join(strip.text for strip in pilot.app.screen._compositor.render_strips())
