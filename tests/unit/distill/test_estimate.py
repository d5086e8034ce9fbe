"""What a run is said to come to before anything is asked."""

from __future__ import annotations

from pathlib import Path

import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

from o1lab.distill import estimate as estimates
from o1lab.distill.estimate import estimate
from o1lab.distill.runs import read_settings
from o1lab.inference.limits import RULE, most_tokens, rough_tokens
from o1lab.paths import Lab
from store import open_store, problems, teacher_runs
from store.records import NewProblem
from store.teacher_runs import Outcome, TeacherRun
from tests.support.distill_lab import make_lab


@pytest.fixture(autouse=True)
def _no_base(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("O1LAB_CACHE", str(tmp_path / "cache"))  # no tokenizer there: the rule decides


def found(lab: Lab, **settings: object) -> estimates.Estimate:
    store = open_store(lab.database)
    try:
        return estimate(lab, store, read_settings({"endpoint": "teacher", "max_tokens": 100} | settings))
    finally:
        store.close()


def test_tokens_by_the_rule() -> None:
    assert rough_tokens("") == 0
    assert rough_tokens("abcdefgh") == 2
    assert rough_tokens("求三角形的面积") == 7
    assert rough_tokens("面积 is 12") == 2 + 2


def test_a_bound_no_tokenizer_exceeds() -> None:
    text = "求 \\frac{1}{2}" * 50
    assert most_tokens([{"role": "user", "content": text}]) > len(text.encode())


def test_without_earlier_runs_only_the_most_is_known(tmp_path: Path) -> None:
    lab = make_lab(tmp_path / "lab", "http://127.0.0.1:9/v1", 10, input_usd=2.0, output_usd=8.0)
    one, many = found(lab, n=1), found(lab, n=3)
    assert (one.items, one.samples, one.calls, one.most_calls, one.rule) == (10, 10, 10, 10, RULE)
    assert many.input_tokens == 3 * one.input_tokens > 0
    assert (one.output_tokens, one.cost_usd, one.based_on) == (None, None, 0)
    assert one.most_output_tokens == 1000
    assert one.most_input_tokens > one.input_tokens
    assert one.most_cost_usd == pytest.approx((one.most_input_tokens * 2 + 1000 * 8) / 1e6)
    assert found(lab, limit=4).samples == 4


def test_earlier_runs_say_what_is_usual(tmp_path: Path) -> None:
    lab = make_lab(tmp_path / "lab", "http://127.0.0.1:9/v1", 10)
    store = open_store(lab.database)
    teacher_runs.add(store.db, TeacherRun("r1", "distill/r1", "sample", "teacher", "m", "long-thought@1", {}))
    teacher_runs.add(store.db, TeacherRun("r2", "distill/r2", "sample", "teacher", "m", "other@1", {}))
    with store.db.atomic():
        teacher_runs.add_outcomes(store.db, "r1", [Outcome("a", 0, "kept", output_tokens=30)])
        teacher_runs.add_outcomes(store.db, "r1", [Outcome("b", 0, "rejected", "x", output_tokens=50)])
        teacher_runs.add_outcomes(store.db, "r1", [Outcome("c", 0, "failed", "x", output_tokens=9)])
        teacher_runs.add_outcomes(store.db, "r2", [Outcome("a", 0, "kept", output_tokens=5000)])
    store.close()
    usual = found(lab)
    assert (usual.based_on, usual.output_tokens) == (2, 400)
    assert (usual.cost_usd, usual.most_cost_usd) == (None, None)  # no price is known
    assert found(lab, max_tokens=10).output_tokens == 100  # a lower limit than they had


def test_a_conversation_of_several_calls_is_counted_at_its_most(tmp_path: Path) -> None:
    lab = make_lab(tmp_path / "lab", "http://127.0.0.1:9/v1", 2)
    told = found(lab, method="debate", rounds=3)
    assert told.most_calls > told.calls > told.samples == 2
    assert told.most_output_tokens == told.most_calls * 100


def test_each_one_of_a_debate_has_its_own_price(tmp_path: Path) -> None:
    lab = make_lab(tmp_path / "lab", "http://127.0.0.1:9/v1", 2, input_usd=0.0, output_usd=1.0)
    critic = '\n[[endpoints]]\nname = "critic"\nurl = "http://127.0.0.1:9/v1"\nmodel = "c"\n'
    plain = lab.config.read_text("utf-8") + critic
    lab.config.write_text(plain + "input_usd = 0.0\noutput_usd = 100.0\n", "utf-8")
    alone, told = found(lab, method="debate", rounds=3), found(lab, method="debate", rounds=3, critic="critic")
    assert alone.most_cost_usd == pytest.approx(2 * 7 * 100 * 1e-6)
    assert told.most_cost_usd == pytest.approx(2 * (4 * 100 * 1e-6 + 3 * 100 * 100e-6))
    lab.config.write_text(plain, "utf-8")
    assert found(lab, method="debate", rounds=3, critic="critic").most_cost_usd is None


def test_a_large_pool_is_counted_by_its_beginning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimates, "_COUNTED", 5)
    monkeypatch.setattr(estimates, "_counter", lambda _: (lambda text: 3 * rough_tokens(text), "thrice"))
    lab = make_lab(tmp_path / "lab", "http://127.0.0.1:9/v1", 0)
    store = open_store(lab.database)
    with store.db.atomic():
        problems.add(store.db, [NewProblem(f"Problem {number:03}?", "p", answer="1") for number in range(40)])
    store.close()
    told = found(lab)
    monkeypatch.setattr(estimates, "_counter", lambda _: (rough_tokens, RULE))
    assert (told.rule, told.input_tokens) == ("thrice", 3 * found(lab).input_tokens)


def test_a_tokenizer_counts_text_with_lone_surrogates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = tmp_path / "tokenizer.json"
    Tokenizer(WordLevel({"[UNK]": 0}, unk_token="[UNK]")).save(str(tokenizer))
    monkeypatch.setattr("o1lab.models.resolve_base", lambda base, fetch: tmp_path)
    monkeypatch.setattr("o1lab.models.tokenizer_file", lambda base: tokenizer)
    count, rule = estimates._counter(make_lab(tmp_path / "lab", "http://127.0.0.1:9/v1", 1))
    assert rule.startswith("the tokenizer of")
    assert count("half of a pair: \ud83d") == 1
