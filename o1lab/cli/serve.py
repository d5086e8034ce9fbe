"""The commands ``serve`` and ``chat``."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from o1lab.cli.output import JsonOption, context, emit, say
from o1lab.errors import LabError, NotFoundError, O1LabError, RefusedError, UsageError

if TYPE_CHECKING:
    from o1lab.config import ChatConfig, Config
    from o1lab.inference.events import Sampling
    from o1lab.paths import Lab


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    app.command("serve")(serve)
    app.command("chat")(chat)


def serve(
    ctx: typer.Context,
    model: Annotated[str, typer.Argument(help="Name or folder of a base model, a training run, or solver.")],
    adapter: Annotated[
        list[str] | None, typer.Option("--adapter", help="A run, RUN/STEP, or an adapter folder; repeatable.")
    ] = None,
    port: Annotated[int, typer.Option(help="Port on loopback; 0 takes any free port.")] = 0,
    engine: Annotated[str, typer.Option(help="embedded or vllm.")] = "embedded",
    as_json: JsonOption = False,
) -> None:
    """Serve a base model and its adapters over the OpenAI protocol, on this machine only.

    When the server is ready it prints one line of JSON: url, models, engine, pid, record. The token is the value of
    O1LAB_SERVER_TOKEN if you set it; otherwise it is in the record file, which only you can read.

    Example: o1lab serve smollm2-135m --adapter 7f3a --adapter 7f3a/50
    """
    if engine not in ("embedded", "vllm"):
        raise UsageError(f"'{engine}' is not a known engine.", "Choose embedded or vllm.")
    lab, config = _lab_and_config(ctx)
    base, adapters = _what_to_serve(lab, config, model, adapter or [])
    command = [sys.executable, "-P", "-m", f"o1lab.serve.{engine}", base, "--port", str(port)]
    command += [f"--adapter={name}={path}" for name, path in adapters.items()]
    command += ["--lab", str(lab.root)] if lab else []
    command += ["--json"] if as_json else []
    if config is not None and base in config.serve.trust_remote_code:
        command.append("--trust-remote-code")
    if engine == "vllm" and config is not None and config.serve.vllm:
        command += ["--program", config.serve.vllm]
    # The server replaces this process, so the caller keeps the right pid, signals and pipe.
    sys.stdout.flush()
    os.execv(sys.executable, command)  # noqa: S606 - our own program, by list


def chat(
    ctx: typer.Context,
    prompt: Annotated[str, typer.Argument(help="The prompt; - reads standard input.")],
    model: Annotated[
        list[str], typer.Option("--model", "-m", help="solver, a base model, RUN/STEP or an endpoint; repeatable.")
    ],
    system: Annotated[
        str | None,
        typer.Option(help="System prompt; by default that of the student's run. An empty one sends none."),
    ] = None,
    temperature: Annotated[float, typer.Option(min=0, help="Sampling temperature; 0 is greedy.")] = 0.0,
    top_p: Annotated[float | None, typer.Option(min=0, max=1, help="Nucleus sampling threshold.")] = None,
    max_tokens: Annotated[int, typer.Option(min=1, help="Maximum number of output tokens.")] = 512,
    seed: Annotated[int, typer.Option(help="Sampling seed.")] = 1,
    first_token_timeout: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS", help="Longest silence before the first token [default: 600, or as in o1lab.toml]."
        ),
    ] = None,
    silence_timeout: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS", help="Longest silence after the first token [default: 600, or as in o1lab.toml]."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> int:
    """Send a prompt to one or several models and print their answers.

    Ctrl-C, SIGTERM and the end of the terminal save what was received. [chat] of o1lab.toml sets the time limits.

    Example: o1lab chat -m solver -m 7f3a/100 "What is 964 + 494?"
    """
    from o1lab.config import ChatConfig, load_config
    from o1lab.inference.events import Sampling
    from o1lab.settings import validate

    lab, config = _lab_and_config(ctx)
    if lab is None or config is None:
        lab = context(ctx).lab()  # raises the error that names what is missing
    text = sys.stdin.read() if prompt == "-" else prompt
    sampling = Sampling(temperature, top_p, max_tokens, seed)
    given = {"first_token_timeout_s": first_token_timeout, "silence_timeout_s": silence_timeout}
    limits = (config or load_config(lab)).chat
    limits = validate(ChatConfig, limits.model_dump() | {k: v for k, v in given.items() if v is not None}, verb="chat")
    return asyncio.run(_chat(lab, model, text, system, sampling, limits, as_json=as_json))


async def _chat(
    lab: Lab,
    names: list[str],
    prompt: str,
    system: str | None,
    sampling: Sampling,
    limits: ChatConfig,
    *,
    as_json: bool,
) -> int:
    from o1lab.chat.conversation import ConversationSession
    from o1lab.chat.panes import TITLE_LENGTH, Settings
    from o1lab.chat.verdicts import AnswerVerifier
    from o1lab.cli.chat_output import Printer
    from o1lab.inference.chat_client import ChatClient
    from o1lab.serve.manager import ServerManager
    from o1lab.serve.registry import find_model, open_model
    from o1lab.text import one_line
    from store import open_store

    refs = [find_model(lab, name) for name in names]
    printer = Printer([ref.label for ref in refs], quiet=as_json)
    store = open_store(lab.database)
    verifier, interrupted = AnswerVerifier(), False
    _cancel_on_signals()
    try:
        async with ServerManager(lab) as manager, ChatClient(limits) as client:
            if notice := manager.shared_device_notice():
                say(notice)
            session = await ConversationSession.begin(
                store,
                refs,
                Settings(system, sampling),
                opener=lambda ref: open_model(ref, manager),
                listener=printer,
                title=one_line(prompt, TITLE_LENGTH),
                client=client,
                verifier=verifier,
            )
            for pane, ref in enumerate(refs):
                if system is None and (own := session.system_of(pane)):
                    say(f"{ref.label} is asked with the system prompt of its run: {one_line(own, 60)}")
            try:
                await session.send(prompt)
                await session.wait()
            except asyncio.CancelledError:
                interrupted = True
            finally:
                await session.close()
            answers = [
                _answer_keys(ref.id, session.answer(pane)) | {"system": session.system_of(pane)}
                for pane, ref in enumerate(refs)
            ]
    finally:
        verifier.close()
        store.close()
    with contextlib.suppress(*((OSError,) if interrupted else ())):  # the terminal may be closed
        if interrupted:
            say(f"Interrupted; what was received is saved in conversation {session.record.id}.")
        emit({"conversation": session.record.id, "prompt": prompt, "answers": answers}, as_json=as_json, text="")
    if interrupted:
        return 130
    return 1 if any(answer["state"] != "complete" for answer in answers) else 0


def _answer_keys(model: str, message: Any) -> dict[str, Any]:
    names = ["state", "thought", "content", "error", "verdict", "prompt_tokens", "output_tokens"]
    names += ["thought_tokens", "ttft_s", "seconds"]
    keys = {name: getattr(message, name, None) for name in names}
    keys["answer"] = keys.pop("content")
    finish = message.settings.get("finish_reason") if message is not None else None
    notes = message.settings.get("notes", []) if message is not None else []
    return {"model": model, **keys, "finish_reason": finish, "notes": notes}


def _cancel_on_signals() -> None:
    """Let SIGTERM and SIGHUP (a closed terminal) cancel the current task, as SIGINT does."""
    task, loop = asyncio.current_task(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGHUP):
        if task is not None and signal.getsignal(number) is not signal.SIG_IGN:  # nohup ignores SIGHUP
            loop.add_signal_handler(number, task.cancel)


def _lab_and_config(ctx: typer.Context) -> tuple[Lab | None, Config | None]:
    """Return the lab and its settings, or (None, None) if no lab is named and none is found."""
    from o1lab.config import load_config

    try:
        lab = context(ctx).lab()
    except LabError:
        if context(ctx).lab_dir is not None or os.environ.get("O1LAB_LAB"):
            raise
        return None, None
    return lab, load_config(lab)


def _what_to_serve(
    lab: Lab | None, config: Config | None, model: str, wanted: list[str]
) -> tuple[str, dict[str, Path]]:
    """Return the base and the adapters by name. A run as the model is its base with its last checkpoint."""
    adapters: dict[str, Path] = {}
    base = model
    run = _checkpoint(lab, config, model)
    if run is not None:
        base = run[2]
        adapters[run[0]] = run[1]
    for name in wanted:
        found = _checkpoint(lab, config, name)
        if found is not None:
            _check_base(name, found[2], base)
            adapters[found[0]] = found[1]
            continue
        folder = Path(name).expanduser().absolute()
        if not (folder / "adapter_config.json").is_file():
            raise NotFoundError(f"There is no adapter {name}.", "Name a run, RUN/STEP, or an adapter folder.")
        in_run = folder.parent.name == "checkpoints"
        adapters[f"{folder.parent.parent.name}-{folder.name}" if in_run else folder.name] = folder
    return base, adapters


def _check_base(name: str, trained_on: str, base: str) -> None:
    """Raise if the run was trained on another base. Shapes cannot tell: a model and its instruct version share them."""
    from o1lab.models.base import resolve_base

    def folder(model: str) -> Path | str:
        try:
            return resolve_base(model, fetch=False).resolve()
        except O1LabError:
            return model

    if trained_on != base and folder(trained_on) != folder(base):
        raise RefusedError(
            f"{name} was trained on {trained_on}, not on {base}.",
            f"Serve {trained_on}; if {base} is the same model, give the adapter folder instead of the run.",
            code="adapter_mismatch",
        )


def _checkpoint(lab: Lab | None, config: Config | None, name: str) -> tuple[str, Path, str] | None:
    """Return (adapter name, folder, base) of the checkpoint called ``name``; None if no checkpoint has that name."""
    from o1lab.serve.registry import find_model

    if lab is None or config is None:
        return None
    try:
        ref = find_model(lab, name, config)
    except NotFoundError:
        return None
    if ref.adapter is None or ref.base is None:
        return None
    return f"{ref.run_id}-step-{ref.step}", ref.adapter, ref.base
