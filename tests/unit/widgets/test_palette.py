"""Every colour that widgets name can be read on every theme, and kinds of moves have colours of their own."""

from __future__ import annotations

import pytest
from rich.terminal_theme import TerminalTheme
from textual.color import Color
from textual.theme import BUILTIN_THEMES, Theme

from o1lab.chains.segmentation.moves import MoveKind
from o1lab.widgets.palette import DARK, LIGHT, theme_for
from o1lab.widgets.reader.document import style_of

THEMES = [theme for theme in BUILTIN_THEMES.values() if "ansi" not in theme.name]  # those take the terminal's colours


def luminance(rgb: tuple[int, int, int]) -> float:
    """The relative luminance of WCAG 2.1."""
    parts = [one / 255 for one in rgb]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(first: tuple[int, int, int], second: tuple[int, int, int]) -> float:
    low, high = sorted((luminance(first), luminance(second)))
    return (high + 0.05) / (low + 0.05)


def palette_of(theme: Theme) -> TerminalTheme:
    return DARK if theme.dark else LIGHT


def background(theme: Theme) -> tuple[int, int, int]:
    return Color.parse(theme.to_color_system().generate()["background"]).rgb


@pytest.mark.parametrize("theme", THEMES, ids=lambda theme: theme.name)
def test_colours_are_readable(theme: Theme) -> None:
    colours = palette_of(theme).ansi_colors
    for number in range(1, 16):  # black is a ground, not a colour of text
        if number != 8:
            assert contrast(colours[number], background(theme)) >= 4.5, number


@pytest.mark.parametrize("palette", [DARK, LIGHT], ids=["dark", "light"])
def test_each_kind_of_move_has_its_own_colour(palette: TerminalTheme) -> None:
    colours = [style_of(kind).color for kind in MoveKind]
    assert all(colours)
    drawn = [colour.get_truecolor(palette) for colour in colours if colour]
    assert len(set(drawn)) == len(MoveKind)


def test_contrast_is_that_of_the_standard() -> None:
    assert contrast((255, 255, 255), (0, 0, 0)) == pytest.approx(21)
    assert contrast((119, 119, 119), (255, 255, 255)) == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize(
    ("environ", "colours", "theme"),
    [
        ({}, "truecolor", None),
        ({}, "256", None),
        ({}, "standard", "ansi-dark"),
        ({"COLORFGBG": "15;0"}, "standard", "ansi-dark"),
        ({"COLORFGBG": "0;15"}, "standard", "ansi-light"),
        ({"NO_COLOR": "1"}, "truecolor", "ansi-dark"),
        ({"O1LAB_ANSI": "1"}, "truecolor", "ansi-dark"),
        ({"O1LAB_ANSI": "light"}, "truecolor", "ansi-light"),
        ({"TEXTUAL_THEME": "nord", "NO_COLOR": "1"}, "standard", None),
        ({}, None, None),
    ],
)
def test_a_terminal_gets_a_theme_that_it_can_show(
    environ: dict[str, str], colours: str | None, theme: str | None
) -> None:
    assert theme_for(environ, colours) == theme
    assert theme is None or BUILTIN_THEMES[theme].ansi
