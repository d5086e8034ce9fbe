"""How settings are named in the heading of the Compare screen and in the titles of its panes."""

from __future__ import annotations

from o1lab.chat.panes import Settings


def describe(settings: Settings) -> str:
    """Describe the settings in a line."""
    sampling = settings.sampling
    parts = [f"temperature {sampling.temperature:g}"] if sampling.temperature is not None else []
    parts += [f"top-p {sampling.top_p:g}"] if sampling.top_p is not None else []
    parts += [f"max {sampling.max_tokens}"] if sampling.max_tokens is not None else []
    parts += [f"seed {sampling.seed}"] if sampling.seed is not None else []
    parts += ["system prompt" if settings.system else "no system"] if settings.system is not None else []
    return " · ".join([*parts, f"blind {'on' if settings.blind else 'off'}"])
