"""Sphinx configuration: `make docs` builds offline, warnings are errors."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "romae"
author = "The romae developers"
project_copyright = "The romae developers"
html_title = "romae"

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "romae_docs"]
exclude_patterns = ["_build", "_ext"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the docstrings say types and shapes
add_module_names = False
napoleon_use_rtype = False

html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["romae.css"]
html_theme_options = {
    "light_css_variables": {"font-stack": "system-ui, sans-serif", "color-brand-primary": "#0b5394",
                            "color-brand-content": "#0b5394"},
    "dark_css_variables": {"color-brand-primary": "#7fb2e5", "color-brand-content": "#7fb2e5"},
}  # fmt: skip
html_show_sourcelink = False
html_copy_source = False
