"""LaTeX and Markdown drawn as Unicode text, with a map back to the source.

``render(text)`` returns a `Rendering`. Nothing is lost: what is not understood is drawn as source.
"""

from o1lab.chains.mathtext.markup import Part, parts_of, render, render_parts
from o1lab.chains.mathtext.rendering import Look, Rendering

__all__ = ["Look", "Part", "Rendering", "parts_of", "render", "render_parts"]
