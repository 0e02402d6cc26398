"""How Sphinx builds the pages: `make docs`."""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE / '_ext'), str(HERE.parent)]

import nst_det  # noqa: E402  before mmdet: it supplies mmcv's ops

project = 'nst_det'
author = copyright = 'the nst_det authors'
release = version = nst_det.__version__

extensions = [
    'myst_parser',
    'sphinx.ext.autodoc',
    'sphinx.ext.napoleon',
    'mathml',
    'tool_help',
]
exclude_patterns = ['_build']

# The pages read well on a plain repository view too: nothing beyond GitHub's own Markdown.
myst_enable_extensions = ['dollarmath']
myst_heading_anchors = 3
highlight_language = 'none'  # of indented blocks, which are commands and what they print

autodoc_member_order = 'bysource'
autodoc_typehints = 'none'  # the docstrings name them
autodoc_class_signature = 'mixed'
default_role = 'code'  # shapes, as `(N, C, H, W)`
napoleon_use_rtype = False

html_math_renderer = 'mathml'
html_theme = 'furo'
html_title = f'nst_det {release}'
html_static_path = ['_static']
html_css_files = ['pages.css']
html_copy_source = False
html_show_sphinx = False
html_theme_options = {'top_of_page_buttons': []}
