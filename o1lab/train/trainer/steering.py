"""Trainer callback that decides when a run logs, evaluates, saves and stops, in every process of the run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from transformers import TrainerCallback

from o1lab.train.recipes.recipe import Recipe
from o1lab.train.trainer.callbacks import Reporter
from o1lab.train.trainer.distributed import World
from o1lab.train.trainer.held_out_loss import HeldOutLoss


class Steering(TrainerCallback):  # type: ignore[misc]  # transformers is not typed for us
    """Makes all processes of a run do the same at each step.

    What only the first process knows or does (a stop request, a loss that is not finite, the probes, the name of a
    checkpoint) is decided here for all processes: one that differed would wait for the others forever.

    Args:
        recipe: the recipe.
        world: the processes of the run.
        stop: whether this process was asked to stop; a request to any of them stops all.
        reporter: writes what happens; the first process has it, the others have none.

    Attributes:
        trainer: must be set before training starts.
        held_out_loss: measures the losses of the recipe's ``lens_traces`` at each checkpoint; None for none.
        stopped: whether the run was stopped on request.
        failed: whether the run cannot continue; the reporter knows why.
    """

    def __init__(self, recipe: Recipe, world: World, stop: Callable[[], bool], reporter: Reporter | None) -> None:
        self.trainer: Any = None
        self.held_out_loss: HeldOutLoss | None = None
        self.stopped = False
        self.failed = False
        self._recipe, self._world, self._stop, self._reporter = recipe, world, stop, reporter
        self._ask_after_log = False

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
        if self._reporter:
            self._reporter.begin(state)
        if state.global_step == 0:
            self._ask_probes(kwargs["model"], 0)
            self._measure(kwargs["model"], args, state, control)
        return control

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
        if self._reporter:
            self._reporter.begin_step()
        return control

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
        step, recipe = state.global_step, self._recipe
        last = step >= state.max_steps
        if self._reporter:
            self._reporter.end_step(step)
        if self._world.any(self._stop()) and not last:
            if self._reporter:
                self._reporter.stopping()
            self.stopped = control.should_training_stop = True
            control.should_log = control.should_save = True
            return control
        if last or (recipe.save_steps and step % recipe.save_steps == 0):
            control.should_save = control.should_log = True  # logging comes first and prevents saving a NaN
        if last or (recipe.eval_steps and step % recipe.eval_steps == 0):
            control.should_evaluate = self.trainer.eval_dataset is not None
            control.should_log = self._ask_after_log = True
        return control

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any) -> Any:
        logs = logs or {}
        if self._reporter:
            self._reporter.log(state, logs)
        if "loss" not in logs:
            return control
        if self._world.any(self._reporter is not None and self._reporter.failure is not None):
            self.failed = control.should_training_stop = True
            control.should_save = control.should_evaluate = False
        if self._ask_after_log:
            self._ask_after_log = False
            if not self.failed:
                self._ask_probes(kwargs["model"], state.global_step)
        return control

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
        """Give the checkpoint its final name once every process has written its part."""
        self._world.wait()
        if self._reporter:
            self._reporter.save(args.output_dir, state.global_step)
        self._world.wait()
        self._measure(kwargs["model"], args, state, control)
        return control

    def _measure(self, model: Any, args: Any, state: Any, control: Any) -> None:
        """Measure the losses on held-out chains, in all processes together, and log them to the trackers."""
        if self.held_out_loss is not None:
            found = self.held_out_loss.measure(model, self.trainer.compute_loss_context_manager())
            if self._reporter:
                self._reporter.held_out_losses(state.global_step, found)
            if self._reporter and found:
                # The trainer's own log would add the step metrics that TRL has collected, and reset them.
                self.trainer.callback_handler.on_log(args, state, control, dict(found))

    def _ask_probes(self, model: Any, step: int) -> None:
        if not self._recipe.probes:
            return
        if self._reporter:
            self._reporter.ask_probes(model, step)
        self._world.wait()  # without a timeout, because long answers may take minutes
