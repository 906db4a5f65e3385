"""The documentation as a site: ``make docs`` builds it into build/docs, without a network and for reading without one.

The source folder is the repository's root, so that the links between README.md, CHANGELOG.md and docs/ hold on GitHub
and in the site alike. The notebook is shown as it was committed; a test executes it.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.utils.math import latex2mathml

ROOT = Path(__file__).resolve().parents[1]

project = "Seg-CycleGAN for CESM"
author = copyright = "the Seg-CycleGAN CESM bundle developers"
release = version = re.search(r'__version__ = "(.+)"', (ROOT / "bundle/__init__.py").read_text(encoding="utf-8"))[1]

extensions = ["myst_nb", "sphinx_copybutton"]
root_doc = "docs/index"
include_patterns = ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "models/README.md", "docs/**"]
exclude_patterns = [".*", "*.egg-info", "build", "dist", "data", "eval", "runs", "bundle", "scripts", "tests"]
exclude_patterns += ["**/.ipynb_checkpoints", "docs/notebooks/phantom_study"]

myst_enable_extensions = ["dollarmath", "colon_fence", "deflist"]
myst_heading_anchors = 4
nb_execution_mode = "off"
suppress_warnings = ["myst.header"]  # the model card has the Model Zoo's headings
nb_ipywidgets_js: dict[str, Any] = {}
highlight_language = "none"
copybutton_selector = "div.highlight pre"
html_math_renderer = "mathml"

html_theme = "pydata_sphinx_theme"
html_title = project
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_sidebars = {"**": ["contents.html"]}
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "navbar_center": [],
    "navbar_end": ["theme-switcher"],
    "footer_start": ["notice"],
    "footer_end": ["sphinx-version"],
    "secondary_sidebar_items": ["page-toc"],
}
templates_path = ["_templates"]


def _math(translator: Any, node: nodes.Element) -> None:
    """Formulas as MathML, which browsers draw themselves."""
    block = isinstance(node, nodes.math_block)
    formula = latex2mathml.tex2mathml(node.astext(), as_block=block)
    translator.body.append(f'<div class="math">{formula}</div>' if block else formula)
    raise nodes.SkipNode


def _start_page(app: Any, error: Exception | None) -> None:
    """The site opens at its root as well."""
    if error is None and app.builder.format == "html":
        page = '<!DOCTYPE html><meta charset="utf-8"><meta http-equiv="refresh" content="0; url=docs/index.html">'
        link = '<title>Documentation</title><a href="docs/index.html">Documentation</a>\n'
        Path(app.outdir, "index.html").write_text(page + link, encoding="utf-8")


def _one_entry(app: Any, doctree: nodes.document) -> None:
    """Further first-level headings of a page (the model card has the Model Zoo's) stand below its first one in tables
    of contents: a toctree's own title for a page is used only where the page has one entry.
    """
    first, *others = app.env.tocs[app.env.docname].children or [None]
    if others:
        below = first.children[-1] if isinstance(first.children[-1], nodes.bullet_list) else nodes.bullet_list()
        if below.parent is None:
            first.append(below)
        for entry in others:
            entry.parent.remove(entry)
            below.append(entry)


def setup(app: Any) -> None:
    app.add_html_math_renderer("mathml", inline_renderers=(_math, None), block_renderers=(_math, None))
    app.connect("doctree-read", _one_entry, priority=900)  # after Sphinx has collected the contents
    app.connect("build-finished", _start_page)
