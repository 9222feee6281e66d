"""An evaluation as one HTML page, as Markdown, as JSON, and as pictures with heat maps."""

from .heat import heat_map_grid, overlay
from .page import to_html, write_html
from .text import SCHEMA_VERSION, to_json, to_markdown

__all__ = ["SCHEMA_VERSION", "heat_map_grid", "overlay", "to_html", "to_json", "to_markdown", "write_html"]
