"""A teacher run as text: state, figures, settings and prompts. Pure functions without widgets."""

from __future__ import annotations

from rich.text import Text

from o1lab.distill.estimate import Estimate
from o1lab.distill.run_directory import TeacherRunStatus
from o1lab.distill.runs import RunInfo
from o1lab.distill.settings import TeacherRunSettings
from o1lab.format import duration, money
from o1lab.settings import settings_of
from o1lab.text import one_line, visible
from screens.distill.poller import RunDetail
from screens.jobs.text import add_about, add_faults, add_progress, add_trouble, bar, request_words, sign

_REASONS, _PROMPT = 12, 6000


def list_cell(info: RunInfo, *, marked: bool) -> Text:
    """Format a run for the list in two lines: sign, id, progress, right and wrong; state, method, endpoint."""
    status, settings = info.status, info.settings
    right = f"✓{status.correct:,} ✗{status.incorrect:,}" + (f" !{status.failed:,}" if status.failed else "")
    how = (
        f"{settings.method} · {one_line(settings.endpoint, 16)}"
        if settings
        else one_line(f"unreadable: {info.unreadable}", 40)
    )
    left = f" · {duration(status.seconds_left)}" if info.active and status.seconds_left is not None else ""
    symbol, style = sign(info.state)
    return Text.assemble(
        (symbol, style),
        ("●" if marked else " ", "bold"),
        (f"{one_line(info.id, 8):<8}", "bold"),
        f" {f'{status.done:,}/{status.requested:,}' if status.requested else '-':>11}  {right}\n",
        (f"  {info.state}{left} · {f'{one_line(info.name, 16)} · ' if info.name else ''}{how}", "dim"),
        no_wrap=True,
    )


def progress_bar(status: TeacherRunStatus) -> Text:
    """Draw a bar of correct, wrong, otherwise done, failed and pending samples, each with its own character."""
    other = max(status.done - status.correct - status.incorrect, 0)
    parts = (("█", "green", status.correct), ("▓", "red", status.incorrect), ("▒", "yellow", other),
             ("×", "bold red", status.failed))  # fmt: skip
    return bar(parts, max(status.requested, status.done + status.failed))


def header(detail: RunDetail) -> Text:
    """Format two lines: the run with its state and pending request; its progress."""
    info, status = detail.line, detail.line.status
    symbol, style = sign(info.state)
    text = Text.assemble((f"{symbol} {info.state}", style), "  ", (f"run {one_line(info.id, 20)}", "bold"))
    text.append(f"  {one_line(info.name, 40)}" if info.name else "")
    asked = request_words(info.state, active=info.active, pausing=detail.pausing)
    text.append(f"  {asked}" if asked else "", "yellow").append("\n")
    text.append_text(progress_bar(status))
    add_progress(text, status.done, status.requested, status.seconds_left if info.active else None)
    return text


def facts(detail: RunDetail) -> Text:
    """Format everything about a run, the most important first."""
    text = Text()
    add_trouble(text, detail.line.state, detail.line.status)
    _figures(text, detail)
    add_about(text, detail.line)
    _reasons(text, detail)
    add_faults(text, detail.faults)
    _settings(text, detail)
    _prompts(text, detail)
    text.append("\nfolder  ", "dim").append(visible(str(detail.folder.path)))
    return text


def _figures(text: Text, detail: RunDetail) -> None:
    status = detail.line.status
    text.append("█ right ", "green").append(f"{status.correct:,}   ")
    text.append("▓ wrong ", "red").append(f"{status.incorrect:,}   ")
    text.append("▒ unverifiable ", "yellow").append(f"{status.unverifiable:,}\n")
    text.append(f"rejected {status.rejected:,}   ")
    text.append("× failed ", "bold red" if status.failed else "").append(f"{status.failed:,}   ")
    text.append(f"in flight {status.in_flight:,}   retries {status.retries:,}\n")
    cost = money(status.cost_usd if status.priced else None)
    text.append(f"tokens {status.input_tokens:,} in, {status.output_tokens:,} out   cost {cost}\n")


def _reasons(text: Text, detail: RunDetail) -> None:
    if not detail.reasons:
        return
    text.append("\nrejected or failed, and why\n", "bold")
    for reason, number in list(detail.reasons.items())[:_REASONS]:
        text.append(f"{number:>7,}  {one_line(reason, 300)}\n")
    if len(detail.reasons) > _REASONS:
        text.append(f"         and {len(detail.reasons) - _REASONS} more reasons\n", "dim")


def _settings(text: Text, detail: RunDetail) -> None:
    settings = detail.line.settings
    text.append("\nsettings\n", "bold")
    if settings is None:
        text.append("settings.json cannot be read\n", "yellow")
        return
    for name, value in relevant(settings).items():
        words = f"{value:g}" if isinstance(value, float) else str(value)
        shown = "server default" if value is None else one_line(words, 300) or "(everything)"
        text.append(f"{name.replace('_', ' '):>20}  ", "dim").append(f"{shown}\n")


def _prompts(text: Text, detail: RunDetail) -> None:
    for role, prompt in detail.prompts.items():
        text.append(f"\n{visible(role)} {visible(prompt.label)}", "bold").append(f"  {prompt.hash}\n", "dim")
        for speaker, words in prompt.sections:
            text.append(f"# {visible(speaker)}\n", "dim").append(f"{visible(words[:_PROMPT])}\n")


def relevant(settings: TeacherRunSettings) -> dict[str, object]:
    """Return the settings that the run's method uses, without those that are unset by default."""
    values = settings.model_dump(mode="json")
    return {
        name: values[name]
        for name, setting in settings_of(TeacherRunSettings).items()
        if setting.relevant(values)
        and not (values[name] is None and setting.default is None)
        and (name != "prompt" or values[name])
    }


def estimate_text(found: Estimate, n: int) -> Text:
    """Format the estimate of a run: the typical size, and the maximum without retries."""
    more = f" to {found.most_calls:,}" if found.most_calls != found.calls else ""
    text = Text.assemble(
        (f"{found.items:,} items × {n} = {found.samples:,} samples", "bold"), f", {found.calls:,}{more} calls\n",
        ("typical  ", "dim"),
    )  # fmt: skip
    if found.output_tokens is None:
        text.append(f"{found.input_tokens:,} tokens in; out not known: no earlier response\n")
    else:
        text.append(
            f"{found.input_tokens:,} tokens in, {found.output_tokens:,} out, {money(found.cost_usd)} "
            f"(from {found.based_on:,} earlier responses)\n"
        )
    text.append("at most  ", "dim").append(f"{found.most_output_tokens:,} tokens out, {money(found.most_cost_usd)}")
    return text.append(f"   counted by {one_line(found.rule, 60)}", "dim")
