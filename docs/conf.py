"""Sphinx's configuration. `docs/build.py` says how the site is built."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import oddgan

project = "oddgan"
author = copyright = "The oddgan authors"
version = release = oddgan.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "myst_nb",
    "sphinx_copybutton",
    "sphinx_design",
    "site_pages.extension",
]
nb_execution_mode = "off"
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 4
suppress_warnings = ["myst.header"]  # a page of the changelog may start its levels anywhere

autodoc_preserve_defaults = True
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
autodoc_class_signature = "mixed"
autodoc_default_options = {"member-order": "bysource"}
napoleon_google_docstring = False
napoleon_use_rtype = False
default_role = "oddgan"

html_theme = "furo"
html_title = f"oddgan {release}"
html_static_path = ["site_pages/static"]
html_css_files = ["oddgan.css"]
html_show_sphinx = False
html_copy_source = html_show_sourcelink = False
html_theme_options = {
    "navigation_with_keys": True,
    # Furo's red looks like an error
    "light_css_variables": {"color-api-name": "#0b63b5", "color-api-pre-name": "#0b63b5"},
    "dark_css_variables": {"color-api-name": "#6cb2ff", "color-api-pre-name": "#6cb2ff"},
}
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
