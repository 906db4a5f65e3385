"""Documents of an exported bundle, from the templates beside this file."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

__all__ = ["PLACEHOLDER", "document"]

PLACEHOLDER = "https://example.org/SET-THE-ADDRESS-OF/model.pt"


@functools.cache
def _environment() -> Any:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # plain texts
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["tojson"] = json.dumps  # for YAML and Python, not for HTML
    return environment


def document(template: str, **values: Any) -> str:
    """The text of a template.

    Raises:
        jinja2.UndefinedError: for a value that it names and was not given.
    """
    return _environment().get_template(template).render(placeholder=PLACEHOLDER, **values)
