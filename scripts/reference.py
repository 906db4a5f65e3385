"""The generated pages of the reference: ``python -m scripts.reference`` writes them, ``--check`` compares them.

``docs/reference/configs.md`` is made of the configs and of ``docs/reference/keys.json`` (what each key means),
``cli.md`` of the commands of ``scripts`` and their docstrings, ``metrics.md`` of the functions behind the columns.
"""

from __future__ import annotations

from pathlib import Path

from bundle.data.whole_files import beside

from .command_line import call
from .reference_pages.commands import commands_page
from .reference_pages.configs import configs_page
from .reference_pages.metrics import metrics_page

ROOT = Path(__file__).resolve().parents[1]
PAGES = {"configs.md": configs_page, "cli.md": commands_page, "metrics.md": metrics_page}


def reference(output: str | None = None, check: bool = False) -> None:
    """Write the generated pages of the reference, over those that are there: they are made of the code alone.

    Args:
        output: the folder; null for docs/reference.
        check: write nothing, and end with 1 when a page differs from what would be written.
    """
    folder = ROOT / "docs/reference" if output is None else Path(output)
    differs = []
    for name, make in PAGES.items():
        page, text = folder / name, make()
        if page.is_file() and page.read_text(encoding="utf-8") == text:
            continue
        differs.append(name)
        if not check:
            with beside(page) as place:
                place.write_text(text, encoding="utf-8")
    if check and differs:
        raise ValueError(f"{', '.join(differs)} differ from the code. Write them: python -m scripts.reference")
    print(f"{folder}: {', '.join(differs) + ' written' if differs else 'as the code'}")


if __name__ == "__main__":
    try:
        call(reference)
    except (ValueError, OSError) as error:
        raise SystemExit(str(error)) from None
