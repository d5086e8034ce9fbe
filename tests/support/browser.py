"""A headless browser for tests of pages: it opens a page in a frame of any width and says what is in it."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path
from typing import Any

import pytest

from o1lab.errors import LabError
from o1lab.transparency.report.pdf import find_browser, run_browser

_READ = """
const found = () => {
  const page = document.getElementById('page').contentDocument, root = page.documentElement;
  const style = (one, name) => page.defaultView.getComputedStyle(one)[name];
  const rects = [...page.querySelectorAll('svg > rect[width="100%"]')];
  return {
    scroll: root.scrollWidth, client: root.clientWidth,
    headings: [...page.querySelectorAll('h1, h2')].map(one => one.textContent),
    tables: [...page.querySelectorAll('table')].map(
      table => [...table.rows].map(row => [...row.cells].map(cell => cell.textContent))),
    plots: page.querySelectorAll('svg').length,
    grounds: rects.map(one => style(one, 'fill')),
    plot_text: [...page.querySelectorAll('svg')].map(one => style(one, 'fill')),
    body: style(page.body, 'backgroundColor'), text: style(page.body, 'color'),
  };
};
addEventListener('load', () => { document.getElementById('out').textContent = JSON.stringify(found()); });
"""


def browser() -> str:
    """The browser of this machine; the test is skipped if there is none."""
    try:
        return find_browser()
    except LabError as error:
        pytest.skip(error.message)


def read_page(page: Path, folder: Path, *, width: int = 1200, dark: bool = False) -> dict[str, Any]:
    """Open a page in a frame of ``width`` pixels, and return its size, headings, tables, plots and colours."""
    frame = html.escape(page.read_text("utf-8"), quote=True)
    outer = folder / f"frame-{width}-{dark}.html"
    outer.write_text(
        f'<!doctype html><iframe id="page" srcdoc="{frame}" style="width:{width}px;height:800px;border:0"></iframe>'
        f'<pre id="out"></pre><script>{_READ}</script>',
        "utf-8",
    )
    # 0 is dark, 1 is light in Chromium's list of colour schemes.
    scheme = f"--blink-settings=preferredColorScheme={0 if dark else 1}"
    shown = run_browser(browser(), outer, scheme, "--window-size=1400,1000", "--dump-dom")
    [answer] = re.findall(r'<pre id="out">(.+?)</pre>', shown, re.DOTALL)
    read: dict[str, Any] = json.loads(html.unescape(answer))
    return read
