"""Several annotators on the Traces screen: queues, adjudication, agreement, and what the policy shows."""

from __future__ import annotations

from pathlib import Path

import pytest

from o1lab.app import LabApp
from o1lab.widgets.dialogs import PickDialog, PreviewDialog
from screens.base.context import LabContext
from screens.traces.text import problem_name
from store import annotations as annotation_log
from store import decisions, open_store, traces
from store.filters import TraceQuery
from store.policy import POLICIES
from tests.functional.screens.test_traces import NARROW, WIDE, ready, typed, until, words
from tests.support.compare_lab import filter_by, shown
from tests.support.lab_seed import all_ids, seeded_context


@pytest.fixture
def context(tmp_path: Path) -> LabContext:
    return seeded_context(tmp_path / "lab", 8)


@pytest.fixture
def ids(context: LabContext) -> list[str]:
    """The traces. On the second, third and fourth, ann and ben differ; the person of the app has seen none."""
    found = list(all_ids(context.store))
    for who, values in (("ann", "aaaa"), ("ben", "arrr")):
        for trace, value in zip(found, values, strict=False):
            decision = "accept" if value == "a" else "reject"
            annotation_log.annotate(context.store.db, trace, "decision", decision, annotator=who)
    return found


def found(context: LabContext, filter_: str) -> list[str]:
    return traces.ids(context.store.db, TraceQuery.parse(filter_))


async def test_three_keys_open_the_disputed_and_one_key_settles_each(context: LabContext, ids: list[str]) -> None:
    app = LabApp(context, mode="traces")
    async with app.run_test(size=NARROW) as pilot:
        screen = await ready(pilot, app)
        await until(pilot, lambda: "3 disputed · majority of 2" in words(screen, "#heading"))
        await pilot.press("I")
        await until(pilot, lambda: isinstance(app.screen, PickDialog) and bool(app.screen.choices))
        assert "policy majority" in words(app.screen, ".hint")
        await pilot.press("enter")  # the disputed come first
        await until(pilot, lambda: screen.table.total == 3 and screen.target() == ids[1])
        await until(pilot, lambda: "disputed · ann accepted, ben rejected" in words(screen, "#remarks"))
        assert screen.query_now.source == "agreement:disputed"
        await pilot.press("plus")
        await until(pilot, lambda: screen.table.total == 2 and screen.target() == ids[2])
        assert "tester: adjudicated: accepted" in words(screen, "#message")
        await pilot.press("minus")
        await until(pilot, lambda: screen.table.total == 1 and screen.target() == ids[3])
        await pilot.press("minus")
        await until(pilot, lambda: "nothing left in this list" in words(screen, "#message"))
        name = problem_name(traces.get(context.store.db, ids[3]))
        assert "tester: adjudicated: rejected; nothing left in this list · " in words(screen, "#message")
        assert name in words(screen, "#message")
        await until(pilot, lambda: screen.table.total == 0 and screen.target() == ids[3])
        await until(pilot, lambda: "rejected adjudicated by tester" in words(screen, "#remarks"))  # the chain stays
        assert screen.shown is not None and screen.shown.row.id == ids[3]
        assert found(context, "decision:accept") == ids[:2]
        assert found(context, "decision:reject agreement:adjudicated") == ids[2:4]
        await pilot.press("u")
        await until(pilot, lambda: found(context, "agreement:disputed") == [ids[3]])


async def test_a_queue_keeps_the_words_of_the_filter_and_drops_its_decisions(
    context: LabContext, ids: list[str]
) -> None:
    app = LabApp(context, mode="traces")
    async with app.run_test(size=NARROW) as pilot:
        screen = await ready(pilot, app)
        await filter_by(pilot, 'decision=accept -"no decision:x here')
        await until(pilot, lambda: screen.query_now.source == 'decision=accept -"no decision:x here"')
        await pilot.press("I")
        await until(pilot, lambda: isinstance(app.screen, PickDialog) and bool(app.screen.choices))
        await pilot.press("enter")
        await until(pilot, lambda: screen.query_now.source == '-"no decision:x here" agreement:disputed')
        await until(pilot, lambda: screen.table.total == 3)


