"""A report page: Markdown with plots, and the self-contained HTML made from it."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping

from markdown_it import MarkdownIt

_STYLE = """
:root { color-scheme: light dark; --text: #1b1b1b; --ground: #ffffff; --faint: #666666; --line: #dddddd;
  --blue: #0072b2; --red: #d55e00; }
@media (prefers-color-scheme: dark) {
  :root { --text: #e6e6e6; --ground: #161616; --faint: #a0a0a0; --line: #3a3a3a; --blue: #4da6e0; --red: #f08040; }
}
body { max-width: 60rem; margin: 0 auto; padding: 1rem; color: var(--text); background: var(--ground);
  font: 16px/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1, h2, h3 { line-height: 1.2; margin-top: 2rem; }
h2 { border-bottom: 1px solid var(--line); padding-bottom: .3rem; }
.wide, pre { overflow-x: auto; }
table { border-collapse: collapse; margin: 1rem 0; }
th, td { border: 1px solid var(--line); padding: .3rem .6rem; text-align: left; vertical-align: top;
  overflow-wrap: normal; }
pre { padding: .8rem; border: 1px solid var(--line); font-size: .85rem; white-space: pre-wrap; }
pre.chart { white-space: pre; }
blockquote { margin: 1rem 0; padding-left: 1rem; border-left: 3px solid var(--line); }
figure { margin: 1rem 0; overflow-x: auto; }
svg { display: block; width: 100%; min-width: 36rem; max-width: 48rem; height: auto; background: var(--ground); }
figcaption, small { color: var(--faint); }
@media print {
  .wide, figure, pre { overflow: visible; }
  table { font-size: .75rem; }
  th, td { overflow-wrap: anywhere; }
  svg { min-width: 0; }
}
"""
_IMAGE = re.compile(r'<p><img src="plots/([\w-]+)\.svg" alt="[^"]*" ?/?></p>')
# The colours of a plot follow those of the page; a plot in a file of its own keeps them.
_COLOUR = re.compile(r'(?<= )(fill|stroke)="(#[0-9a-f]{6})"')
_THEME = {
    "#ffffff": "ground", "#111111": "text", "#444444": "faint", "#666666": "faint", "#888888": "faint",
    "#999999": "faint", "#bbbbbb": "line", "#e5e5e5": "line", "#f0f0f0": "line", "#0072b2": "blue", "#1f77b4": "blue",
    "#d55e00": "red",
}  # fmt: skip
_NO_HEAD = re.compile(r"<thead>\n<tr>\n(?:<th></th>\n)+</tr>\n</thead>\n")
_CHART = re.compile(r"<pre>(?=<code[^>]*>[^<]*█)")
_HEADING = re.compile(r"^(#{1,5}) ", re.MULTILINE)
_FENCE = re.compile(r"^(`{3,})[^\n]*\n.*?^\1[ ]*$", re.MULTILINE | re.DOTALL)


def as_html(title: str, markdown: str, plots: Mapping[str, str]) -> str:
    """Return one HTML page that loads nothing.

    Args:
        title: the title of the page.
        markdown: the text. HTML in it is shown literally, and links are not made from bare addresses.
        plots: the SVG documents by name; ``![...](plots/NAME.svg)`` is replaced by the plot.
    """
    body = MarkdownIt("commonmark", {"html": False, "linkify": False}).enable("table").render(markdown)
    body = _IMAGE.sub(lambda found: f"<figure>{_themed(plots[found[1]])}</figure>" if found[1] in plots else "", body)
    body = _CHART.sub('<pre class="chart">', _NO_HEAD.sub("", body))
    body = body.replace("<table>", '<div class="wide"><table>').replace("</table>", "</table></div>")
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        f"<title>{html.escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n{body}</body>\n</html>\n"
    )


def _themed(plot: str) -> str:
    def colour(found: re.Match[str]) -> str:
        name = _THEME.get(found[2])
        return f'{found[1]}="var(--{name})"' if name else found[0]

    return _COLOUR.sub(colour, plot)


def deeper(markdown: str, levels: int) -> str:
    """Return Markdown whose headings are ``levels`` deeper, at most six; fenced blocks stay as they are."""
    parts, at = [], 0
    for fence in _FENCE.finditer(markdown):
        parts += [_deeper(markdown[at : fence.start()], levels), fence[0]]
        at = fence.end()
    return "".join([*parts, _deeper(markdown[at:], levels)])


def _deeper(text: str, levels: int) -> str:
    return _HEADING.sub(lambda found: "#" * min(len(found[1]) + levels, 6) + " ", text)
