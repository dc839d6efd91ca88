"""How Sphinx builds the documentation. Nothing is fetched from anywhere: the build works without internet."""

import sys
from importlib import metadata
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "dservercore"
author = "The dservercore developers"
project_copyright = "The dservercore developers, MIT licence"
release = version = metadata.version("dservercore")

extensions = [
    "sphinx.ext.autodoc",
    "sphinx_click",
    "cli_reference",
    "data_model",
    "rest_api",
    "schema_fields",
    "settings_reference",
]
exclude_patterns = ["_build", "_ext"]

# Two hyphens are two hyphens in a command line.
smartquotes = False

html_theme = "furo"
html_title = f"dservercore {release}"
html_show_sourcelink = False

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
add_module_names = False
python_use_unqualified_type_names = True
