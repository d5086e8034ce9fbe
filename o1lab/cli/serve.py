"""The commands ``serve``, ``web`` and ``chat``."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from o1lab.cli.base.asking import servers
from o1lab.cli.base.command import Verbs
from o1lab.cli.base.naming import completing
from o1lab.cli.base.options import model_option
from o1lab.cli.base.output import current_lab, emit, lab_if_any, say, wants_json
from o1lab.errors import UsageError, signal_status
from o1lab.paths import Lab, annotator
from o1lab.text import one_line

if TYPE_CHECKING:
    from o1lab.config import ChatConfig
    from o1lab.inference.events import Sampling


verbs = Verbs()


@verbs.command("serve", interactive=True)
def serve(
    model: Annotated[
        str,
        typer.Argument(
            help="Name or folder of a base model, a training run, or solver.",
            autocompletion=completing("base", "checkpoint", "endpoint"),
        ),
    ],
    adapter: Annotated[
        list[str] | None,
        typer.Option(
            "--adapter",
            help="A run, RUN/STEP, an adapter folder, or NAME=FOLDER; repeatable.",
            autocompletion=completing("checkpoint"),
        ),
    ] = None,
    port: Annotated[int, typer.Option(help="Port on loopback; 0 takes any free port.")] = 0,
    engine: Annotated[Literal["embedded", "vllm"], typer.Option(help="What runs the model.")] = "embedded",
    dtype: Annotated[
        Literal["auto", "float32", "bfloat16", "float16"], typer.Option(help="Number format of the weights.")
    ] = "auto",
    vllm_option: Annotated[
        list[str] | None,
        typer.Option("--vllm-option", metavar="NAME=VALUE", help="An option of vLLM, in addition to o1lab.toml's."),
    ] = None,
) -> None:
    """Serve a base model and its adapters over the OpenAI protocol, on this machine only.

    When the server is ready it prints one line of JSON: url, models, engine, pid, record. The token is the value of
    O1LAB_SERVER_TOKEN if you set it; otherwise it is in the record file, which only you can read.

    Example: o1lab serve smollm2-135m --adapter 7f3a --adapter 7f3a/50

    Example: o1lab serve big --engine vllm --vllm-option tensor-parallel-size=4 --vllm-option data-parallel-size=2
    """
    from o1lab.config import load_config
    from o1lab.serve.choosing import base_and_adapters
    from o1lab.serve.vllm import settings_arguments

    if vllm_option and engine != "vllm":
        raise UsageError("--vllm-option needs --engine vllm.")
    lab = lab_if_any()
    config = None if lab is None else load_config(lab)
    base, adapters = base_and_adapters(lab, config, model, adapter or [])
    command = [sys.executable, "-P", "-m", f"o1lab.serve.{engine}", base, "--port", str(port)]
    command += [f"--adapter={name}={path}" for name, path in adapters.items()]
    command += ["--lab", str(lab.root)] if lab else []
    command += ["--json"] if wants_json() else []
    if config is not None and base in config.serve.trust_remote_code:
        command.append("--trust-remote-code")
    command += ["--dtype", dtype]
    if engine == "vllm":
        command += settings_arguments(config.serve) if config is not None else []
        command += [f"--option={option}" for option in vllm_option or []]
    # The server replaces this process, so the caller keeps the right pid, signals and pipe.
    sys.stdout.flush()
    os.execv(sys.executable, command)  # noqa: S606 - our own program, by list


@verbs.command("web", interactive=True)
def web(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on loopback; 0 takes any free port.")] = 8000,
    public_url: Annotated[
        str | None,
        typer.Option(
            metavar="URL", help="Address in the browser, if a tunnel changes it [default: http://127.0.0.1:PORT]."
        ),
    ] = None,
) -> None:
    """Serve the app in a browser, on this machine only, until Ctrl-C.

    The link contains a token: anyone who has it can use the lab. To connect from another machine, forward the port:
    ssh -L 8000:127.0.0.1:8000 HOST. With --json, the first line is an object with url, port and pid.

    Example: o1lab web --port 8000
    """
    from o1lab.serve.web import listen_for_web, serve_web

    lab = current_lab()
    bound, address = listen_for_web(port, public_url)

    def ready() -> None:
        lines = [
            f"The app is at {address.link}",
            f"From another machine: ssh -L {address.port}:127.0.0.1:{address.port} HOST, then open the link there.",
            "Press Ctrl-C to end.",
        ]
        emit({"url": address.link, "port": address.port, "pid": os.getpid()}, text=lines)

    serve_web(lab, bound, address, ready)


@verbs.command("chat", interactive=True)
def chat(
    model: Annotated[
        list[str],
        model_option("solver, a base model, RUN/STEP or an endpoint; repeatable.", "endpoint", "base", "checkpoint"),
    ],
    prompt: Annotated[
        str | None,
        typer.Argument(help="The prompt; - reads standard input. With --continue-from: text to append first."),
    ] = None,
    continue_from: Annotated[
        str | None,
        typer.Option(
            metavar="TRACE[:MOVE]",
            help="Continue a recorded chain from its end, or from the end of a move (0: from before the thought).",
            autocompletion=completing("trace"),
        ),
    ] = None,
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
) -> int:
    """Send a prompt to one or several models and print their answers.

    Ctrl-C, SIGTERM and closing the terminal save what was received. [chat] in o1lab.toml sets time limits.

    With --continue-from, the models continue a chain of the lab, which the conversation keeps as their first version.

    Example: o1lab chat -m solver -m 7f3a/100 "What is 964 + 494?"

    Example: o1lab chat -m 7f3a/100 --continue-from 3f9c:4 "Wait, the carry is 0."
    """
    from o1lab.config import ChatConfig, load_config
    from o1lab.inference.events import Sampling
    from o1lab.settings import validate

    lab = current_lab()
    if prompt is None and continue_from is None:
        raise UsageError("No prompt was given.", "Add one, or name a chain with --continue-from.")
    text = sys.stdin.read() if prompt == "-" else prompt or ""
    sampling = Sampling(temperature, top_p, max_tokens, seed)
    given = {"first_token_timeout_s": first_token_timeout, "silence_timeout_s": silence_timeout}
    limits = load_config(lab).chat
    limits = validate(ChatConfig, limits.model_dump() | {k: v for k, v in given.items() if v is not None}, verb="chat")
    return asyncio.run(_chat(lab, model, text, system, sampling, limits, continue_from))


async def _chat(
    lab: Lab,
    names: list[str],
    prompt: str,
    system: str | None,
    sampling: Sampling,
    limits: ChatConfig,
    continue_from: str | None,
) -> int:
    from o1lab.chat.chains import ContinuedChain
    from o1lab.chat.conversation import ConversationSession
    from o1lab.chat.panes import TITLE_LENGTH, AnswerVerifier, Settings
    from o1lab.cli.chat_output import Printer
    from o1lab.inference.chat_client import ChatClient
    from o1lab.labs import open_lab
    from o1lab.serve.registry import find_model, open_model

    refs = [find_model(lab, name) for name in names]
    store = open_lab(lab)
    begun = None
    if continue_from is not None:
        begun = ContinuedChain.of(store, continue_from, refs, appended=prompt, by=annotator())
    if begun is not None and begun.inside:
        say(f"The cut was inside {begun.inside}; it is at its start now.")
    printer = Printer([ref.label for ref in refs], quiet=wants_json())
    verifier, interrupted = AnswerVerifier(store), False
    received = _cancel_on_signals()
    try:
        async with servers(lab) as manager, ChatClient(limits) as client:
            session = await ConversationSession.begin(
                store,
                refs,
                Settings(system, sampling),
                opener=lambda ref: open_model(ref, manager),
                listener=printer,
                title=one_line(begun.chain.question if begun else prompt, TITLE_LENGTH),
                client=client,
                verifier=verifier,
            )
            for pane, ref in enumerate(refs):
                if system is None and (own := session.system_of(pane)):
                    say(f"{ref.label} is asked with the system prompt of its run: {one_line(own, 60)}")
            try:
                await (begun.start(session) if begun else session.send(prompt))
                await session.wait()
            except asyncio.CancelledError:
                interrupted = True
            finally:
                await session.close()
            for notice in manager.shared:
                say(notice)
            answers = [
                _answer_keys(ref.id, session.answer(pane), continued=begun is not None)
                | {"system": session.system_of(pane)}
                for pane, ref in enumerate(refs)
            ]
    finally:
        verifier.close()
        store.close()
    with contextlib.suppress(*((OSError,) if interrupted else ())):  # the terminal may be closed
        if interrupted:
            say(f"Interrupted; what was received is saved in conversation {session.record.id}.")
        data = {"conversation": session.record.id, "prompt": prompt, "answers": answers}
        emit(data | (begun.facts() if begun else {}), text="")
    if interrupted:
        return signal_status(received[0] if received else signal.SIGINT)
    return 1 if any(answer["state"] != "complete" for answer in answers) else 0


def _answer_keys(model: str, message: Any, *, continued: bool = False) -> dict[str, Any]:
    names = ["state", "thought", "content", "error", "verdict", "prompt_tokens", "output_tokens"]
    names += ["thought_tokens", "ttft_s", "seconds"]
    keys = {name: getattr(message, name, None) for name in names}
    keys["answer"] = keys.pop("content")
    finish = message.settings.get("finish_reason") if message is not None else None
    notes = message.settings.get("notes", []) if message is not None else []
    spans = [asdict(span) for span in message.spans] if continued and message is not None else []
    more = {"raw": message.raw, "spans": spans} if continued and message is not None else {}
    return {"model": model, **keys, "finish_reason": finish, "notes": notes, **more}


def _cancel_on_signals() -> list[int]:
    """Let SIGTERM and SIGHUP (a closed terminal) cancel the current task, as SIGINT does.

    Returns:
        A list to which each of these signals is added when it arrives.
    """
    task, loop, received = asyncio.current_task(), asyncio.get_running_loop(), list[int]()

    def cancel(number: int) -> None:
        received.append(number)
        if task is not None:
            task.cancel()

    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup ignores SIGHUP
            loop.add_signal_handler(number, cancel, number)
    return received
