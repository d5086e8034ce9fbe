"""The language of a chain, and whether it mixes several."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from o1lab.chains.language import language_of, mixed_language, shares

ENGLISH = "Okay, let me think about the problem. Wait, that is not right, so I need to check the sum again."
CHINESE = "好的，让我想想这道题。等等，这不对，所以我需要重新检查一下这个和。答案应该是二十七。"


@pytest.mark.parametrize(
    ("text", "language"),
    [
        (ENGLISH, "en"),
        (CHINESE, "zh"),
        (r"设 $x$ 为 \(\alpha + \text{the number of all apples in the basket}\) 的值，那么由题意可知 $y = 3$。", "zh"),
        ("Alicia 从 A 市出发，Beth 从 B 市出发，Alicia 的速度是每小时十八英里，Beth 的是十二。", "zh"),
        ("设 sin A 与 cos B 的和为 s，由正弦定理可得 AB 等于 12 cm。", "zh"),
        ("Prove that AM-GM holds.", "en"),
        ("Сначала найдём сумму всех чисел, затем проверим ответ ещё раз.", "other"),
        ("Nous cherchons le nombre de solutions de cette équation dans les entiers.", "other"),
        ("これは問題です。まず、私たちは答えを確認する必要があります。", "other"),
        (r"$$x^2 + y^2 = z^2$$ \[ \text{where all of them are whole numbers} \]", "other"),
        ("", "other"),
    ],
)
def test_the_language_is_that_of_the_words(text: str, language: str) -> None:
    assert language_of(text) == language


@pytest.mark.parametrize(
    "text", [ENGLISH * 5, CHINESE * 5, "设 sin A 与 cos B 相等，AB 与 CD 平行，EF、GH、IJ、KL 也平行。", "", "27"]
)
def test_one_language_is_not_mixed(text: str) -> None:
    assert not mixed_language(text)


@pytest.mark.parametrize(
    "text",
    [
        ENGLISH * 3 + CHINESE,
        CHINESE * 3 + ENGLISH,
        "Let me 检查一下 the result again, because 这个答案 is 不太对 and the 总和 is 错的.",
        ENGLISH + " Тогда ответ должен быть двадцать семь.",
    ],
)
def test_two_languages_are_mixed(text: str) -> None:
    assert mixed_language(text)


def test_names_in_a_chinese_text_are_no_second_language() -> None:
    assert not mixed_language("Alicia 骑车去找 Beth，而 Beth 也骑车去找 Alicia，所以 Alicia 与 Beth 会相遇。" * 3)
    assert mixed_language(
        "Alicia 骑车去找 Beth，所以他们会在路上的某个地方相遇, and then the two of them will meet somewhere between。"
    )


def test_a_foreign_word_is_no_second_language() -> None:
    assert not mixed_language(ENGLISH * 10 + " 检查 ")
    assert shares(ENGLISH * 10 + " 检查 ")["han"] < 0.01


def test_what_stands_in_mathematics_and_code_says_nothing() -> None:
    assert not mixed_language(CHINESE + r" \[ \text{the sum of all the numbers that are left over in the set} \]")
    assert not mixed_language(CHINESE + "\n```\nfor each of them we print all the numbers that are left over\n```\n")


@pytest.mark.data
def test_real_english_chains_are_english_and_not_mixed(shared_data: Path) -> None:
    with (shared_data / "long/skyt1_minerva_amc.jsonl").open(encoding="utf-8") as rows:
        chains = [json.loads(row)["raw"] for row in rows]
    assert {language_of(chain) for chain in chains[::5]} == {"en"}
    assert not any(mixed_language(chain) for chain in chains)


@pytest.mark.data
def test_real_chinese_prompts_are_chinese(shared_data: Path) -> None:
    with (shared_data / "probes/Flames_1k_Chinese.jsonl").open(encoding="utf-8") as rows:
        prompts = [json.loads(row)["prompt"] for row in rows]
    assert {language_of(prompt) for prompt in prompts} == {"zh"}