@pytest.mark.parametrize("policy", POLICIES)
async def test_going_on_after_a_decision_leaves_out_nothing_that_others_decided(
    context: LabContext, ids: list[str], policy: str
) -> None:
    decisions.use_policy(context.store.db, policy)
    app = LabApp(context, mode="traces")
    async with app.run_test(size=WIDE) as pilot:
        screen = await ready(pilot, app)
        await pilot.press("j")
        await until(pilot, lambda: screen.target() == ids[1])
        await pilot.press("a")
        await until(pilot, lambda: screen.target() == ids[2])
        await pilot.press("k", "k")
        await until(pilot, lambda: screen.target() == ids[0])
        await pilot.press("x")  # past the one that the person decided, no further
        await until(pilot, lambda: screen.target() == ids[2])


async def test_the_footer_shows_what_adjudicates_while_the_chain_is_disputed(
    context: LabContext, ids: list[str]
) -> None:
    app = LabApp(context, mode="traces")
    async with app.run_test(size=NARROW) as pilot:
        screen = await ready(pilot, app)
        await until(pilot, lambda: "Skip" in shown(pilot))
        assert "Settle" not in shown(pilot)
        await pilot.press("j")
        await until(pilot, lambda: "+- Settle" in shown(pilot))
        await pilot.press("enter")
        await until(pilot, lambda: "+- Settle" in shown(pilot))
        await pilot.press("plus")
        await until(pilot, lambda: found(context, "agreement:adjudicated") == [ids[1]])
        await pilot.press("escape", "g")
        await until(pilot, lambda: screen.target() == ids[0] and "Settle" not in shown(pilot))


async def test_one_of_a_kind_is_said_in_the_singular(context: LabContext) -> None:
    trace = next(all_ids(context.store))
    for who, value in (("ann", "accept"), ("ben", "reject")):
        annotation_log.annotate(context.store.db, trace, "decision", value, annotator=who)
    app = LabApp(context, mode="traces")
    async with app.run_test(size=NARROW) as pilot:
        await ready(pilot, app)
        await pilot.press("I")
        await until(pilot, lambda: isinstance(app.screen, PickDialog) and bool(app.screen.choices))
        await until(pilot, lambda: "1 trace" in shown(pilot) and "2 annotators" in shown(pilot))
        assert "1 traces" not in shown(pilot)


async def test_the_queue_of_unseen_traces_goes_on_to_those_that_others_decided(
    context: LabContext, ids: list[str]
) -> None:
    app = LabApp(context, mode="traces")
    async with app.run_test(size=WIDE) as pilot:
        screen = await ready(pilot, app)
        await pilot.press("I", *typed("not seen"))
        await until(pilot, lambda: isinstance(app.screen, PickDialog) and len(app.screen.choices) == 1)
        await pilot.press("enter")
        await until(pilot, lambda: screen.query_now.source == "mine:none" and screen.target() == ids[0])
        await until(pilot, lambda: "8 to do · yours; D shows majority of 2" in words(screen, "#heading"))
        await until(pilot, lambda: "ann accepted, ben accepted · not by you" in words(screen, "#remarks"))
        await pilot.press("x")
        await until(pilot, lambda: screen.target() == ids[1] and screen.table.total == 7)
        await until(pilot, lambda: "7 to do · yours; D shows majority of 3" in words(screen, "#heading"))
        assert found(context, "mine:reject") == ids[:1]
        assert traces.get(context.store.db, ids[0]).decision == "accept", "two against one"


async def test_the_policy_own_hides_what_others_decided(context: LabContext, ids: list[str]) -> None:
    decisions.use_policy(context.store.db, "own")
    app = LabApp(context, mode="traces")
    async with app.run_test(size=WIDE) as pilot:
        screen = await ready(pilot, app)
        await until(pilot, lambda: "8 to do · your decisions" in words(screen, "#heading"))
        assert "to do · 2 others decided" in words(screen, "#remarks")
        await pilot.press("plus")
        await until(pilot, lambda: "does not count: the policy is own" in words(screen, "#message"))
        await until(pilot, lambda: screen.target() == ids[1])
        await pilot.press("x")
        await until(pilot, lambda: screen.target() == ids[2] and "7 to do" in words(screen, "#heading"))
        assert found(context, "decision:reject") == [ids[1]]


