"""``o1lab compare ask`` in the background: it is killed, resumed, stopped and resumed, and pays for nothing twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from o1lab.chat.rounds.directory import RoundFolder
from o1lab.inference import journal
from o1lab.jobs.directory import ACTIVE
from o1lab.labs import open_lab
from o1lab.paths import Lab
from store import conversations, rounds
from tests.support.distill_lab import make_lab
from tests.support.distill_server import DistillServer, Question
from tests.support.programs import program
from tests.support.waiting import until

PATIENCE_S = 300
PROMPTS, SEEDS, AT_ONCE = 20, (1, 2), 3
CALLS = PROMPTS * len(SEEDS)


def compare(lab: Lab, *words: str) -> dict[str, Any]:
    command = program("compare", *words, "--json", lab=lab)
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def journalled(folder: RoundFolder) -> set[Question]:
    """The questions whose responses are in the journal: the sums of the lab are 100 + 107, 101 + 108 and so on."""
    prompts = folder.prompts()
    found = set()
    for _, response in journal.read(folder.journal):
        first, second = prompts[int(response.key.item)].removeprefix("What is ").rstrip("?").split(" + ")
        found.add((int(first), int(second), SEEDS[response.key.sample]))
    return found


def saved(lab: Lab, folder: RoundFolder) -> list[tuple[str, int, str]]:
    with closing(open_lab(lab)) as store:
        return rounds.answers(store.db, folder.id)


def ended(folder: RoundFolder) -> Any:
    """Wait until a round does not run any more; returns what it says of itself."""
    until(lambda: folder.info().state not in ACTIVE, folder.info)
    return folder.info()


@pytest.mark.usefixtures("real_python")
def test_a_killed_round_goes_on_and_asks_nothing_of_its_journal_again(tmp_path: Path) -> None:
    with DistillServer(latency_s=0.05, treat=lambda *_: "ok" if server.asked.total() <= 25 else "blocks") as server:
        lab = make_lab(tmp_path / "lab", server.url, PROMPTS)
        contestants = [word for seed in SEEDS for word in ("-m", f"teacher,seed={seed}")]
        begun = compare(lab, "ask", "sums", *contestants, "--concurrency", str(AT_ONCE), "--detach")
        folder = RoundFolder(lab.rounds / begun["id"])
        server.wait_until_asked(15)
        os.kill(begun["pid"], signal.SIGKILL)
        info = ended(folder)
        kept = journalled(folder)
        assert kept, "no response was journalled before the kill: the test has shown nothing"
        shown = compare(lab, "show", folder.id)
        assert (shown["state"], shown["requested"]) == ("dead", CALLS)
        assert shown["done"] == info.status.done <= len(kept)
        assert f"o1lab compare resume {folder.id}" in shown["hint"]
        asked = dict(server.asked)

        compare(lab, "resume", folder.id, "--detach")
        server.wait_until_asked(26)  # the last ones are in flight, and stay there
        compare(lab, "stop", folder.id)
        server.release.set()
        info = ended(folder)
        assert (info.state, info.status.stopped_by) == ("stopped", "stop"), info
        assert kept <= journalled(folder) and len(kept) < info.status.done < CALLS
        assert info.status.done == len(saved(lab, folder))

        end = compare(lab, "resume", folder.id)
        assert (end["state"], end["requested"], end["done"], end["failed"]) == ("finished", CALLS, CALLS, 0)
        assert {one: server.asked[one] for one in kept} == {one: asked[one] for one in kept}
        assert server.asked.total() - CALLS <= AT_ONCE, "only what was in flight at the kill was asked twice"
    answers = saved(lab, folder)
    assert len({one[:2] for one in answers}) == len(answers) == CALLS
    assert {state for _, _, state in answers} == {"complete"}
    with closing(open_lab(lab)) as store:
        assert len(rounds.complete(store.db, folder.id)) == conversations.count(store.db) == PROMPTS
