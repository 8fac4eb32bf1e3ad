"""BibTeX's “and others” reads “et al.” in citations and in the bibliography."""
import re

from docutils import nodes

OTHERS = re.compile(r",? and others\b[.]?")


def shorten(app, doctree, docname):
    for node in doctree.findall(lambda n: isinstance(n, (nodes.citation, nodes.reference))):
        for text in list(node.findall(nodes.Text)):
            if OTHERS.search(text): text.parent.replace(text, nodes.Text(OTHERS.sub(" et al.", text)))


def setup(app):
    app.connect("doctree-resolved", shorten)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
