"""Launchers: what starts the worker of a training run, here or on a cluster (``o1lab train --on``)."""

from o1lab.train.launcher import LAUNCHERS, Examined, Launcher, Seen, launcher

__all__ = ["LAUNCHERS", "Examined", "Launcher", "Seen", "launcher"]
