"""Search trees: what is a tree and what is not, and walks by rules through one that is drawn in the helper."""

from __future__ import annotations

import json
from typing import Any

import pytest
from rich.cells import cell_len

from o1lab.chains.parse import parse
from o1lab.chains.trees.text import tree_lines
from o1lab.chains.trees.tree import TreeError, read_tree
from o1lab.chains.trees.walk import (
    PLAIN_DOUBT,
    TreeRules,
    Walk,
    as_chain,
    plain_reflections,
    recorded_walk,
    thought_before,
    walk_tree,
)
from tests.support.search_tree import STATEMENT, node, nodes


def walked(given: list[dict[str, Any]] | None = None, **rules: Any) -> Walk:
    return walk_tree(read_tree(nodes() if given is None else given), TreeRules(**rules))


def faults(given: Any) -> dict[str, str]:
    with pytest.raises(TreeError) as error:
        read_tree(given)
    return {one.where: one.what for one in error.value.faults}


def test_a_tree_keeps_its_nodes_in_the_order_of_the_file() -> None:
    tree = read_tree(nodes())
    assert tree.as_json() == nodes()
    assert read_tree(tree.as_json()) == tree
    assert [tree.nodes[index].id for index in tree.leaves] == ["e", "f", "g", "i"]
    assert max(tree.depth) == 2
    assert [one.id for one, right in zip(tree.nodes, tree.right, strict=True) if right] == ["a", "c", "g"]
    reverse = read_tree(list(reversed(nodes())))
    assert reverse.nodes[reverse.root].id == "a"


@pytest.mark.parametrize(
    ("rules", "visited"),
    [
        ({"dead_ends": 0}, "acg"),
        ({"dead_ends": 1}, "abecg"),  # b is the most tempting wrong branch
        ({}, "abecfg"),  # two: b at the root, f below c
        ({"dead_ends": 9}, "abedicfg"),
        ({"dead_ends": 9, "dead_end_depth": 1}, "abdcfg"),
        ({"dead_ends": 9, "dead_end_order": "lowest"}, "adibecfg"),
        ({"dead_ends": 1, "dead_end_order": "lowest"}, "adicg"),
        ({"dead_ends": 2, "dead_end_order": "file"}, "abecfg"),
    ],
)
def test_the_rules_of_a_walk(rules: dict[str, Any], visited: str) -> None:
    walk = walked(**rules)
    assert "".join(walk.ids(walk.visited)) == visited
    assert walk.ids(walk.path) == ["a", "c", "g"]
    assert walk == recorded_walk(walk.tree, walk.rules, list(visited))
    assert walk_tree(walk.tree, walk.rules) == walk


def test_after_a_dead_end_the_walk_goes_on_with_the_next_branch() -> None:
    walk = walked(dead_ends=9)
    assert walk.ids(one.branch for one in walk.dead_ends) == ["a", "a", "c"]
    assert walk.ids(map(walk.next_step, range(3))) == ["d", "c", "g"]


def test_a_branch_with_another_right_answer_is_no_dead_end() -> None:
    more = [*nodes(), node("j", "a", 0.95), node("k", "j", 0.1, True, "42")]
    walk = walked(more, dead_ends=9)
    assert walk.ids(walk.path)[-1] == "g"  # the correct leaf of the highest value
    assert not {"j", "k"} & set(walk.ids(walk.visited))
    assert walked([*nodes(), node("j", "a"), node("k", "j", 0.99, True, "42")]).leaf == 9


def test_a_wrong_branch_that_comes_to_the_answer_is_left_before_it() -> None:
    more = [*nodes(), node("l", "d", 0.99, True, "42")]
    assert "l" not in walked(more, dead_ends=9).ids(walked(more, dead_ends=9).visited)


def test_nodes_without_a_value_come_last() -> None:
    given = [one | {"value": None} if one["id"] == "b" else one for one in nodes()]
    assert "".join(walked(given, dead_ends=9).ids(walked(given, dead_ends=9).visited)) == "adibecfg"
    assert "".join(walked(given, dead_ends=1).ids(walked(given, dead_ends=1).visited)) == "acfg"


def test_a_chain_has_a_reflection_at_each_turn_back() -> None:
    walk = walked()
    chain = as_chain(walk, ["Wait, b leads nowhere.", "Hm, f is wrong."])
    parsed = parse(chain.raw)
    assert parsed.thought_of(chain.raw).split("\n\n") == [
        "step a.", "step b.", "step e.", "Wait, b leads nowhere.", "step c.", "step f.", "Hm, f is wrong.",
    ]  # fmt: skip
    assert parsed.solution_of(chain.raw) == r"\boxed{42}"
    assert [chain.raw[start:end] for start, end in chain.reflections] == ["Wait, b leads nowhere.", "Hm, f is wrong."]
    assert thought_before(walk, 1, ["Wait, b leads nowhere."]).split("\n\n")[-2:] == ["step c.", "step f."]
    assert plain_reflections(walk, STATEMENT) == [PLAIN_DOUBT["en"]] * 2
    assert plain_reflections(walk, "四十加二是多少？") == [PLAIN_DOUBT["zh"]] * 2


def test_a_tree_of_one_node_is_an_answer() -> None:
    chain = as_chain(walked([node("a", None, None, True, "42")]), [])
    assert chain.raw == "42" and chain.reflections == ()


