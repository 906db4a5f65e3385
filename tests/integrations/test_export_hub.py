"""The dry run of an upload: what it tells, what it refuses, and that it reaches for no network."""

from __future__ import annotations

import inspect
import json
import re
import shlex
import socket
import sys
from pathlib import Path

import pytest
import torch
from monai.bundle import push_to_hf_hub

from bundle.integrations.export import plan_upload, repo_problems
from bundle.integrations.export.manifest import write_manifest
from bundle.networks.weights import save_weights
from scripts.export import hub


@pytest.fixture(autouse=True)
def offline(monkeypatch, tmp_path):
    """No socket, and nobody's own token."""

    def refuse(*_, **__):
        raise AssertionError("the dry run opens a socket")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "token"))


@pytest.fixture
def bundle(tmp_path):
    root = tmp_path / "out" / "breast_cesm"
    for name, content in {
        "LICENSE": "Apache License\nVersion 2.0",
        "docs/README.md": "# Model",
        "configs/metadata.json": json.dumps({"version": "0.2.0"}),
        "configs/inference.json": "{}",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    card = {"image_size": 32, "network": {}, "intensity": {}}
    card = save_weights(root / "models/model.pt", torch.nn.Conv2d(1, 1, 1), card)
    (root / "large_files.yml").write_text(f'hash_val: "{card["sha256"]}"')
    write_manifest(root)
    return root


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_tells_every_file_the_front_matter_and_the_command(bundle, capsys, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    before = contents(bundle)
    hub("me/virtual-des", output=str(bundle.parent))
    told = capsys.readouterr().out
    assert contents(bundle) == before
    assert f"{bundle} is taken as it is; --overwrite makes it anew" in told
    for path, content in before.items():
        assert f"{len(content):>12,}  {path.relative_to(bundle)}\n" in told
    assert "---\ntags:\n- monai\n- medical\nlibrary_name: monai\nlicense: apache-2.0\n---\n" in told
    assert (
        "Nothing was sent. The upload, as a private repository:\npython -m monai.bundle push_to_hf_hub --repo" in told
    )
    assert "hf_secret" not in told


def test_the_command_has_the_parameters_that_monai_takes(bundle, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    upload = plan_upload(bundle, "me/virtual-des", "0.2.0", private=False)
    words = shlex.split(upload.command)
    assert words[:4] == ["python", "-m", "monai.bundle", "push_to_hf_hub"]
    options = dict(zip((word.removeprefix("--") for word in words[4::2]), words[5::2], strict=True))
    inspect.signature(push_to_hf_hub).bind(**options)
    assert options == {
        "repo": "me/virtual-des",
        "name": "breast_cesm",
        "bundle_dir": str(bundle.parent),
        "version": "0.2.0",
        "private": "False",
    }
    assert upload.problems == ()
    assert upload.visibility == "a public"


def test_a_stored_token_will_do(bundle, tmp_path):
    assert len(plan_upload(bundle, "me/name", "1").problems) == 1
    (tmp_path / "token").write_text("hf_secret")
    assert plan_upload(bundle, "me/name", "1").problems == ()


def test_files_that_the_export_did_not_write_are_refused(bundle, capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    added = ["configs/mine.json", "data/x.dcm", "eval/results.db", "models/checkpoint.pt"]
    for name in added:
        (bundle / name).parent.mkdir(exist_ok=True)
        (bundle / name).write_text("DOE^JANE")
    (bundle / "README.md").write_text("MONAI's upload leaves this")
    (bundle / "link").symlink_to(tmp_path)
    with pytest.raises(SystemExit) as ended:
        hub("me/name", output=str(bundle))
    assert ended.value.code == (
        f"\nIt would be refused:\n{bundle} holds 5 file(s) that the export did not write, and the upload would send "
        "them, images of patients too: configs/mine.json, data/x.dcm, eval/results.db, link, models/checkpoint.pt. "
        "Move them away, or export into another folder."
    )
    marked = re.findall(r"  (\S+)  <- not written by the export", capsys.readouterr().out)
    assert marked == added


def test_another_model_is_refused(bundle, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    (bundle / "models/model.pt").write_text("trained since")
    first, second = plan_upload(bundle, "me/name", "1").problems
    assert "models/model.json belongs to other weights" in first
    assert "1 file(s) that the export did not write" in second
    (bundle / "models/model.json").unlink()
    assert "has no card" in plan_upload(bundle, "me/name", "1").problems[0]


def test_a_folder_without_a_list_of_its_files_is_refused(bundle, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    (bundle / "docs/files.txt").unlink()
    assert len(plan_upload(bundle, "me/name", "1").foreign) == 7
    assert len(plan_upload(bundle, "me/name", "1").problems) == 1


def test_what_would_be_refused_ends_with_status_1(bundle, capsys, tmp_path):
    (bundle / "models/model.pt").unlink()
    with pytest.raises(SystemExit) as ended:
        hub("me/name", output=str(bundle))
    assert ended.value.code == (
        "\nIt would be refused:\n"
        f"there is no token, neither HF_TOKEN nor {tmp_path}/token. Run: hf auth login (a token that may write).\n"
        f"{bundle} lacks models/model.pt: make the bundle anew with --overwrite."
    )
    assert "push_to_hf_hub" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("repo", "said"),
    [
        ("name", "--repo is 'name', expected USER/NAME: a user or organisation, and the repository."),
        ("a/b/c", "--repo is 'a/b/c', expected USER/NAME"),
        ("me/", "--repo is 'me/', expected USER/NAME"),
        ("me/a--b", "--repo is 'me/a--b': Cannot have -- or .. in repo_id"),
        ("me/ä", "--repo is 'me/ä': Repo id must use alphanumeric chars"),
    ],
)
def test_a_name_that_the_hub_would_refuse_stops_before_anything_is_made(repo, said, tmp_path):
    with pytest.raises(ValueError, match="^" + re.escape(said)):
        hub(repo, output=str(tmp_path / "new"), ckpt_path="no.pt")
    assert not (tmp_path / "new").exists()


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub.utils", None)
    assert repo_problems("me/name") == [
        'huggingface_hub is not installed here. Run: pip install -c constraints.txt -e ".[hub]"'
    ]


@pytest.mark.parametrize("overwrite", [False, True])
def test_makes_the_bundle_where_there_is_none_or_anew(bundle, tmp_path, monkeypatch, overwrite):
    made = []

    def write(output, model, weights_url, overwrite):
        made.append((output, model, weights_url, overwrite))
        return bundle

    monkeypatch.setattr("bundle.integrations.zoo.write_zoo_bundle", write)
    output = str(bundle.parent if overwrite else tmp_path / "new")
    with pytest.raises(SystemExit, match="no token"):
        hub("me/name", output=output, ckpt_path="m.pt", weights_url="https://x", overwrite=overwrite)
    assert made == [(output, "m.pt", "https://x", overwrite)]


def test_several_bundles_in_one_folder(bundle, tmp_path, monkeypatch):
    """None of them is the one that is meant: the Model Zoo's writer says what is there."""
    other = bundle.parent / "other/configs/metadata.json"
    other.parent.mkdir(parents=True)
    other.write_text("{}")
    monkeypatch.setattr("bundle.integrations.zoo.write_zoo_bundle", lambda *_, **__: Path(bundle))
    with pytest.raises(SystemExit, match="no token"):
        hub("me/name", output=str(bundle.parent))
