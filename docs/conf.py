"""Sphinx settings of the documentation. Build it with `make docs`; nothing needs the network."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE / "_ext")]

from cscalc import __version__  # noqa: E402 - needs the path above

project = "cscalc"
author = "The cscalc developers"
copyright = "The cscalc developers, Apache-2.0"
version = release = __version__
language = "en"

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "numpydoc",
    "sphinx_copybutton",
    "mathml",
    "names",
    "reference",
    "commands",
]
exclude_patterns = ["_build", "_ext", "_static"]
nitpicky = True
smartquotes = False
default_role = "name"

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the docstrings say shape, range and unit, which types do not
numpydoc_show_class_members = False
toc_object_entries_show_parents = "hide"

copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

html_theme = "furo"
html_title = f"cscalc {release}"
html_math_renderer = "mathml"
html_static_path = ["_static"]
html_css_files = ["cscalc.css"]
html_copy_source = False
html_show_sphinx = False
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#0b5394", "color-brand-content": "#0b5394"},
    "dark_css_variables": {"color-brand-primary": "#8ab8ff", "color-brand-content": "#8ab8ff"},
}
pygments_style = "a11y-high-contrast-light"
pygments_dark_style = "a11y-dark"
