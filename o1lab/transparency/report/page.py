"""A report page: Markdown with plots, and the self-contained HTML made from it."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping

from markdown_it import MarkdownIt

_STYLE = """
:root { color-scheme: light dark; --text: #1b1b1b; --ground: #ffffff; --faint: #666666; --line: #dddddd; }
@media (prefers-color-scheme: dark) {
  :root { --text: #e6e6e6; --ground: #161616; --faint: #a0a0a0; --line: #3a3a3a; }
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
blockquote { margin: 1rem 0; padding-left: 1rem; border-left: 3px solid var(--line); }
svg { max-width: 100%; height: auto; background: #ffffff; }
figcaption, small { color: var(--faint); }
"""
_IMAGE = re.compile(r'<p><img src="plots/([\w-]+)\.svg" alt="[^"]*" ?/?></p>')
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
    body = _IMAGE.sub(lambda found: f"<figure>{plots[found[1]]}</figure>" if found[1] in plots else "", body)
    body = body.replace("<table>", '<div class="wide"><table>').replace("</table>", "</table></div>")
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        f"<title>{html.escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n{body}</body>\n</html>\n"
    )


def deeper(markdown: str, levels: int) -> str:
    """Return Markdown whose headings are ``levels`` deeper, at most six; fenced blocks stay as they are."""
    parts, at = [], 0
    for fence in _FENCE.finditer(markdown):
        parts += [_deeper(markdown[at : fence.start()], levels), fence[0]]
        at = fence.end()
    return "".join([*parts, _deeper(markdown[at:], levels)])


def _deeper(text: str, levels: int) -> str:
    return _HEADING.sub(lambda found: "#" * min(len(found[1]) + levels, 6) + " ", text)
