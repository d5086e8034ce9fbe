"""The sixteen colours of a terminal as truecolor, where Textual draws them so: readable on every theme.

Widgets name colours among the terminal's sixteen. Textual translates them for its own themes; its translation for light
themes draws white on light grey, and its dark one red and magenta alike. Each colour here has a contrast of at least
4.5 (WCAG 2.1, level AA) with the background of every theme of Textual of its kind.
"""

from __future__ import annotations

from collections.abc import Mapping

from rich.terminal_theme import TerminalTheme

DARK = TerminalTheme(
    (18, 18, 18),
    (224, 224, 224),
    [
        (26, 26, 26), (255, 121, 133), (152, 224, 36), (253, 164, 56), (128, 168, 255), (229, 138, 255), (88, 209, 235),
        (214, 214, 204),
    ],
    [
        (150, 150, 150), (255, 140, 150), (170, 235, 70), (224, 213, 97), (150, 185, 255), (238, 165, 255),
        (130, 225, 245), (246, 246, 239),
    ],
)  # fmt: skip
LIGHT = TerminalTheme(
    (224, 224, 224),
    (30, 30, 30),
    [(0, 0, 0), (158, 22, 22), (20, 92, 24), (120, 72, 0), (20, 62, 168), (122, 24, 130), (0, 84, 108), (76, 76, 76)],
    [(80, 80, 80), (170, 10, 40), (10, 95, 10), (130, 70, 0), (0, 60, 180), (140, 0, 140), (0, 85, 115), (50, 50, 50)],
)


def theme_for(environ: Mapping[str, str], colours: str | None) -> str | None:
    """Return the theme that a terminal needs; None if it can show all themes, or if TEXTUAL_THEME names one.

    A terminal with sixteen colours would get the nearest of them, on which text may be unreadable. It gets the theme
    that draws with the terminal's own colours, as with ``O1LAB_ANSI`` and with ``NO_COLOR``, which has no backgrounds.

    Args:
        environ: The environment variables.
        colours: The colours of the terminal as Rich names them: ``standard`` for sixteen.
    """
    asked = environ.get("O1LAB_ANSI", "")
    if "TEXTUAL_THEME" in environ or not (asked or colours == "standard" or "NO_COLOR" in environ):
        return None
    background = environ.get("COLORFGBG", "").rpartition(";")[2]
    return "ansi-light" if asked == "light" or (asked in ("", "1") and background in ("7", "15")) else "ansi-dark"
