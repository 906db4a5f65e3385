"""The commands that the pages show: those of fenced blocks, and those of the text that are whole.

What a command needs and a test cannot give stands in the page as ``needs: ...``: in the comment behind the command, in
the paragraph above its block, or, for a command within the text, in its own paragraph.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROGRAMS = (
    *("python", "python3.11", "make", "torchrun", "pip", "monailabel", "docker", "tensorboard", "mlflow", "ray"),
    *("nvidia-cuda-mps-control", "git", "curl", "storescu", "jupyter", "sphinx-build"),
)
SHELLS = ("", "bash", "console", "shell", "sh")
NEEDS = re.compile(r"\bneeds:\s*(\S.*?)(?:\.\s|\*|\)|;|$)", re.IGNORECASE)
OPTION = re.compile(r"\s--\w[\w#-]*[ =]\S")  # with its value
SETTING = re.compile(r"[A-Z][A-Z0-9_]*=\S*$")


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its lines, the number of the first one, and the paragraph above."""

    page: str
    language: str
    lines: tuple[str, ...]
    first_line: int
    above: str


@dataclass(frozen=True)
class Command:
    """What one would type, on one line, without its comment.

    Attributes:
        page: relative to the repository's root.
        line: where it begins.
        text: the command.
        needs: what it needs that a test cannot give, as the page says; or nothing.
        whole: it is one to be typed, not a mention such as ``python -m scripts.report`` in a sentence.
    """

    page: str
    line: int
    text: str
    needs: str
    whole: bool

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"


def words_of(text: str) -> list[str]:
    """A command's words as a shell splits them, without the settings of the environment before it."""
    words = shlex.split(text)
    while words and SETTING.match(words[0]):
        words = words[1:]
    return words


def pages() -> list[Path]:
    """README and all of docs but what is built."""
    found = [path for path in sorted((ROOT / "docs").rglob("*.md")) if not {"_build", "build"} & set(path.parts)]
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *found]


def split(path: Path) -> tuple[list[Block], str]:
    """The fenced blocks of a page, and its text with empty lines in their place.

    Raises:
        ValueError: for a fence that is not closed.
    """
    page = path.relative_to(ROOT).as_posix()
    lines = path.read_text(encoding="utf-8").splitlines()
    text = list(lines)
    found: list[Block] = []
    fence, start, language = "", 0, ""
    for number, line in enumerate(lines):
        mark = re.match(r"\s*(`{3,}|~{3,})\s*(\S*)", line)
        if mark or fence:
            text[number] = ""
        if mark and not fence:
            fence, start, language = mark[1], number, mark[2]
        elif mark and mark[1].startswith(fence) and not mark[2]:
            above = _paragraph_above(lines, start)
            found.append(Block(page, language, tuple(lines[start + 1 : number]), start + 2, above))
            fence = ""
    if fence:
        raise ValueError(f"{page}:{start + 1}: this fence is not closed.")
    return found, "\n".join(text)


def blocks(path: Path) -> list[Block]:
    """The fenced blocks of a page."""
    return split(path)[0]


def text_of(path: Path) -> str:
    """A page without its fenced blocks."""
    return split(path)[1]


def commands(path: Path) -> list[Command]:
    """All commands of a page, in its order."""
    fenced, text = split(path)
    found = [command for block in fenced if block.language in SHELLS for command in _of_block(block)]
    return sorted([*found, *_of_text(path.relative_to(ROOT).as_posix(), text)], key=lambda command: command.line)


def _of_block(block: Block) -> list[Command]:
    needed = NEEDS.search(block.above)
    found, number = [], 0
    while number < len(block.lines):
        line, start = block.lines[number].strip().removeprefix("$ "), number
        while line.endswith("\\") and number + 1 < len(block.lines):
            number += 1
            line = f"{line[:-1].rstrip()} {block.lines[number].strip()}"
        number += 1
        if _is_command(line):
            text, comment = _without_comment(line)
            own = NEEDS.search(comment) or needed
            needs = own[1].strip(" .") if own else ""
            found.append(Command(block.page, block.first_line + start, text, needs, whole=not _is_sketch(text)))
    return found


def _of_text(page: str, text: str) -> list[Command]:
    """Code spans that begin as a command does."""
    found = []
    for paragraph in re.finditer(r"(?:^[^\n]*\S[^\n]*\n?)+", text, re.M):
        needed = NEEDS.search(" ".join(paragraph[0].split()))
        for span in re.finditer(r"(?<!`)`([^`]+)`(?!`)", paragraph[0]):
            line = " ".join(span[1].split())
            if line.startswith("\"['configs/"):  # a table of runs gives their configs alone
                run_id = "evaluating" if "evaluate.json" in line else "training"
                line = f"python -m monai.bundle run {run_id} --config_file {line}"
            if _is_command(line):
                number = text.count("\n", 0, paragraph.start() + span.start()) + 1
                whole = bool(OPTION.search(line)) and not _is_sketch(line)
                found.append(Command(page, number, line, needed[1].strip(" .") if needed else "", whole))
    return found


def _is_command(line: str) -> bool:
    words = [word for word in line.split() if not SETTING.match(word)]
    return bool(words) and words[0].rpartition("/")[2] in PROGRAMS and len(words) > 1


def _is_sketch(line: str) -> bool:
    """Whether it leaves something out, or to choose: ``...``, ``[--option]``, ``one | other``, ``<name>``."""
    plain = re.sub(r"""(["']).*?\1""", "", line)
    return any(mark in plain for mark in ("...", "[", " | ", "<"))


def _without_comment(line: str) -> tuple[str, str]:
    """A command and its comment, which begins at a # after a blank and outside quotes."""
    quote = ""
    for position, letter in enumerate(line):
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"":
            quote = letter
        elif letter == "#" and (position == 0 or line[position - 1].isspace()):
            return line[:position].rstrip(), line[position + 1 :]
    return line.rstrip(), ""


def _paragraph_above(lines: list[str], start: int) -> str:
    above: list[str] = []
    for line in reversed(lines[:start]):
        if line.strip():
            above.insert(0, line)
        elif above:
            break
    return " ".join(above)