@pytest.mark.parametrize(
    ("given", "where", "what"),
    [
        ([], "nodes", "at least one"),
        ({"id": 1}, "nodes", "a list"),
        ([3], "nodes[0]", "not an object"),
        ([{"text": "x"}], "nodes[0].id", "missing"),
        ([{"id": True, "text": "x"}], "nodes[0].id", "not a text or an integer"),
        ([{"id": "", "text": "x"}], "nodes[0].id", "not a text"),
        ([{"id": 1}], "nodes[0].text", "missing"),
        ([{"id": 1, "text": ["x"]}], "nodes[0].text", "not a text"),
        ([{"id": 1, "text": "x", "parent": [1]}], "nodes[0].parent", "not the id"),
        ([{"id": 1, "text": "x", "parent": 9}], "nodes[0].parent", "no node '9'"),
        ([{"id": 1, "text": "x", "parent": 1}], "nodes[0].parent", "cycle (1 long): 1 → 1"),
        ([{"id": 1, "text": "x", "value": "0.5"}], "nodes[0].value", "not a number"),
        ([{"id": 1, "text": "x", "value": float("nan")}], "nodes[0].value", "not a number"),
        ([{"id": 1, "text": "x", "value": 10**400}], "nodes[0].value", "not a number"),
        ([{"id": 1, "text": "x", "value": True}], "nodes[0].value", "not a number"),
        ([{"id": 1, "text": "x", "correct": "yes"}], "nodes[0].correct", "not true or false"),
        ([{"id": 1, "text": "x"}, {"id": "1", "text": "y", "parent": 1}], "nodes[1].id", "same id"),
        ([{"id": 1, "text": "x"}, {"id": 2, "text": "y"}], "nodes[1]", "second root"),
        ([{"id": 1, "text": "x"}], "nodes", "no leaf is marked correct"),
        ([{"id": 1, "text": " ", "correct": True}], "nodes[0].text", "needs a text"),
        ([{"id": 1, "text": "</think>", "correct": True}], "nodes[0].text", "needs a text"),
        ([node("a", None, correct=False), node("b", "a", correct=True)], "nodes", "below a node that is marked wrong"),
        ([node("a", None, correct=True), node("b", "a")], "nodes", "no leaf is marked correct"),
    ],
)
def test_what_is_not_a_tree(given: Any, where: str, what: str) -> None:
    found = faults(given)
    assert what in found[where]


def test_all_faults_are_told_at_once_and_shown_short() -> None:
    found = faults([{"id": 1, "text": "x", "value": "high"}, {"id": 1, "text": 2}, 3])
    assert set(found) == {"nodes[0].value", "nodes[1].text", "nodes[1].id", "nodes[2]"}
    with pytest.raises(TreeError, match=r" and 95 more$"):
        read_tree([{"id": at, "text": None} for at in range(100)])


def test_a_cycle_is_named() -> None:
    given = [*nodes(), node("x", "z"), node("y", "x"), node("z", "y"), node("w", "x")]
    assert faults(given) == {"nodes[8].parent": "its parents are a cycle (3 long): x → z → y → x"}


def test_unknown_fields_and_think_marks_are_reported() -> None:
    given = [one | {"visits": 3} for one in nodes()]
    given[1]["text"] = "step b </think> <THINK>"
    tree = read_tree(given)
    assert tree.notes() == [
        "nodes of a tree have a field visits (8 times), which was not kept",
        "nodes of a tree have think marks (1 times), which its chains leave out",
    ]
    chain = as_chain(walk_tree(tree, TreeRules()), ["no", "no"])
    assert chain.raw.count("think>") == 2
    assert parse(chain.raw).complete


def test_hostile_text_is_kept_in_the_chain_and_shown_literally() -> None:
    hostile = "\x1b[2J[red]x[/]\ud800\u202e"
    given = nodes()
    given[1] |= {"text": hostile, "id": "b\x07"}
    given[2]["parent"] = "b\x07"
    walk = walked(given)
    assert hostile in as_chain(walk, ["", ""]).raw
    lines = "\n".join(line for _, line in tree_lines(walk, 80))
    assert "\x1b" not in lines and "[red]x[/]" in lines
    assert json.dumps(walk.tree.as_json())


def test_a_deep_and_wide_tree_is_read_without_recursion() -> None:
    deep = 30_000
    given = [node(str(at), str(at - 1) if at else None, correct=True if at == deep - 1 else None) for at in range(deep)]
    given += [node(f"w{at}", str(at), 0.5, False) for at in range(deep - 1)]
    walk = walked(given, dead_ends=3)
    assert len(walk.visited) == deep + 3
    assert len(as_chain(walk, ["", "", ""]).raw) > deep
    lines = [line for _, line in tree_lines(walk, 80)]
    assert len(lines) == 2 * deep - 1
    assert max(map(len, lines)) < 100
    assert "(29,999)" in lines[deep - 1]


def test_the_lines_of_a_tree() -> None:
    assert [line for _, line in tree_lines(walked(dead_ends=1), 40)] == [
        "▸          step a.",
        "↩      0.9   step b.",
        "↩ ✗    0.2     step e.",
        "▸      0.5   step c.",
        "  ✗    0.8     step f.",
        r"▸ ✓    0.4     \boxed{42}",
        "  ✗    0.3   step d.",
        "       0.6     step i.",
    ]


def test_a_line_fits_in_its_cells() -> None:
    given = nodes()
    given[1]["text"] = "先算个位，再算十位。" * 20
    lines = [line for _, line in tree_lines(walked(given), 60)]
    assert max(map(cell_len, lines)) <= 60
    assert lines[1].endswith("…") and "先算个位" in lines[1]


@pytest.mark.parametrize("visited", [[], ["x"], ["e", "f", "g"]])
def test_a_damaged_record_of_a_walk_is_refused(visited: list[str]) -> None:
    tree = read_tree(nodes())
    with pytest.raises(ValueError, match="no walk through this tree"):
        recorded_walk(tree, TreeRules(), visited)
