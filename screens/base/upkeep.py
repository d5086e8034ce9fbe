"""What the app does to its lab in the background: measure traces and label their moves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from screens.base.context import LabContext
from store import StoreError

_WORTH_TELLING = 60
"""Chains that take more than a few seconds to label."""


class _Waiting(NamedTuple):
    """The work to do: the classifier in use, the traces never measured, the chains never labelled."""

    classifier: str
    unmeasured: int
    unlabelled: int


@dataclass
class Upkeep:
    """Measures and labels the traces of a lab. Its methods block: call them in a thread, one at a time.

    Attributes:
        context: the lab; nothing is done if it is read-only.
        tell: shows a message.
        stop: whether to stop.
    """

    context: LabContext
    tell: Callable[[str], object]
    stop: Callable[[], bool]
    _left: _Waiting | None = field(default=None, init=False)  # what the last pass could not process
    _seen: _Waiting | None = field(default=None, init=False)  # at the last poll

    def catch_up(self) -> None:
        """Measure and label all that an import, a job or a newer version left.

        Raises:
            LabError: the classifier cannot be used; the kinds of the rules stay.
            StoreError: the database failed.
        """
        if self.context.store.read_only:
            return
        busy = True
        while busy and not self.stop():
            self._left = self._waiting()  # before the pass: what arrives during it is new
            try:
                busy = self._measure() + self._label() > 0
            except StoreError:
                self._left = None  # another process had the database: the next poll tries again
                raise

    def poll(self) -> None:
        """Catch up if new traces have arrived and no more are being added.

        Two polls with the same result mean that no import is running: an import measures its traces itself.

        Raises:
            LabError: as for :meth:`catch_up`.
            StoreError: as there.
        """
        if self.context.store.read_only:
            return
        before, self._seen = self._seen, self._waiting()
        if self._seen == before and self._seen != self._left:
            self.catch_up()

    def _waiting(self) -> _Waiting:
        """Count with indexes alone, since this runs every few seconds."""
        from o1lab.errors import LabError
        from o1lab.ingest.labelling import labeller_of
        from store import labelling, traces

        try:
            classifier = labeller_of(self.context.lab).name
        except LabError as error:  # reported once, by the pass
            classifier = str(error)
        with self.context.store.explained():
            db = self.context.store.db
            return _Waiting(classifier, traces.count_never_measured(db), labelling.count_never_labelled(db))

    def _measure(self) -> int:
        from o1lab.ingest.measuring import MEASURED_BY, measure_pending
        from store import traces

        with self.context.store.explained():
            pending = traces.count_unmeasured(self.context.store.db, MEASURED_BY)
        if not pending:
            return 0
        self.tell(f"Measuring {pending:,} traces in the background.")
        report = measure_pending(self.context.store, stop=self.stop)
        if not report.stopped:
            self.tell(f"Measured {report.measured:,} traces. Reload a list to see the new values.")
        return report.measured

    def _label(self) -> int:
        from o1lab.ingest.labelling import label_pending, labeller_of

        done = label_pending(self.context.store, labeller_of(self.context.lab), stop=self.stop)
        if done.total() >= _WORTH_TELLING and not self.stop():
            self.tell(f"Labelled the moves of {done.total():,} traces. Reload a list to see the new values.")
        return done.total()
