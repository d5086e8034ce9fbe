"""What the app does to its lab in the background after it has started: measure traces, label their moves."""

from __future__ import annotations

from collections.abc import Callable

from screens.base.context import LabContext

_WORTH_TELLING = 60
"""Chains that take more than a few seconds to label."""


def measure_pending(context: LabContext, tell: Callable[[str], object], stop: Callable[[], bool]) -> None:
    """Measure traces that an import or a newer segmenter left unmeasured. Blocks.

    Args:
        context: the lab; nothing is done if it is read-only.
        tell: shows a message.
        stop: whether to stop.

    Raises:
        StoreError: the database failed.
    """
    from o1lab.ingest.measuring import MEASURED_BY, measure_pending
    from store import traces

    pending = 0 if context.store.read_only else traces.count_unmeasured(context.store.db, MEASURED_BY)
    if pending:
        tell(f"Measuring {pending:,} traces in the background.")
        report = measure_pending(context.store, stop=stop)
        if not report.stopped:
            tell(f"Measured {report.measured:,} traces. Reload a list to see the new values.")


def label_pending(context: LabContext, tell: Callable[[str], object], stop: Callable[[], bool]) -> None:
    """Have the classifier label the moves of chains that it has not looked at. Blocks; arguments as above.

    Raises:
        LabError: the classifier cannot be used; the kinds of the rules stay.
        StoreError: the database failed.
    """
    from o1lab.ingest.labelling import label_pending, labeller_of

    if not context.store.read_only:
        done = label_pending(context.store, labeller_of(context.lab), stop=stop)
        if done.total() >= _WORTH_TELLING and not stop():
            tell(f"Labelled the moves of {done.total():,} traces. Reload a list to see the new values.")
