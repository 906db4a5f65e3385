"""Each command of README and docs exists as it stands, and is run here, run by another test, or says what it needs."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from command_checks import id_problems, known_options, problems
from page_commands import ROOT, Block, Command, blocks, commands, pages, text_of
from workshop import WarmPython, add_models, copy_code, make_data, once

HERE = Path(__file__).parent
REGISTRY = json.loads((HERE / "commands.json").read_text(encoding="utf-8"))
PAGES = pages()
# the pages that scripts.reference writes from the code give forms of commands; they are checked, but not run
RUN_FROM = [page for page in PAGES if "reference" not in page.parts]


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def plain(text: str) -> str:
    return " ".join(text.split())


def whole_commands() -> list[Command]:
    return [command for page in RUN_FROM for command in commands(page) if command.whole]


def registered() -> set[str]:
    return {plain(text) for kind in ("run", "slow", "tested") for text in REGISTRY[kind]}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_each_command_is_one_that_the_program_has(page):
    found = {f"{command.place}: {command.text}": problems(command) for command in commands(page)}
    assert {place: wrong for place, wrong in found.items() if wrong} == {}


@pytest.mark.parametrize("page", RUN_FROM, ids=name_of)
def test_each_command_is_run_or_says_what_it_needs(page):
    known = registered()
    left = [
        f"  {command.place}: {command.text}"
        for command in commands(page)
        if command.whole and not command.needs and plain(command.text) not in known
    ]
    assert not left, (
        "no test runs these commands, and they do not say what they need:\n" + "\n".join(left) + "\n"
        "Add each to tests/docs_commands/commands.json: under run or slow, with tiny options, or under tested, with\n"
        "the tests that do what it does. Or write in the page 'Needs: ...' above its block or '# needs: ...' behind it."
    )


def test_the_registry_holds_no_other_command():
    left = sorted(registered() - {plain(command.text) for command in whole_commands()})
    assert not left, f"tests/docs_commands/commands.json has commands that stand in no page: {left}"


def test_a_command_stands_in_the_registry_once():
    texts = [plain(text) for kind in ("run", "slow", "tested") for text in REGISTRY[kind]]
    assert len(texts) == len(set(texts))
    typed_with = [REGISTRY["run"], REGISTRY["slow"], *REGISTRY["after"].values()]
    assert {tiny for commands in typed_with for tiny in commands.values()} == REGISTRY["tiny"].keys()
    for kind in ("after", "without", "ends with", "prints"):
        assert REGISTRY[kind].keys() <= REGISTRY["run"].keys() | REGISTRY["slow"].keys()


def functions_of(path: Path) -> set[str]:
    """Tests of a file, methods with their class."""
    names = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.ClassDef):
            names |= {f"{node.name}::{inner.name}" for inner in node.body if isinstance(inner, ast.FunctionDef)}
    return {name for name in names if name.rpartition("::")[2].startswith("test_")}


@pytest.mark.parametrize("text", REGISTRY["tested"])
def test_the_tests_that_are_named_are_there_and_of_the_command(text):
    for node in REGISTRY["tested"][text]:
        file, _, name = node.partition("::")
        path = ROOT / file
        assert path.is_file(), f"{text}: there is no {file}"
        if path.suffix != ".py":  # what continuous integration calls
            assert plain(text) in path.read_text(encoding="utf-8"), f"{text}: {file} does not run it"
            continue
        assert name in functions_of(path), f"{text}: {file} has no {name}"
        source = "".join(each.read_text(encoding="utf-8") for each in sorted(path.parent.glob("*.py")))
        for config in re.findall(r"configs/([\w/]+\.json)", text):
            assert config.rpartition("/")[2] in source, f"{text}: nothing beside {file} has {config}"
        for verb in re.findall(r"scripts\.(\w+)(?: +([a-z]\w*))?", text):
            for word in filter(None, verb):
                assert word in source, f"{text}: nothing beside {file} has {word}"


class TestBlocks:
    """Code that is no command."""

    @staticmethod
    def of(language: str) -> list[Block]:
        return [block for page in PAGES for block in blocks(page) if block.language == language]

    def test_python_parses(self):
        for block in self.of("python"):
            ast.parse("\n".join(block.lines), filename=f"{block.page}:{block.first_line}")

    def test_json_parses(self):
        for block in self.of("json"):
            try:
                json.loads("\n".join(block.lines))
            except json.JSONDecodeError as error:
                pytest.fail(f"{block.page}:{block.first_line}: {error}")

    def test_there_are_some(self):
        assert self.of("python")
        assert self.of("json")


@pytest.mark.parametrize("page", PAGES, ids=name_of)
class TestNames:
    """What the text of a page names is there."""

    def test_options(self, page):
        spans = re.findall(r"`([^`]+)`", text_of(page))
        named = {name for span in spans if span.startswith("--") for name in re.findall(r"--([a-z]\w*)(?![\w-])", span)}
        assert sorted(named - KNOWN - {"no" + name for name in KNOWN} - OTHERS_OPTIONS) == []

    def test_ids_of_configs(self, page):
        spans = [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", text_of(page))]
        assert [wrong for span in dict.fromkeys(spans) for wrong in id_problems(span)] == []

    def test_files(self, page):
        spans = re.findall(r"`((?:configs|tests|bundle|scripts|docs)/[\w./-]+)`", text_of(page))
        assert [name for name in sorted(set(spans)) if not (ROOT / name).exists() and name not in WRITTEN] == []


KNOWN = known_options()
# of torchrun and TensorBoard, MONAI Label, pip and Docker
OTHERS_OPTIONS = {"nproc_per_node", "logdir", "app", "studies", "conf", "platform"}


def files_that_pages_write() -> dict[str, str]:
    """Blocks below a paragraph that ends with ``NAME``: and so are files that a reader shall write."""
    found = {}
    for page in PAGES:
        for block in blocks(page):
            if name := re.search(r"`([\w./]+\.(?:py|json))`:$", block.above.strip()):
                found[name[1]] = "\n".join(block.lines) + "\n"
    return found


WRITTEN = files_that_pages_write()


@pytest.fixture(scope="module")
def workshop(tmp_path_factory):
    """A folder to copy, made once for all processes of the tests, and a quick Python in it."""
    shared = tmp_path_factory.getbasetemp()
    shared = shared.parent if "PYTEST_XDIST_WORKER" in os.environ else shared
    pythons = []

    def make(folder: Path) -> None:
        make_data(folder)
        pythons.append(WarmPython(folder))
        train = f"python -m monai.bundle run training --config_file configs/train.json {REGISTRY['tiny']['training']}"
        add_models(folder, train, pythons[0])

    folder = once(shared / "workshop", make)
    python = pythons[0] if pythons else WarmPython(folder)
    yield folder, python
    python.end()


def typed(kind: str, **marks) -> list:
    return [pytest.param(text, tiny, id=plain(text), **marks) for text, tiny in REGISTRY[kind].items()]


@pytest.mark.parametrize(("text", "tiny"), [*typed("run"), *typed("slow", marks=pytest.mark.slow)])
def test_it_runs(text, tiny, workshop, tmp_path):
    made, python = workshop
    folder = shutil.copytree(made, tmp_path / "folder")
    for name, content in WRITTEN.items():
        (folder / name).write_text(content, encoding="utf-8")
    for name in REGISTRY["without"].get(text, []):
        shutil.rmtree(folder / name)
    for earlier, smaller in {**REGISTRY["after"].get(text, {}), text: tiny}.items():
        status, said = python.run(f"{earlier} {REGISTRY['tiny'][smaller]}", folder)
        assert status == REGISTRY["ends with"].get(earlier, 0), said[-3000:]
    for word in REGISTRY["prints"].get(text, []):
        assert word in said, said[-3000:]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("python -m scripts.prepare phantm --output x", "phantm"),
        ("python -m scripts.prepare phantom --outptu x", "--outptu: there is no such option. Did you mean --output?"),
        ("python -m scripts.prepare phantom --output x --patients many", "--patients is 'many'"),
        ("python -m scripts.folds", "required argument: datalist"),
        ("python -m scripts.nothing x", "there is no scripts.nothing"),
        ("python -m monai.bundle run training --config_file configs/train.json --gama 3", "Did you mean --gamma"),
        ("python -m monai.bundle run evaluating --config_file configs/train.json", "no run id evaluating"),
        ("python -m monai.bundle run --config_file configs/trian.json", "there is no configs/trian.json"),
        ("python -m monai.bundle rnu --config_file configs/train.json", "monai.bundle has no rnu"),
        ("python -m monai.bundle init_bundle --nam x", "--nam: monai.bundle init_bundle has no such option"),
        ("torchrun --nproc_per_nod=2 --standalne -m monai.bundle run", "--standalne"),
        ("make quickstat", "the Makefile has no target quickstat"),
        ('pip install -e ".[nothing]"', "there is no extra nothing"),
        ("make 'quick", "no command for a shell"),
    ],
)
def test_what_is_wrong_with_a_command_is_found(text, said):
    assert said in "; ".join(problems(Command("page", 1, text, "", whole=True)))


@pytest.mark.parametrize(
    ("span", "said"),
    [
        ("--deterministic_transforms#3#method percentile", ""),
        ("--random_transforms#0#prob", ""),
        ("--disc_des#output_activation \"'$None'\"", ""),
        ("--evaluate#metrics#with_vif False", ""),  # of an overlay
        ("train#handlers#1#parts", ""),
        ("--deterministic_transforms#3#metod percentile", "Did you mean --deterministic_transforms#3#method?"),
        ("--gamma 3 --network_def#widht 32", "Did you mean --network_def#width?"),
        ("--deterministic_transforms#4#metod", "--deterministic_transforms#4#metod: the config has no such key."),
        ("--random_transforms#7#prb=0.3", "--random_transforms#7#prb: the config has no such key."),
        ("--network_def#width wide", "expected a number"),
        ("train#handlers#1#prats", "Did you mean --train#handlers#1#parts?"),
    ],
)
def test_what_is_wrong_with_an_id_is_found(span, said):
    found = "; ".join(id_problems(span))
    assert said in found if said else found == ""


def test_a_page_is_read_as_a_reader_reads_it(tmp_path, monkeypatch):
    page = tmp_path / "docs" / "page.md"
    page.parent.mkdir()
    page.write_text(
        "Type `make test`, or `python -m scripts.report runs\n--output x`. Not `make` alone.\n\n*Needs: a PACS.*\n\n"
        "```\n$ make quickstart   # minutes\nmake prove  # needs: hours.\npython -m x \\\n  --y 1\nmake: done\n```\n\n"
        "```json\nmake nothing\n```\n\n| `\"['configs/train.json','configs/evaluate.json']\" --fold 1` |\n"
        "\n```\npython -m scripts.folds DATALIST [--k 10]\n```\n"
    )
    monkeypatch.setattr("page_commands.ROOT", tmp_path)
    found = [(each.line, each.text, each.needs, each.whole) for each in commands(page)]
    merged = "['configs/train.json','configs/evaluate.json']"
    assert found == [
        (1, "make test", "", False),
        (1, "python -m scripts.report runs --output x", "", True),
        (7, "make quickstart", "a PACS", True),
        (8, "make prove", "hours", True),
        (9, "python -m x --y 1", "a PACS", True),
        (18, f'python -m monai.bundle run evaluating --config_file "{merged}" --fold 1', "", True),
        (21, "python -m scripts.folds DATALIST [--k 10]", "", False),
    ]
    page.write_text("```\nmake test\n")
    with pytest.raises(ValueError, match=r"docs/page.md:1: this fence is not closed"):
        commands(page)


@pytest.mark.slow
def test_make_quickstart(tmp_path):
    """The README's first command in a copy of the repository, with this environment in place of a new one."""
    copy_code(tmp_path)
    environment = Path(sys.prefix)
    done = subprocess.run(
        ["make", f"VENV={environment}", "-o", f"{environment}/.installed", "quickstart"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=1500,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    row = re.compile(r"^\| (\w[\w:= ]*?) +\| \d\.\d{4,}", re.M)  # numbers differ from machine to machine
    told = row.findall((ROOT / "README.md").read_text(encoding="utf-8"))
    assert told == row.findall(done.stdout)[: len(told)]  # a second table follows
    assert len(told) == 3
    for name in ("panel.png", "metrics.csv", "virtual_des/results.csv"):
        assert (tmp_path / "eval/quickstart" / name).is_file()