async def test_what_a_majority_settles_is_neither_marked_nor_counted_nor_in_the_queue(
    context: LabContext, ids: list[str]
) -> None:
    annotation_log.annotate(context.store.db, ids[1], "decision", "accept", annotator="cara")
    app = LabApp(context, mode="traces")
    async with app.run_test(size=NARROW) as pilot:
        screen = await ready(pilot, app)
        await until(pilot, lambda: "2 disputed · majority of 3" in words(screen, "#heading"))
        await pilot.press("I")
        await until(pilot, lambda: isinstance(app.screen, PickDialog) and bool(app.screen.choices))
        await pilot.press("enter")
        await until(pilot, lambda: screen.table.total == 2 and screen.target() == ids[2])


async def test_the_queue_of_the_disputed_is_there_under_the_policy_own(context: LabContext, ids: list[str]) -> None:
    annotation_log.annotate(context.store.db, ids[1], "decision", "accept", annotator="cara")
    decisions.use_policy(context.store.db, "own")
    app = LabApp(context, mode="traces")
    async with app.run_test(size=NARROW) as pilot:
        screen = await ready(pilot, app)
        await pilot.press("I")
        await until(pilot, lambda: isinstance(app.screen, PickDialog) and bool(app.screen.choices))
        await pilot.press("enter")
        await until(pilot, lambda: screen.table.total == 3 and screen.target() == ids[1])
        assert not any(row.disputed for row in traces.page(context.store.db, TraceQuery()))


async def test_agreement_is_shown_and_leads_to_the_disputed(context: LabContext, ids: list[str]) -> None:
    app = LabApp(context, mode="traces")
    async with app.run_test(size=WIDE) as pilot:
        screen = await ready(pilot, app)
        await pilot.press("I", *typed("kappa"))
        await until(pilot, lambda: isinstance(app.screen, PickDialog) and len(app.screen.choices) == 1)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, PreviewDialog))
        dialog = app.screen
        assert isinstance(dialog, PreviewDialog)
        text = str(dialog.query_one("Static").render())
        # By hand: they agree on 1 of 4; by chance, on 1 * 0.25 + 0 * 0.75 = 0.25 of them.
        assert "ann and ben: the same on 1 of 4" in text
        assert "Cohen's kappa: 0.00, 4 traces: too few for an interval" in text
        first = traces.get(context.store.db, ids[1])
        assert f"{problem_name(first)} {first.model[:20]}" in text and "ann accept, ben reject" in text
        assert "o1lab" not in text and ids[1][:8] not in text  # no command of the shell, no id
        await pilot.press("enter")
        await until(pilot, lambda: screen.query_now.source == "agreement:disputed" and screen.table.total == 3)


async def test_adjudicating_an_undisputed_trace_is_said(context: LabContext, ids: list[str]) -> None:
    app = LabApp(context, mode="traces")
    async with app.run_test(size=WIDE) as pilot:
        screen = await ready(pilot, app)
        await pilot.press("plus")
        said = "tester: adjudicated: accepted; the trace was not disputed · "
        await until(pilot, lambda: said in words(screen, "#message"))
        await until(pilot, lambda: screen.target() == ids[1])
        assert ids[1][:8] in words(screen, "#origin")
        await pilot.press("plus")
        await until(pilot, lambda: "tester: adjudicated: accepted · " in words(screen, "#message"))


async def test_what_another_program_decides_appears(context: LabContext, ids: list[str]) -> None:
    app = LabApp(context, mode="traces")
    async with app.run_test(size=WIDE) as pilot:
        screen = await ready(pilot, app)
        await pilot.press("a")
        await until(pilot, lambda: "saved" in words(screen, "#message"))
        other = open_store(context.lab.database, annotator="cara")
        for trace in ids[4:6]:
            annotation_log.annotate(other.db, trace, "decision", "accept", annotator="cara")
        other.close()
        screen.look_for_changes()
        await until(pilot, lambda: "majority of 4" in words(screen, "#heading"))
        assert found(context, "mine:accept") == ids[:1]
        assert len(list(annotation_log.everything(context.store.db))) == 8 + 1 + 2
