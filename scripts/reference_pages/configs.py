"""The page of the configs: every root key with its default, from the JSON, and its meaning, from keys.json."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from .markdown import MADE, code, prose, table

__all__ = ["configs", "configs_page", "key_problems"]

ROOT = Path(__file__).resolve().parents[2]
CONFIGS, KEYS = ROOT / "configs", ROOT / "docs/reference/keys.json"
FIRST = ["train.json", "evaluate.json", "inference.json", "inference_dicom.json", "metadata.json"]
RUN_IDS = ("initialize", "checking", "training", "evaluating", "run", "finalize")
FIELDS = ("meaning", "unit", "allowed")
Entries = Mapping[str, Mapping[str, str]]

INTRODUCTION = """\
A run is one config with overlays on top; later ones win. Every root key is an option of the command line:

```
python -m monai.bundle run training --config_file "['configs/train.json','configs/fast.json']" --fold 3 --gamma 100
```

`#` reaches into an object (`--network_def#width 32`), also where this page does not list what is in it; in an
overlay, `+` adds to a list or an object instead of replacing it. Booleans are `True` and `False`, nothing is
`"'$None'"`. A text that begins with `$` is a Python expression, `@key` is the object of another key, `%key` a copy
of its text. An override that names no key is refused, with the nearest one.

Defaults stand here as in the JSON files. *Set by* names the overlays that change a key."""


@cache
def configs() -> dict[str, dict[str, Any]]:
    """Name below configs/ -> content."""
    names = sorted(path.relative_to(CONFIGS).as_posix() for path in CONFIGS.rglob("*.json"))
    names.sort(key=lambda name: FIRST.index(name) if name in FIRST else len(FIRST))
    return {name: json.loads((CONFIGS / name).read_text(encoding="utf-8")) for name in names}


def base_of(name: str) -> str | None:
    """The config below an overlay, the first one that its ``about`` runs; None for one that stands alone."""
    first = re.search(r"configs/([\w/]+\.json)", configs()[name].get("about", ""))
    return first[1] if first and first[1] != name else None


def lookup(content: Any, config_id: str) -> Any:
    """What an id such as ``train#handlers#3`` names.

    Raises:
        LookupError: when it names nothing.
    """
    if isinstance(content, dict) and config_id in content:
        return content[config_id]
    key, _, rest = config_id.partition("#")
    if not isinstance(content, dict | list) or (isinstance(content, list) and not key.isdigit()):
        raise LookupError(config_id)
    inside = content[int(key)] if isinstance(content, list) else content[key]
    return lookup(inside, rest) if rest else inside


def holds(content: Any, config_id: str) -> bool:
    try:
        lookup(content, config_id)
    except LookupError:
        return False
    return True


def key_problems(keys: Mapping[str, Entries]) -> list[str]:
    """Root keys without an entry in keys.json, and entries that name nothing, of all configs at once."""
    found = [f"keys.json: {name} names no file below configs/. Remove it." for name in keys.keys() - configs().keys()]
    for name, content in configs().items():
        entries, base = keys.get(name, {}), base_of(name)
        known = {*entries, "about", *([] if base is None else configs()[base])}
        roots = dict.fromkeys(key.removeprefix("+").partition("#")[0] for key in content)
        found += [
            f'configs/{name}: {key} has no entry. Add "{key}": {{"meaning": ...}} to "{name}" in '
            "docs/reference/keys.json, then run python -m scripts.reference."
            for key in roots
            if key not in known
        ]
        for config_id, entry in entries.items():
            if not holds(content, config_id):
                found.append(f"keys.json: {name}: {config_id} names nothing in configs/{name}. Rename or remove it.")
            if not entry.get("meaning") or not set(entry) <= set(FIELDS):
                said = f"{config_id} has {', '.join(entry) or 'nothing'}"
                found.append(f"keys.json: {name}: {said}, expected meaning, and unit or allowed where they apply.")
    return found


def configs_page() -> str:
    """Raises ValueError with all that keeps keys.json from fitting the configs."""
    keys = json.loads(KEYS.read_text(encoding="utf-8"))
    if problems := key_problems(keys):
        raise ValueError("\n".join(problems))
    rows = [
        (f"[{name}](#{name.replace('/', '').replace('.', '')})", _base(name), _run_ids(name), _about(name))
        for name in configs()
        if name != "metadata.json"
    ]
    overview = table(("config", "laid over", "run ids", "what it is for"), rows)
    sections = [_section(name, keys.get(name, {})) for name in configs()]
    return "\n\n".join([MADE, "# Configs and their keys", INTRODUCTION, overview, *sections]) + "\n"


def _about(name: str) -> str:
    return prose(re.split(r"(?: [^.]*:)? (?:python -m|torchrun) ", configs()[name].get("about", ""))[0])


def _base(name: str) -> str:
    below = base_of(name)
    return code(below) if below else ""


def _run_ids(name: str) -> str:
    return ", ".join(code(key) for key in RUN_IDS if key in configs()[name])


def _section(name: str, entries: Entries) -> str:
    content, base = configs()[name], base_of(name)
    command = re.search(r"(?:python -m|torchrun) .*", content.get("about", ""))
    parts = [f"## {name}", _about(name), f"```\n{command[0]}\n```" if command else ""]
    found = {key: (lookup(content, key), entry) for key, entry in entries.items()}
    for head, is_object in (("key", False), ("object", True)):
        rows = [
            (code(key), _shown(value), _said(entry), _set_by(name, key))
            for key, (value, entry) in found.items()
            if isinstance(value, dict | list) == is_object
        ]
        columns = (head, "made by" if is_object else "default", "meaning", "set by")
        parts.append(_without_empty_last(columns, rows))
    if base is not None:
        changes = [key for key in content if key != "about" and key not in entries]
        rows = [(code(key), _was(base, key), _shown(content[key])) for key in changes]
        parts.append(table((f"key of {base}", "there", "here"), rows) if rows else "")
    return "\n\n".join(filter(None, parts))


def _without_empty_last(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    if not any(row[-1] for row in rows):
        head, rows = head[:-1], [row[:-1] for row in rows]
    return table(head, rows) if rows else ""


def _was(base: str, key: str) -> str:
    below = configs()[base]
    return _shown(lookup(below, key.removeprefix("+"))) if holds(below, key.removeprefix("+")) else "nothing"


def _said(entry: Mapping[str, str]) -> str:
    said = [entry["meaning"], f"Unit: {entry.get('unit')}", f"Allowed: {entry.get('allowed')}"]
    return ". ".join(text.rstrip(".") for text, field in zip(said, FIELDS, strict=True) if field in entry) + "."


def _set_by(name: str, key: str) -> str:
    """Overlays that change a key, with what they make of it where that is short; their own parts show the rest."""
    found = []
    for overlay in (each for each in configs() if base_of(each) == name):
        for given, value in configs()[overlay].items():
            if given.removeprefix("+") == key and key != "about":
                is_long = isinstance(value, dict | list) or str(value).startswith("$")
                found.append(code(overlay) + ("" if is_long else f": {_shown(value)}"))
    return ", ".join(found)


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return code(value["_target_"]) if "_target_" in value else "an object: " + ", ".join(map(code, value))
    if isinstance(value, list):
        simple = all(isinstance(each, str | int | float) for each in value) and len(json.dumps(value)) < 120
        return code(json.dumps(value)) if simple else f"a list of {len(value)}"
    return code(value or '""') if isinstance(value, str) else code(json.dumps(value))
