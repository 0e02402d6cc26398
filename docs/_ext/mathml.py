"""Formulas as MathML, which browsers draw by themselves: no script, no font, no network."""

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx
from sphinx.util import logging

logger = logging.getLogger(__name__)

UNKNOWN = str.maketrans({'‖': r'\Vert ', '−': '-', '·': r'\cdot '})  # to docutils


def write_inline(writer, node: nodes.math) -> None:
    writer.body.append(mathml(node))
    raise nodes.SkipNode


def write_block(writer, node: nodes.math_block) -> None:
    writer.body.append(f'<div class="math">{mathml(node, as_block=True)}</div>\n')
    raise nodes.SkipNode


def mathml(node: nodes.Element, as_block: bool = False) -> str:
    """Turn a formula's LaTeX into MathML."""
    try:
        return tex2mathml(node.astext().translate(UNKNOWN), as_block=as_block)
    except MathError as error:
        logger.warning('%s in the formula %s', error, node.astext(), location=node)
        return ''


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_html_math_renderer('mathml', (write_inline, None), (write_block, None))
    return dict(parallel_read_safe=True, parallel_write_safe=True)
