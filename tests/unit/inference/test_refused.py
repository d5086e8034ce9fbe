"""What servers say when they refuse: options, roles, too many tokens, and how long to wait."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from o1lab.inference.errors import is_daily, retry_after_s, wait_text
from o1lab.inference.refused import folded, refused_options, token_room, words_of
from o1lab.inference.stream import EventParser

SENT: dict[str, Any] = {
    "model": "m", "messages": [{"role": "system", "content": "a"}, {"role": "user", "content": "b"}],
    "temperature": 0.6, "top_p": 0.9, "seed": 1, "max_tokens": 8192, "stop": ["x"], "stream_options": {},
}  # fmt: skip


@pytest.mark.parametrize(
    ("words", "names"),
    [
        ("property 'seed' is unsupported", ["seed"]),
        ("Unrecognized request argument supplied: seed", ["seed"]),
        ('json: unknown field "stream_options"', ["stream_options"]),
        ('Unknown name "seed": Cannot find field.', ["seed"]),
        ("Additional properties are not allowed ('seed' was unexpected)", ["seed"]),
        ("Argument not supported on this model: stop", ["stop"]),
        ("Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.", ["max_tokens"]),
        ("Unsupported value: 'temperature' does not support 0.6. Only the default (1) value is supported.",
         ["temperature"]),
        ("`temperature` and `top_p` cannot both be specified for this model.", ["temperature+top_p"]),
        ("System role not supported", ["system"]),
        ("System messages are not supported by this model.", ["system"]),
        ("Conversation roles must alternate user/assistant/user/assistant/...", ["system"]),
        ("Only user and assistant roles are supported!", ["system"]),
        ("Unsupported value: 'messages[0].role' does not support 'system' with this model.", ["system"]),
        ("Developer instruction is not enabled for models/gemma", ["system"]),
        ("temperature must be between 0 and 2", []),
        ("max_tokens is not supported", []),  # a call without a limit could cost anything
        ("The model `m` is unknown", []),
    ],
)  # fmt: skip
def test_a_message_names_what_is_refused(words: str, names: list[str]) -> None:
    found = refused_options(400, {"error": {"message": words}}, SENT)
    assert list(found) == names
    assert all(said == words for said in found.values())
    assert refused_options(500, {"error": {"message": words}}, SENT) == {}


def test_a_wrong_value_in_a_report_is_not_a_refusal() -> None:
    report = {"detail": [{"type": "less_than_equal", "loc": ["body", "temperature"], "msg": "Input should be <= 1"}]}
    assert refused_options(422, report, SENT) == {}


def test_system_messages_join_the_first_user_message() -> None:
    messages = [{"role": "system", "content": "a"}, {"role": "user", "content": "b"}, {"role": "user", "content": "c"}]
    assert [message["content"] for message in folded(messages)] == ["a\n\nb", "c"]
    assert messages[1]["content"] == "b"
    assert folded(messages[:1]) == messages[:1]


@pytest.mark.parametrize(
    ("words", "fits"),
    [
        ("This model's maximum context length is 4096 tokens. However, you requested 8212 tokens (20 in the messages, "
         "8192 in the completion).", 4076),
        ("'max_tokens' or 'max_completion_tokens' is too large: 8192. This model's maximum context length is 4096 "
         "tokens and your request has 20 input tokens (8192 > 4096 - 20).", 4076),
        ("Requested token count exceeds the model's maximum context length of 4096 tokens. You requested a total of "
         "8212 tokens: 20 tokens from the input messages and 8192 tokens for the completion.", 4076),
        ("Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. Given: 20 `inputs` tokens and "
         "8192 `max_new_tokens`", 4076),
        ("This endpoint's maximum context length is 4,096 tokens. However, you requested about 8,212 tokens (20 of "
         "text input, 8192 in the output).", 4076),
        ("max_tokens is too large: 8192. This model supports at most 4096 completion tokens.", 4096),
        ("`max_tokens` must be less than or equal to `4096`, the maximum value for `max_tokens`", 4096),
        ("Invalid max_tokens value, the valid range of max_tokens is [1, 4096]", 4096),
        ("max_tokens: 8192 > 4096, which is the maximum allowed number of output tokens", 4096),
        ("This model's maximum context length is 10 tokens.", None),
        ("This model's maximum context length is 4096 tokens. However, your prompt has 5000 input tokens.", None),
        ("The request exceeds the available context size (4096 tokens).", None),
    ],
)  # fmt: skip
def test_the_number_of_tokens_that_fit_is_read_from_a_message(words: str, fits: int | None) -> None:
    room = token_room(words, SENT)
    assert (room.fits if room else None) == fits
    assert refused_options(400, {"message": words}, SENT) == {}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"error": {"message": "No."}}, "No."),
        ({"error": "No."}, "No."),
        ({"detail": "Not Found"}, "Not Found"),
        ({"message": {"detail": [{"loc": ["body", "seed"], "msg": "Extra"}]}}, "seed: Extra"),
        ("<html><title>504 Gateway Time-out</title><script>x()</script></html>", "504 Gateway Time-out"),
        (None, ""),
    ],
)
def test_the_message_of_a_server_is_found(body: Any, words: str) -> None:
    assert words_of(body) == words


@pytest.mark.parametrize(
    ("headers", "words", "seconds"),
    [
        ({"retry-after": "1m30s"}, "", 90),
        ({}, "Please try again in 7m12.5s. Visit our page.", 432.5),
        ({}, "Retry after 20 seconds.", 20),
        ({}, "please wait 2 hours", 7200),
        ({}, "try again in 17ms", 0.017),
        ({"retry-after": "3"}, "try again in 1s", 3),
        ({}, "Please try again later.", None),
    ],
)
def test_a_wait_is_read_from_headers_and_messages(headers: dict[str, str], words: str, seconds: float | None) -> None:
    assert retry_after_s(headers, words) == pytest.approx(seconds)


def test_a_long_wait_is_shown_with_its_end() -> None:
    assert wait_text(19.2) == "in 20s"
    assert re.fullmatch(r"at \d{4}-\d\d-\d\d \d\d:\d\d, in 3h00m", wait_text(3 * 3600))
    assert is_daily("Limit reached on requests per day (RPD)") and not is_daily("tokens per min (TPM)")


@given(st.data())
def test_events_are_found_however_the_bytes_are_cut(data: st.DataObject) -> None:
    end = data.draw(st.sampled_from(["\n", "\r\n", "\r"]))
    lines = ["\ufeff: comment", "event: x", "data: é\u2028", "data:b", "", '{"error": 1}', "", "data: [DONE]", ""]
    raw = (end.join(lines) + end).encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=12)))
    parser, found = EventParser(), []
    for start, stop in zip([0, *cuts], [*cuts, len(raw)], strict=True):
        found += parser.feed(raw[start:stop])
    assert [*found, *parser.end()] == ["é\u2028\nb", '{"error": 1}', "[DONE]"]
