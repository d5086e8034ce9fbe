"""The page of a report: nothing is loaded, nothing in a text becomes markup."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

from o1lab.markdown import fenced, inline, table
from o1lab.transparency.report.loss_plot import loss_svg, losses
from o1lab.transparency.report.page import as_html, deeper

HOSTILE = "<script>alert(1)</script> ![x](http://evil.example/x.png) [a](javascript:alert(1)) & | `"


class Elements(HTMLParser):
    """Collects elements, their attributes and the text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attributes if name in ("src", "href")]

    def handle_data(self, data: str) -> None:
        self.text += data


def test_nothing_is_loaded_and_foreign_text_is_literal() -> None:
    text = f"# T\n\n{inline(HOSTILE)}\n\n{fenced(HOSTILE)}\n{table(('a',), [(HOSTILE,)])}\n"
    page = Elements(as_html("T <b>", text, {}))
    assert page.links == []
    assert "script" not in page.tags and "img" not in page.tags and "a" not in page.tags
    assert page.text.count("<script>alert(1)</script>") == 3
    assert "table" in page.tags


def test_a_plot_is_part_of_the_page() -> None:
    drawn = loss_svg([(1, 2.0), (2, 1.0)], "Loss of <x>")
    page = as_html("T", "![The loss](plots/loss-1.svg)\n\n![gone](plots/gone.svg)\n", {"loss-1": drawn})
    assert page.count("<svg") == 1 and "<img" not in page
    assert "Loss of &lt;x&gt;" in page


def test_headings_move_down_but_not_in_blocks_of_code() -> None:
    text = "# One\n\n```text\n# not a heading\n```\n\n##### Five\n"
    assert deeper(text, 2) == "### One\n\n```text\n# not a heading\n```\n\n###### Five\n"


def test_the_curve_of_a_resumed_run_follows_its_last_lines(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text(
        '{"step": 1, "loss": 3}\n{"step": 2, "loss": 2}\n{"step": 3, "loss": 9}\nbroken\n'
        '{"event": "resumed", "step": 1}\n{"step": 2, "loss": 1.5}\n{"step": 4, "loss": NaN}\n'
    )
    assert losses(path) == [(1, 3.0), (2, 1.5)]
    assert losses(path.with_name("gone")) == []


def test_a_spike_among_many_steps_is_drawn(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text("".join(f'{{"step": {step}, "loss": {9.0 if step == 3001 else 1.0}}}\n' for step in range(1, 5001)))
    points = losses(path)
    assert len(points) < 2000 and (3001, 9.0) in points
