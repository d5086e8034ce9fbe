"""Chat templates that behave as known families do, in our own words."""

from __future__ import annotations

CHATML = (
    "{% for turn in messages %}<|im_start|>{{ turn.role }}\n{{ turn.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""Every role has a turn of its own."""

LLAMA3 = (
    "{% if messages[0].role == 'system' %}{% set own = messages[0].content %}{% set rest = messages[1:] %}"
    "{% else %}{% set own = '' %}{% set rest = messages %}{% endif %}"
    "<|begin|>[system]\n\n"
    "Today: {% if date_string is defined %}{{ date_string }}{% elif strftime_now is defined %}"
    "{{ strftime_now('%d %b %Y') }}{% else %}1 Jan 2025{% endif %}\n\n{{ own }}<|eot|>"
    "{% for turn in rest %}[{{ turn.role }}]\n\n{{ turn.content | trim }}<|eot|>{% endfor %}"
    "{% if add_generation_prompt %}[assistant]\n\n{% endif %}"
)
"""There is always a system turn, with today's date; texts are trimmed."""

_SPLIT = (
    "{% set text = turn.content %}{% set idea = '' %}{% if '</think>' in text %}"
    "{% set idea = text.split('</think>')[0].split('<think>')[-1].strip() %}"
    "{% set text = text.split('</think>')[-1].lstrip() %}{% endif %}"
)

HYBRID = (
    "{% for turn in messages %}{% if turn.role != 'assistant' %}<|im_start|>{{ turn.role }}\n"
    "{{ turn.content }}<|im_end|>\n{% else %}" + _SPLIT + "<|im_start|>assistant\n"
    "{% if loop.last %}<think>\n{{ idea }}\n</think>\n\n{% endif %}{{ text }}<|im_end|>\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% if enable_thinking is defined and not enable_thinking %}<think>\n\n</think>\n\n{% endif %}{% endif %}"
)
"""The last answer gets an empty thought where it has none; ``enable_thinking=false`` closes the thought."""

DEFAULT_OFF = HYBRID.replace(
    "enable_thinking is defined and not enable_thinking", "not (enable_thinking is defined and enable_thinking)"
)
"""As ``HYBRID``, but the thought is closed unless ``enable_thinking`` is true."""

OPENING = (
    "{% for turn in messages %}{% if turn.role != 'assistant' %}<|im_start|>{{ turn.role }}\n"
    "{{ turn.content }}<|im_end|>\n{% else %}<|im_start|>assistant\n"
    "{{ turn.content.split('</think>')[-1] }}<|im_end|>\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n<think>\n{% endif %}"
)
"""The prompt opens the thought, and finished turns lose theirs."""

GEMMA = (
    "{{ bos_token }}{% if messages[0].role == 'system' %}{{ raise_exception('There is no system role') }}{% endif %}"
    "{% for turn in messages %}{% if (turn.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Roles must alternate') }}{% endif %}"
    "<turn>{{ 'model' if turn.role == 'assistant' else turn.role }}\n{{ turn.content | trim }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<turn>model\n{% endif %}"
)
"""No system role, another name for the assistant."""

MISTRAL = (
    "{{ bos_token }}{% set mark = namespace(first='') %}{% for turn in messages %}"
    "{% if turn.role == 'system' %}{% set mark.first = turn.content + '\n\n' %}"
    "{% elif turn.role == 'user' %}[INST] {{ mark.first }}{{ turn.content }} [/INST]{% set mark.first = '' %}"
    "{% else %} {{ turn.content }}<|im_end|>{% endif %}{% endfor %}"
)
"""The system message joins the first question; a space comes before an answer, and there is no generation prompt."""

FAMILIES = {
    "chatml": CHATML,
    "llama3": LLAMA3,
    "hybrid": HYBRID,
    "gemma": GEMMA,
    "mistral": MISTRAL,
    "none": "",
}
