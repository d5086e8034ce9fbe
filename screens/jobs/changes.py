"""Changes of a job from the jobs pane, with their dialogs: resume, name, notes, tags, archive and removal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from o1lab.format import byte_size
from o1lab.jobs import manage
from o1lab.jobs.directory import JobFolder
from o1lab.jobs.together import ENDED
from o1lab.widgets.dialogs import ConfirmDialog, PromptDialog

if TYPE_CHECKING:
    from screens.jobs.pane import JobsPane

    Pane = JobsPane[Any, Any]


async def resume(pane: Pane) -> None:
    """Continue the job under the cursor; a setting that stopped it must be changed first."""
    if (line := pane.need_line()) is None:
        return
    if line.state == "paused":
        await pane.run_command(pane.resume, "Resumed.", line.id, {})
        return
    if line.state not in ENDED and not (line.state == "finished" and pane.kind.can_retry(line)):
        pane.say_state(line, "resume")
        return
    settings: dict[str, Any] = {}
    if (must := pane.kind.must_change(line)) is not None:
        typed = await pane.app.push_screen_wait(PromptDialog(f"{line.id} {must.question}", value=must.proposed))
        if typed is None:
            return
        settings[must.name] = typed.strip()
    if await pane.run_command(pane.resume, pane.kind.resuming, line.id, settings):
        pane.resumed[line.id] = line.status


async def rename(pane: Pane) -> None:
    """Ask for a name of the job under the cursor; an empty one removes it."""
    if (line := pane.need_line()) is not None:
        name = await pane.app.push_screen_wait(PromptDialog(f"Name of {line.id}:", value=line.name))
        if name is not None:
            await pane.run_command(manage.rename, "Renamed." if name.strip() else "Name removed.", line.id, name)


async def note(pane: Pane) -> None:
    """Ask for a note on the job under the cursor."""
    if (line := pane.need_line()) is not None:
        text = await pane.app.push_screen_wait(PromptDialog(f"Note on {line.id}:"))
        if text is not None and text.strip():
            await pane.run_command(manage.add_note, "Note added.", line.id, text)


async def tags(pane: Pane) -> None:
    """Ask for the tags of the job under the cursor; an empty line removes them."""
    if (line := pane.need_line()) is None:
        return
    try:
        about = await pane.lab_screen.in_thread(pane.kind.folder(pane.context.lab, line.id).about)
    except Exception as error:
        pane.lab_screen.report(error)
        return
    known = {tag for one in (pane.snapshot.lines if pane.snapshot else ()) for tag in getattr(one, "tags", ())}
    dialog = PromptDialog(
        f"Tags of {line.id}, with commas between them:",
        value=", ".join(about.tags), completions=sorted(known), multiple=True,
    )  # fmt: skip
    if (typed := await pane.app.push_screen_wait(dialog)) is not None:
        words = [word.strip() for word in typed.split(",") if word.strip()]
        await pane.run_command(manage.set_tags, "Tags saved." if words else "Tags removed.", line.id, words)


async def archive(pane: Pane) -> None:
    """Leave the job under the cursor out of the list, or list it again."""
    if (line := pane.need_line()) is not None:

        def toggle(folder: JobFolder[Any, Any]) -> bool:
            return manage.archive(folder, archived=not folder.about().archived).archived

        words = {True: "Archived. The filter archived:yes lists it.", False: "It is listed again."}
        await pane.run_command(toggle, words.__getitem__, line.id)


async def remove(pane: Pane) -> None:
    """Delete the job under the cursor and its files, after a confirmation that says how much space is freed."""
    if (line := pane.need_line()) is None:
        return
    noun, lab, kind = pane.kind.noun, pane.context.lab, pane.kind
    if line.active:
        pane.say(f"The {noun} {line.id} is {line.state}: stop it before you remove it.")
        return
    try:
        freed = await pane.lab_screen.in_thread(kind.jobs.removal, lab, kind.folder(lab, line.id))
    except Exception as error:
        pane.lab_screen.report(error)
        return
    question = f"Remove the {noun} {line.id}?"
    words = f"Its files are deleted, which frees {byte_size(freed)}. This cannot be undone."
    if await pane.app.push_screen_wait(ConfirmDialog(question, words, yes="Remove it", no="Keep it", danger=True)):
        await pane.run_command(lambda job: kind.jobs.remove(lab, job), "Removed.", line.id)
