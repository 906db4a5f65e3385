"""What a text of this repository says, said so that it is true inside the exported bundle."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["VERBS", "Wording", "requirement_names"]

VERBS = ("prepare", "folds", "cross_validate", "report")  # the commands that go along, as python -m scripts.<verb>

OWN_NAME = re.compile(r"(?<![\w.])bundle(?=[./][a-z_])|(?<=\$import )bundle\b")  # and never that of monai.bundle
EXTRA = re.compile(r'pip install (?:-c constraints\.txt )?-e "\.\[(\w+)\]"')
OTHER_VERB = re.compile(rf"python -m (scripts\.(?!(?:{'|'.join(VERBS)})\b)\w+)")
OWN_README = re.compile(r"(?<![\w/.-])README\.md")  # and not docs/README.md, which the bundle has
# true of the repository; the bundle holds a model
OWN_WEIGHTS = "Two trained models for research come with the software."
OTHER_DOCUMENT = re.compile(r"(?<![\w/])(docs/(?:explanation|how-to|reference)/)")


def requirement_names(requirements: list[str]) -> list[str]:
    """Names of the packages in requirements such as ``monai>=1.6.1,<1.7``."""
    return [re.split(r"[^\w.-]", requirement, maxsplit=1)[0] for requirement in requirements]


class Wording:
    """Rewrites texts: ``bundle.data`` becomes ``scripts.data``, and what stays behind is said to be the project's.

    Args:
        root: of the repository, whose ``pyproject.toml`` says what an extra stands for.
    """

    def __init__(self, root: Path) -> None:
        project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        self.dependencies = requirement_names(project["dependencies"])
        self.extras = {name: requirement_names(group) for name, group in project["optional-dependencies"].items()}

    def text(self, text: str) -> str:
        """A text of a config or of the code."""
        text = OWN_NAME.sub("scripts", text)
        text = EXTRA.sub(lambda found: f"pip install {' '.join(self.extras[found[1]])}", text)
        text = OTHER_VERB.sub(r"the project's \1", text)
        text = OTHER_DOCUMENT.sub(r"the project's \1", text)
        text = text.replace(OWN_WEIGHTS, "Two trained models for research come with the project's repository.")
        return OWN_README.sub("the project's README.md", text)

    def content(self, content: Any) -> Any:
        """JSON content, every text in it rewritten; keys stay."""
        if isinstance(content, str):
            return self.text(content)
        if isinstance(content, Mapping):
            return {key: self.content(value) for key, value in content.items()}
        if isinstance(content, list):
            return [self.content(value) for value in content]
        return content
