"""What an upload of a bundle to the Hugging Face Hub would do; nothing here reaches for a network."""

from __future__ import annotations

import os
import shlex
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from ...networks.weights import card_problems
from .manifest import MODEL, foreign_files, listed

__all__ = ["Upload", "plan_upload", "repo_problems"]

NEEDED = ("LICENSE", "docs/README.md", "configs/metadata.json", "configs/inference.json", MODEL)
OF_THE_UPLOAD = "README.md"  # which MONAI puts there when it uploads


@dataclass(frozen=True)
class Upload:
    """A dry run.

    Attributes:
        root: folder of the bundle.
        files: every file that is sent, relative to ``root``, and its bytes.
        foreign: those of them that the export did not write.
        front_matter: what MONAI puts before the model card, the README.md of the repository.
        command: what uploads.
        visibility: "a private" or "a public".
        problems: what would be refused, a line each.
    """

    root: Path
    files: tuple[tuple[str, int], ...]
    foreign: tuple[str, ...]
    front_matter: str
    command: str
    visibility: str
    problems: tuple[str, ...]


def repo_problems(repo: str) -> list[str]:
    """What is wrong with the name of a repository, by the rules of huggingface_hub."""
    try:
        from huggingface_hub.errors import HFValidationError
        from huggingface_hub.utils import validate_repo_id
    except ImportError:
        return ['huggingface_hub is not installed here. Run: pip install -c constraints.txt -e ".[hub]"']
    if repo.count("/") != 1 or not all(repo.split("/")):
        return [f"--repo is {repo!r}, expected USER/NAME: a user or organisation, and the repository."]
    try:
        validate_repo_id(repo)
    except HFValidationError as error:
        return [f"--repo is {repo!r}: {error}"]
    return []


def _token_problems() -> list[str]:
    """Whether there is a token, not what it is, nor whether the Hub takes it."""
    from huggingface_hub import constants

    stored = Path(constants.HF_TOKEN_PATH)
    said = any(os.environ.get(name) for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"))
    if said or (stored.is_file() and stored.stat().st_size):
        return []
    return [f"there is no token, neither HF_TOKEN nor {stored}. Run: hf auth login (a token that may write)."]


def plan_upload(root: str | os.PathLike, repo: str, version: str, private: bool = True) -> Upload:
    """What ``python -m monai.bundle push_to_hf_hub`` would send, and whether it could.

    Args:
        root: folder of a bundle in the form of the Model Zoo.
        repo: USER/NAME on the Hub.
        version: tag of the commit, that of ``metadata.json``.
        private: who sees the repository; MONAI makes it where it is not there.
    """
    root = Path(root).resolve()
    problems = repo_problems(repo)
    problems += [] if problems else _token_problems()
    problems += [
        f"{root} lacks {name}: make the bundle anew with --overwrite." for name in NEEDED if not (root / name).is_file()
    ]
    if (root / MODEL).is_file():
        problems += card_problems(root / MODEL)
    foreign = tuple(name for name in foreign_files(root) if name != OF_THE_UPLOAD)
    if foreign:
        problems.append(
            f"{root} holds {len(foreign)} file(s) that the export did not write, and the upload would send them, "
            f"images of patients too: {listed(foreign)}. Move them away, or export into another folder."
        )
    files = tuple(
        (path.relative_to(root).as_posix(), path.stat().st_size) for path in sorted(root.rglob("*")) if path.is_file()
    )
    words = ["--repo", repo, "--name", root.name, "--bundle_dir", str(root.parent), "--version", version]
    command = f"python -m monai.bundle push_to_hf_hub {shlex.join([*words, '--private', str(private)])}"
    visibility = "a private" if private else "a public"
    return Upload(root, files, foreign, _front_matter(root), command, visibility, tuple(problems))


def _front_matter(root: Path) -> str:
    """As MONAI writes it, in a copy: the upload itself puts README.md into the bundle."""
    from monai.bundle.scripts import _add_model_card_metadata

    with tempfile.TemporaryDirectory() as folder:
        card = Path(folder, "README.md")
        card.touch()
        if (root / "LICENSE").is_file():
            shutil.copy(root / "LICENSE", folder)
        _add_model_card_metadata(str(card))
        return card.read_text().strip()
