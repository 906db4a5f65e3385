"""A misspelt option stops a command before it does anything, and a value of another kind is named."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from scripts.command_line import call

ROOT = Path(__file__).parents[2]


@pytest.fixture
def done():
    return []


@pytest.fixture
def write(done):
    def write(folder: str, *more: str, count: int | None = None, share: float = 0.5, overwrite: bool = False) -> None:
        """Write.

        Args:
            folder: of the result.
        """
        done.append((folder, more, count, share, overwrite))

    return write


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("2024", ("2024", (), None, 0.5, False)),
        ("a,b 1e3 --count 3 --overwrite", ("a,b", ("1e3",), 3, 0.5, True)),
        ("x --share 1 --nooverwrite", ("x", (), None, 1, False)),
        ("--folder=7 --overwrite=True --count None", ("7", (), None, 0.5, True)),
    ],
)
def test_texts_stay_texts_and_numbers_are_numbers(arguments, expected, write, done):
    call(write, arguments=arguments.split())
    assert done == [expected]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("x --overwrit", "--overwrit: there is no such option. Did you mean --overwrite?"),
        ("x --zzz 3", "--zzz: there is no such option. Expected some of: folder, count, share, overwrite."),
        ("x --dry-run=True", "--dry_run: there is no such option."),
    ],
)
def test_an_option_that_is_not_there_stops_before_anything_is_done(arguments, said, write, done):
    with pytest.raises(SystemExit) as stopped:
        call(write, arguments=arguments.split())
    assert str(stopped.value).startswith(said)
    assert done == []


def test_all_values_of_another_kind_are_named_at_once(write, done):
    with pytest.raises(ValueError, match="--count") as raised:
        call(write, arguments=["x", "--count", "abc", "--overwrite", "false", "--share", "True"])
    assert str(raised.value).splitlines() == [
        "--count is 'abc', expected a whole number or None.",
        "--share is True, expected a number.",
        "--overwrite is 'false', expected True or False.",
    ]
    assert done == []


def test_of_several_commands_the_first_argument_tells(write, done):
    def other(folder: str) -> None:
        done.append(folder)

    call(write, other, arguments=["other", "1"])
    call(other, arguments=["other", "2"], by_name=True)
    with pytest.raises(SystemExit, match="Did you mean --folder"):
        call(write, other, arguments=["other", "--foldr", "3"])
    assert done == ["1", "2"]


@pytest.mark.parametrize(
    "script", ["prepare phantom", "folds", "report", "cross_validate", "benchmark phantom", "pacs pull"]
)
def test_every_script_refuses_what_it_does_not_know(script, tmp_path):
    name, *command = script.split()
    arguments = [sys.executable, "-m", f"scripts.{name}", *command, "--outptu", str(tmp_path / "x")]
    done = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("--outptu: there is no such option. Did you mean --output")
    assert list(tmp_path.iterdir()) == []
