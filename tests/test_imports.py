"""Imports run one way, importing is cheap, and every config can be read."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BUNDLE = ROOT / "bundle"
SCHEMAS = Path(os.environ.get("CESM_SCHEMAS", ROOT.parent / "shared" / "schemas"))
# a part imports from its own storey and from those below it
STOREYS = (
    ("keys", "dicom", "losses", "metrics", "networks"),
    ("data", "transforms", "engines", "evaluation"),
    ("phantom", "handlers", "inference"),
    ("experiments", "integrations", "benchmark"),
)
STOREY_OF = {part: storey for storey, parts in enumerate(STOREYS) for part in parts}


def modules(root=BUNDLE):
    return sorted(root.rglob("*.py"))


def imported_parts(path, root=BUNDLE):
    """Top-level parts of the bundle that a module imports relatively, and its absolute imports of the bundle."""
    here = ("bundle", *path.relative_to(root).with_suffix("").parts)
    parts, absolute = set(), []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            absolute += [alias.name for alias in node.names if alias.name.split(".")[0] in ("bundle", "scripts")]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            absolute += [node.module] if node.module.split(".")[0] in ("bundle", "scripts") else []
        elif isinstance(node, ast.ImportFrom):
            base = here[: len(here) - node.level] + tuple(node.module.split(".") if node.module else ())
            targets = [base] if len(base) > 1 else [(*base, alias.name) for alias in node.names]
            parts |= {target[1] for target in targets}
    return parts, absolute


def part_of(path, root=BUNDLE):
    return path.relative_to(root).with_suffix("").parts[0]


def upward(root=BUNDLE):
    """Arrows that run back up: (module, imported part)."""
    return [
        (path.relative_to(root).as_posix(), part)
        for path in modules(root)
        if part_of(path, root) != "__init__"
        for part in sorted(imported_parts(path, root)[0])
        if STOREY_OF[part] > STOREY_OF[part_of(path, root)]
    ]


def cycles(root=BUNDLE):
    """A ring of modules that import each other, or nothing."""
    graph = {}
    for path in modules(root):
        here = ("bundle", *path.relative_to(root).with_suffix("").parts)
        graph.setdefault(part_of(path, root), set()).update(imported_parts(path, root)[0] - {here[1]})
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return error.args[1]
    return []


class TestImportsOfTheBundle:
    def test_every_part_has_its_storey(self):
        assert {part_of(path) for path in modules()} - {"__init__"} <= STOREY_OF.keys()

    def test_no_arrow_runs_back_up(self):
        assert upward() == []

    def test_no_two_parts_need_each_other(self):
        assert cycles() == []

    @pytest.mark.parametrize("path", modules(), ids=lambda path: path.relative_to(BUNDLE).as_posix())
    def test_inside_imports_are_relative(self, path):
        assert imported_parts(path)[1] == []

    def test_the_bundle_itself_imports_nothing(self):
        assert imported_parts(BUNDLE / "__init__.py") == (set(), [])


class TestTheWalkItself:
    """The walk above finds what it is there to find."""

    @pytest.fixture
    def write(self, tmp_path):
        def module(name, text):
            path = tmp_path / "bundle" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            return path

        return module

    @pytest.mark.parametrize(
        ("text", "parts", "absolute"),
        [
            ("from ..keys import BatchKeys", {"keys"}, []),
            ("from ..data.folds import fold_items", {"data"}, []),
            ("from .. import data, keys", {"data", "keys"}, []),
            ("from .lesion import LesionL1Loss", {"losses"}, []),
            ("from . import lesion", {"losses"}, []),
            ("def late():\n    from ..engines import CycleGanTrainer", {"engines"}, []),
            ("import numpy, bundle.data\nfrom bundle import keys", set(), ["bundle.data", "bundle"]),
            ("from scripts import prepare\nfrom monai.bundle import ConfigParser", set(), ["scripts"]),
        ],
    )
    def test_what_a_module_imports(self, write, tmp_path, text, parts, absolute):
        assert imported_parts(write("losses/cyclegan.py", text), tmp_path / "bundle") == (parts, absolute)

    def test_an_arrow_up_is_found(self, write, tmp_path):
        write("losses/cyclegan.py", "from ..keys import BatchKeys\nfrom ..data import folds")
        write("experiments/check.py", "from ..data import folds\nfrom ..keys import BatchKeys")
        assert upward(tmp_path / "bundle") == [("losses/cyclegan.py", "data")]

    def test_a_ring_is_found(self, write, tmp_path):
        write("data/a.py", "from ..transforms import b")
        assert cycles(tmp_path / "bundle") == []
        write("transforms/b.py", "from ..data import a")
        assert set(cycles(tmp_path / "bundle")) == {"data", "transforms"}


def loaded_by(statement):
    code = f"import sys; {statement}; print(*sorted({{name.split('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_the_bundle_is_cheap():
    heavy = {"torch", "monai", "numpy", "pydicom", "ignite"}
    assert loaded_by("import bundle, bundle.keys") & heavy == set()
    assert loaded_by("import bundle.dicom") & heavy == set()
    assert "numpy" in loaded_by("import numpy")


CONFIGS = sorted((ROOT / "configs").rglob("*.json"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.relative_to(ROOT / "configs").as_posix())
class TestConfigs:
    def content(self, path):
        def once(pairs):
            assert len(dict(pairs)) == len(pairs), "a key stands twice"
            return dict(pairs)

        return json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=once)

    def test_parses_and_says_first_what_it_is_about(self, path):
        content = self.content(path)
        if path.name == "metadata.json":
            return  # MONAI's schema knows no such key
        assert next(iter(content)) == "about"
        assert "-m monai.bundle run" in content["about"]
        assert f"configs/{path.relative_to(ROOT / 'configs').as_posix()}" in content["about"]


def test_there_are_configs():
    assert {"train.json", "inference.json", "metadata.json"} <= {path.name for path in CONFIGS}


def test_metadata_fits_the_schema_of_monai():
    schema = SCHEMAS / "meta_schema_20240725.json"
    if not schema.is_file():
        pytest.skip(f"MONAI's metadata schema is not at {schema}; set CESM_SCHEMAS to its folder")
    jsonschema = pytest.importorskip("jsonschema")
    metadata = json.loads((ROOT / "configs/metadata.json").read_text(encoding="utf-8"))
    validator = jsonschema.validators.validator_for(json.loads(schema.read_text()))(json.loads(schema.read_text()))
    assert [error.message for error in validator.iter_errors(metadata)] == []
    broken = {key: value for key, value in metadata.items() if key != "network_data_format"}
    assert [error.message for error in validator.iter_errors(broken)] != []
