"""Formulas as MathML, converted at build time by docutils: no script, no font, no request."""

import re

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.util import logging
from sphinx.util.math import get_node_equation_number

logger = logging.getLogger(__name__)


def known(latex: str) -> str:
    """The same in commands that docutils knows: it lacks some dots, and sizes of brackets."""
    return re.sub(r"\\[bB]igg?[lr]?(?=[\[\]()|])", "", latex.replace(r"\dots", r"\ldots"))


def converted(node: nodes.Element, *, as_block: bool) -> str:
    """MathML of a node, or its LaTeX and a warning where docutils cannot convert it."""
    try:
        return tex2mathml(known(node.astext().strip()), as_block=as_block)
    except MathError as error:
        logger.warning("formula %r: %s", node.astext(), error, location=node)
        return f"<code>{nodes.Text(node.astext())}</code>"


def visit_inline(self, node: nodes.math) -> None:
    """Write a formula within a line."""
    self.body.append(converted(node, as_block=False))
    raise nodes.SkipNode


def visit_block(self, node: nodes.math_block) -> None:
    """Write a formula on lines of its own, scrollable where the screen is narrow."""
    self.body.append(self.starttag(node, "div", CLASS="formula"))
    if node["number"]:
        number = get_node_equation_number(self, node)
        self.body.append(f'<span class="eqno">({number})')
        self.add_permalink_ref(node, "Link to this equation")
        self.body.append("</span>")
    self.body.append(converted(node, as_block=True) + "</div>\n")
    raise nodes.SkipNode


def setup(app) -> dict[str, bool]:
    """Register the renderer."""
    app.add_html_math_renderer("mathml", (visit_inline, None), (visit_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
