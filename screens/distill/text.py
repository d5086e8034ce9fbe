"""How a teacher run reads: its state, figures, settings and faults as text. Pure functions, no widget."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from o1lab.distill.estimate import Estimate
from o1lab.distill.runs import RunInfo
from o1lab.distill.settings import TeacherRunSettings
from o1lab.jobs.control import FaultCount
from o1lab.jobs.directory import JobStatus, TeacherRunStatus
from o1lab.settings import settings_of
from o1lab.text import one_line, visible
from screens.distill.poller import RunDetail
from screens.train.text import SIGNS as TRAINING_SIGNS
from screens.train.text import duration

# Each state has a sign of its own: colour only repeats it.
SIGNS = {**TRAINING_SIGNS, "paused": ("‖", "yellow")}
STOPPED_BY = {
    "stop": "a person",
    "interrupt": "an interruption",
    "budget_usd": "its budget in money",
    "budget_tokens": "its budget in tokens",
    "key": "a key that was refused",
    "quota": "a quota that is used up",
    "no_model": "a model that is not there",
    "failures": "too many failures one after another",
}
BAR = 30
_REASONS, _RAW, _PROMPT = 12, 1500, 6000


def money(status: TeacherRunStatus) -> str:
    """What was spent, or that nobody said what a token costs."""
    return f"${status.cost_usd:,.4f}" if status.priced else "price not known"


def list_cell(info: RunInfo) -> Text:
    """A run in the list, two lines: sign, id, how far, right and wrong; state, method, endpoint."""
    status, settings = info.status, info.settings
    sign, style = SIGNS.get(info.state, ("?", ""))
    right = f"✓{status.correct:,} ✗{status.incorrect:,}" + (f" !{status.failed:,}" if status.failed else "")
    how = f"{settings.method} · {one_line(settings.endpoint, 16)}" if settings else "settings cannot be read"
    left = f" · {duration(status.seconds_left)}" if info.active and status.seconds_left is not None else ""
    return Text.assemble(
        (f"{sign} ", style),
        (f"{one_line(info.id, 8):<8}", "bold"),
        f" {f'{status.done:,}/{status.requested:,}' if status.requested else '-':>11}  {right}\n",
        (f"  {info.state}{left} · {how}", "dim"),
        no_wrap=True,
    )


def progress_bar(status: TeacherRunStatus, width: int = BAR) -> Text:
    """Right, wrong, otherwise done, failed and to do, each in a sign of its own."""
    total = max(status.requested, status.done + status.failed, 1)
    other = max(status.done - status.correct - status.incorrect, 0)
    parts = (("█", status.correct, "green"), ("▓", status.incorrect, "red"), ("▒", other, "yellow"),
             ("×", status.failed, "bold red"))  # fmt: skip
    text = Text("▕")
    drawn = so_far = 0
    for sign, number, style in parts:
        so_far += number
        cells = so_far * width // total - drawn
        cells = max(cells, 1) if number and drawn < width else cells
        text.append(sign * cells, style)
        drawn += cells
    return text.append("·" * (width - drawn), "dim").append("▏")


def header(detail: RunDetail) -> Text:
    """Who, in which state, how far; what was asked of it meanwhile."""
    info, status = detail.info, detail.info.status
    sign, style = SIGNS.get(info.state, ("?", ""))
    text = Text.assemble((f"{sign} {info.state}", style), "  ", (f"run {one_line(info.id, 20)}", "bold"))
    if info.active and detail.stopping and info.state != "stopping":
        text.append("  asked to stop; calls in flight are waited for", "yellow")
    elif info.active and detail.pausing and info.state != "paused":
        text.append("  asked to pause; calls in flight are waited for", "yellow")
    elif info.active and not detail.pausing and info.state == "paused":
        text.append("  goes on in a moment", "yellow")
    text.append("\n").append_text(progress_bar(status))
    share = 100 * status.done // status.requested if status.requested else 0
    text.append(f" {status.done:,} of {status.requested:,} done ({share} %)")
    if info.active and status.seconds_left is not None:
        text.append(f", {duration(status.seconds_left)} left", "bold")
    return text


def facts(detail: RunDetail) -> Text:
    """Everything that is known of a run, what matters most first."""
    text = Text()
    add_trouble(text, detail.info.state, detail.info.status)
    _figures(text, detail)
    _reasons(text, detail)
    add_faults(text, detail.faults)
    _settings(text, detail)
    _prompts(text, detail)
    text.append("\nfolder  ", "dim").append(visible(str(detail.folder.path)))
    return text


def add_trouble(text: Text, state: str, status: JobStatus) -> None:
    """What stopped a job that asks models, if something did, and what to do."""
    if state == "dead":
        text.append("† Its process is gone without a word. ", "bold red")
        text.append("What it was answered is kept: r goes on without asking twice.\n")
    if status.stopped_by:
        why = STOPPED_BY.get(status.stopped_by, one_line(status.stopped_by.replace("_", " "), 40))
        text.append(f"■ stopped by {why}\n", "bold yellow")
    for words in (status.message, status.hint):
        if words:
            text.append(f"{one_line(words, 400)}\n")
    if state in ("stopped", "failed"):
        text.append("Here r goes on with it; nothing is asked twice.\n", "dim")
    for note in status.notes:
        text.append("! ", "bold yellow").append(f"{one_line(note, 400)}\n")
    if text:
        text.append("\n")


def _figures(text: Text, detail: RunDetail) -> None:
    status = detail.info.status
    text.append("█ right ", "green").append(f"{status.correct:,}   ")
    text.append("▓ wrong ", "red").append(f"{status.incorrect:,}   ")
    text.append("▒ unverifiable ", "yellow").append(f"{status.unverifiable:,}\n")
    text.append(f"rejected {status.rejected:,}   ")
    text.append("× failed ", "bold red" if status.failed else "").append(f"{status.failed:,}   ")
    text.append(f"in flight {status.in_flight:,}   tried again {status.retries:,}\n")
    text.append(f"tokens {status.input_tokens:,} in, {status.output_tokens:,} out   money {money(status)}\n")


def _reasons(text: Text, detail: RunDetail) -> None:
    if not detail.reasons:
        return
    text.append("\nrejected or failed, and why\n", "bold")
    for reason, number in list(detail.reasons.items())[:_REASONS]:
        text.append(f"{number:>7,}  {one_line(reason, 300)}\n")
    if len(detail.reasons) > _REASONS:
        text.append(f"         and {len(detail.reasons) - _REASONS} more reasons\n", "dim")


def add_faults(text: Text, faults: Sequence[FaultCount]) -> None:
    """What went wrong with single calls of a job that asks models, each with the last response as it came."""
    if not faults:
        return
    text.append("\nfaults of single calls, with the last response as it came\n", "bold")
    for fault in faults:
        text.append(f"{fault.number:>7,}  ").append(f"{one_line(fault.code, 40)}: ", "bold")
        text.append(f"{one_line(fault.sentence, 400)}\n")
        raw = visible(fault.raw[:_RAW]) + (f" … ({len(fault.raw):,} characters)" if len(fault.raw) > _RAW else "")
        text.append(f"         {one_line(fault.key, 100)}\n", "dim")
        text.append(f"{raw or '(no response)'}\n")


def _settings(text: Text, detail: RunDetail) -> None:
    settings = detail.info.settings
    text.append("\nsettings\n", "bold")
    if settings is None:
        text.append("settings.json cannot be read\n", "yellow")
        return
    for name, value in relevant(settings).items():
        said = f"{value:g}" if isinstance(value, float) else str(value)
        shown = "left to the server" if value is None else one_line(said, 300) or "(everything)"
        text.append(f"{name.replace('_', ' '):>20}  ", "dim").append(f"{shown}\n")


def _prompts(text: Text, detail: RunDetail) -> None:
    for role, prompt in detail.prompts.items():
        text.append(f"\n{visible(role)} {visible(prompt.label)}", "bold").append(f"  {prompt.hash}\n", "dim")
        for speaker, words in prompt.sections:
            text.append(f"# {visible(speaker)}\n", "dim").append(f"{visible(words[:_PROMPT])}\n")


def relevant(settings: TeacherRunSettings) -> dict[str, object]:
    """The settings that matter for the run's method, without those that are unset by default."""
    values = settings.model_dump(mode="json")
    return {
        name: values[name]
        for name, setting in settings_of(TeacherRunSettings).items()
        if setting.relevant(values)
        and not (values[name] is None and setting.default is None)
        and (name != "prompt" or values[name])
    }


def estimate_text(found: Estimate, n: int) -> Text:
    """What a run will come to: what is usual, and what cannot be exceeded without a retry."""

    def dollars(value: float | None) -> str:
        return "price not known" if value is None else f"${value:,.4f}"

    more = f" to {found.most_calls:,}" if found.most_calls != found.calls else ""
    text = Text.assemble(
        (f"{found.items:,} items × {n} = {found.samples:,} samples", "bold"), f", {found.calls:,}{more} calls\n",
        ("typical  ", "dim"),
    )  # fmt: skip
    if found.output_tokens is None:
        text.append(f"{found.input_tokens:,} tokens in; out: no earlier response to judge by\n")
    else:
        text.append(
            f"{found.input_tokens:,} tokens in, {found.output_tokens:,} out, {dollars(found.cost_usd)} "
            f"(by {found.based_on:,} earlier responses)\n"
        )
    text.append("at most  ", "dim").append(f"{found.most_output_tokens:,} tokens out, {dollars(found.most_cost_usd)}")
    return text.append(f"   counted by {one_line(found.rule, 60)}", "dim")
