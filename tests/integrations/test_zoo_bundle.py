"""What an exported Model Zoo bundle consists of, and what an export refuses."""

from __future__ import annotations

import ast
import json
import re
import sys
from importlib.metadata import packages_distributions

import pytest
import torch
import yaml
from exported_bundle import CARD, ROOT, tiny_model
from monai.bundle.scripts import _get_fake_spatial_shape

from bundle.integrations.export.manifest import foreign_files
from bundle.integrations.federated.card import federated_card
from bundle.integrations.zoo import code, write, write_zoo_bundle
from bundle.integrations.zoo.code import LEFT_OUT
from bundle.integrations.zoo.documents import PLACEHOLDER, document
from bundle.integrations.zoo.metadata import metadata_of, metadata_problems, scores
from bundle.integrations.zoo.wording import VERBS, Wording, requirement_names
from bundle.networks import ResnetGenerator, generator_of_card
from bundle.networks.weights import save_weights

NAME = "breast_cesm_virtual_contrast"
TEXTS = (".py", ".json", ".md", ".txt", ".yml", ".conf", ".j2", ".js", ".css")


@pytest.fixture
def unformatted(monkeypatch):
    """Exports in a second: isort and black are the other file's."""
    monkeypatch.setattr(write, "formatted", lambda paths: None)


@pytest.fixture(scope="module")
def export(tmp_path_factory):
    folder = tmp_path_factory.mktemp("zoo")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(write, "formatted", lambda paths: None)
        return write_zoo_bundle(folder, tiny_model(folder / "trained"), weights_url="https://zoo.org/model.pt")


def texts(export):
    paths = [path for path in (*export.rglob("*"), *export.parent.glob("test_*.py")) if path.suffix in TEXTS]
    assert len(paths) > 150
    return {path: path.read_text(encoding="utf-8") for path in paths}


def content(export, name):
    return json.loads((export / "configs" / name).read_text(encoding="utf-8"))


class TestFiles:
    def test_those_of_the_zoo(self, export):
        assert sorted(path.name for path in export.iterdir()) == sorted(
            ["LICENSE", "configs", "docs", "large_files.yml", "models", "scripts"]
        )
        assert sorted(path.name for path in (export / "docs").iterdir()) == [
            "README.md",
            "data_license.txt",
            "files.txt",
        ]
        assert sorted(path.name for path in (export / "models").iterdir()) == ["model.json", "model.pt"]
        assert export.name == NAME
        assert (export.parent / f"test_{NAME}.py").is_file()
        assert (export / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()

    def test_all_configs(self, export):
        def names(folder):
            return {path.relative_to(folder) for path in folder.rglob("*.*")}

        assert names(export / "configs") == names(ROOT / "configs")

    def test_nothing_stays_beside(self, export):
        assert [path.name for path in export.parent.iterdir() if path.name.startswith(".")] == []

    def test_what_measures_the_repository_stays_behind(self, export):
        for name in LEFT_OUT:
            assert (ROOT / "bundle" / name).is_dir()
            assert not (export / "scripts" / name).exists()
        assert {path.stem for path in (export / "scripts").glob("*.py")} == {"__init__", "keys", "command_line", *VERBS}

    def test_large_files_are_named(self, export):
        """Above 1 MB, git refuses them in the zoo; above 25 MB, the zoo itself."""
        large = [path.relative_to(export) for path in export.rglob("*.*") if path.stat().st_size > 2**20]
        listed = (export / "large_files.yml").read_text(encoding="utf-8")
        assert [path for path in large if f'"{path.as_posix()}"' not in listed] == []
        card = json.loads((export / "models/model.json").read_text(encoding="utf-8"))
        assert listed == (
            "large_files:\n"
            '  - path: "models/model.pt"\n'
            '    url: "https://zoo.org/model.pt"\n'
            f'    hash_val: "{card["sha256"]}"\n'
            '    hash_type: "sha256"\n'
        )

    def test_the_model_is_a_plain_state_dict(self, export):
        state = torch.load(export / "models/model.pt", weights_only=True)
        network = ResnetGenerator(**CARD["network"])
        assert list(state) == list(network.state_dict())
        assert (export / "models/model.pt").read_bytes() == (export.parent / "trained/model.pt").read_bytes()


class TestTexts:
    def test_the_package_is_called_scripts(self, export):
        own = re.compile(r"(?<![\w.])bundle\.[a-z_]|(?<!monai\.)import bundle\b|bundle/[a-z]")
        assert [(path.name, own.findall(text)) for path, text in texts(export).items() if own.search(text)] == []
        inference = content(export, "inference.json")
        assert inference["network_def"]["_target_"] == "scripts.networks.generator_of_card"
        assert inference["ckpt_path"]["_target_"] == "scripts.networks.weights.default_model"

    def test_what_they_name_is_there(self, export):
        for path, text in texts(export).items():
            configs = re.findall(r"(?<![\w/])configs/[\w/]+\.json", text)
            assert [name for name in configs if not (export / name).is_file()] == [], path
            commands = re.findall(r"python -m (scripts|monai)\.(\w+)(?: (\w+))?", text)
            for package, module, command in commands:
                assert package == "monai" or module in VERBS, (path, module)
                if module == "prepare" and command:
                    verb = (export / "scripts/prepare.py").read_text(encoding="utf-8")
                    assert f"\ndef {command}(" in verb, (path, command)

    def test_nothing_of_a_checkout(self, export):
        checkout = re.compile(
            r"\bmake (?:quickstart|test|prove|lint)|pip install -[ce]|constraints\.txt|pip install \.|"
            + re.escape(str(ROOT))
        )
        assert [
            (path.name, checkout.findall(text)) for path, text in texts(export).items() if checkout.search(text)
        ] == []

    def test_the_readme_that_stays_behind_is_the_projects(self, export):
        readme, weights = r"(?<!the project's )(?<![\w/.-])README\.md", "models for research come with the software"
        own = re.compile(f"{readme}|{weights}")
        assert [(path.name, own.findall(text)) for path, text in texts(export).items() if own.search(text)] == []

    def test_every_file_is_in_the_list(self, export):
        assert foreign_files(export) == []

    def test_the_headings_of_the_zoo(self, export):
        readme = (export / "docs/README.md").read_text(encoding="utf-8")
        assert re.findall(r"^#{1,3} \**([^*\n]+)\**$", readme, re.MULTILINE) == [
            *("Virtual contrast-enhanced mammography (Seg-CycleGAN)", "Authors", "Tags", "Model Description", "Data"),
            *("Performance", "Additional Usage Steps", "System Configuration", "Limitations", "Citation Info"),
            *("References", "License"),
        ]
        assert "synthetic: no acquisition, not for diagnosis" in readme
        assert "- mean absolute error: 0.0438\n- mean absolute error inside lesions: 0.1370\n" in readme
        assert f"{sum(each.numel() for each in ResnetGenerator(**CARD['network']).parameters()):,} parameters" in readme
        assert "32 x 32 in [0, 1]" in readme

    def test_json_as_the_zoo_indents_it(self, export):
        for path in export.rglob("*.json"):
            if path.parent.name != "models":
                text = path.read_text(encoding="utf-8")
                assert text == json.dumps(json.loads(text), indent=4) + "\n"


class TestConfigs:
    def test_what_they_build_is_there(self, export):
        for path in (export / "configs").rglob("*.json"):
            targets = re.findall(r'"_target_": "(scripts\.[\w.]+)"', path.read_text(encoding="utf-8"))
            assert targets or path.name not in ("train.json", "inference.json", "federated.json")
            for target in targets:
                module = export.joinpath(*target.split(".")[:-1])
                assert module.is_dir() or module.with_suffix(".py").is_file(), (path.name, target)

    def test_keys_that_the_zoo_requires(self, export):
        inference, train = content(export, "inference.json"), content(export, "train.json")
        for key in ("bundle_root", "device", "network_def", "inferer", "output_dir", "dataset_dir"):
            assert key in inference
        assert {"bundle_root", "device", "dataset_dir", "output_dir", "val_interval"} <= train.keys()
        assert {"trainer", "dataset", "handlers", "inferer", "preprocessing"} <= train["train"].keys()
        assert {"evaluator", "dataset", "handlers", "inferer", "preprocessing", "key_metric"} <= train[
            "validate"
        ].keys()
        assert "max_epochs" in train["train"]["trainer"]
        assert "data" in train["train"]["dataset"]
        assert "data" in train["validate"]["dataset"]
        validation = [h for h in train["train"]["handlers"] if h["_target_"] == "ValidationHandler"]
        assert validation[0]["interval"] == "@val_interval"

    def test_metadata_is_that_of_the_model(self, export):
        metadata = content(export, "metadata.json")
        assert metadata["version"] in metadata["changelog"]
        formats = metadata["network_data_format"]
        assert formats["inputs"]["image"]["spatial_shape"] == formats["outputs"]["pred"]["spatial_shape"] == [32, 32]
        assert metadata["eval_metrics"] == {"validation_l1": pytest.approx(0.0438, abs=1e-4)} | {
            "validation_lesion_l1": pytest.approx(0.137, abs=1e-4)
        }
        assert metadata["data_source"].startswith("Trained on CESM phantom. Computer-generated")
        assert metadata["pytorch_version"] == torch.__version__.partition("+")[0]

    def test_each_package_that_is_imported_is_required(self, export):
        metadata = content(export, "metadata.json")
        known = {"torch", "monai", "numpy", *metadata["required_packages_version"]}
        known |= {
            name for extra in Wording(ROOT).extras.values() for name in extra
        }  # a text says where they are needed
        known |= {"markupsafe"}  # comes with jinja2
        known = {re.sub(r"[-_.]+", "-", name).lower() for name in known}
        comes_with = packages_distributions()
        for path in (export / "scripts").rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                names += [node.module] if isinstance(node, ast.ImportFrom) and not node.level else []
                for top in {name.partition(".")[0] for name in names} - sys.stdlib_module_names:
                    found = {re.sub(r"[-_.]+", "-", each).lower() for each in comes_with.get(top, ["nothing"])}
                    assert found & known, f"{path.name} imports {top}, of {found}"

    def test_scores_are_numbers_or_left_out(self):
        assert scores({"validation": {"val_loss": 0.5, "val_lesion_l1": float("nan")}}) == {"validation_l1": 0.5}
        assert scores({}) == {}

    def test_a_version_without_its_change_is_refused(self, tmp_path):
        (tmp_path / "configs").mkdir()
        (tmp_path / "configs/metadata.json").write_text('{"version": "0.2.0", "changelog": {"0.1.0": "first"}}')
        assert metadata_problems(tmp_path) == [
            "configs/metadata.json: version 0.2.0 is not in its changelog. Say there what changed."
        ]

    def test_versions_have_no_local_part(self, monkeypatch):
        monkeypatch.setattr("bundle.integrations.zoo.metadata.version", lambda name: "1.2.3+cpu")
        metadata = metadata_of(ROOT, CARD, ["monai", "torch", "numpy", "scipy"])
        assert metadata["pytorch_version"] == "1.2.3"
        assert metadata["required_packages_version"] == {"scipy": "1.2.3"}


class TestWording:
    @pytest.mark.parametrize(
        ("said", "exported"),
        [
            ("bundle.data.fold_items", "scripts.data.fold_items"),
            ("$bundle.__version__", "$scripts.__version__"),
            ("$import bundle", "$import scripts"),
            ("$@images.begin(bundle.inference.exam_folder.x)", "$@images.begin(scripts.inference.exam_folder.x)"),
            ("in the form of bundle/dicom/vendors.json.", "in the form of scripts/dicom/vendors.json."),
            ("python -m monai.bundle run training", "python -m monai.bundle run training"),
            ("monai.bundle.workflows.X", "monai.bundle.workflows.X"),
            ("$@bundle_root + '/models'", "$@bundle_root + '/models'"),
            ("that of this bundle.\nNo", "that of this bundle.\nNo"),
            ("python -m scripts.prepare phantom", "python -m scripts.prepare phantom"),
            ("Measure it: python -m scripts.benchmark train", "Measure it: the project's scripts.benchmark train"),
            ("python -m scripts.reporting", "the project's scripts.reporting"),
            ('pip install -c constraints.txt -e ".[ray]"', "pip install ray"),
            ("README.md, Your own data", "the project's README.md, Your own data"),
            ("card; docs/README.md", "card; docs/README.md"),
            (
                "Two trained models for research come with the software.",
                "Two trained models for research come with the project's repository.",
            ),
            ("(docs/explanation/scaling.md)", "(the project's docs/explanation/scaling.md)"),
        ],
    )
    def test_of_a_text(self, said, exported):
        assert Wording(ROOT).text(said) == exported
        assert Wording(ROOT).content({said: [1, said, None]}) == {said: [1, exported, None]}

    def test_requirement_names(self):
        assert requirement_names(["monai>=1.6.1,<1.7", "python-gdcm>=3", "a.b[c]; x"]) == [
            "monai",
            "python-gdcm",
            "a.b",
        ]


@pytest.mark.usefixtures("unformatted")
class TestProvenance:
    def export(self, folder, **card):
        return write_zoo_bundle(folder / "zoo", tiny_model(folder, **card), weights_url="https://zoo.org/model.pt")

    @pytest.mark.parametrize(
        ("name", "licence"),
        [("CESM phantom", "Apache License, Version 2.0"), ("CDD-CESM", "Creative Commons Attribution 4.0")],
    )
    def test_a_licence_that_is_known(self, tmp_path, caplog, name, licence):
        text = (self.export(tmp_path, datalist=name) / "docs/data_license.txt").read_text(encoding="utf-8")
        assert f"\n{name}\n" in text
        assert f"Licence: {licence}" in text
        assert "is licensed with the software" in text
        assert caplog.messages == []

    def test_one_that_is_not(self, tmp_path, caplog):
        init = {"datalist_hash": "77aa", "data_hash": "88bb"}
        place = self.export(tmp_path, datalist="Hospital X", init=init, gamma=0, validation=None)
        text = (place / "docs/data_license.txt").read_text(encoding="utf-8")
        assert "Hospital X\nA study of somebody's own.\nLicence: not known to the software" in text
        assert "started from pre-trained networks (datalist 77aa)" in text
        assert "is licensed with the software" not in text
        assert [message.removeprefix(f"{place}: docs/data_license.txt cannot say ") for message in caplog.messages] == [
            "the licence of the data that the model was trained on (Hospital X). Add it before you publish the model.",
            "the data, and its licence, of the pre-training that the model started from. Add it before you publish the "
            "model.",
        ]
        readme = (place / "docs/README.md").read_text(encoding="utf-8")
        assert "after a pre-training" in readme
        assert "it is the plain CycleGAN" in readme
        assert "The model's card names no errors." in readme
        assert json.loads((place / "configs/metadata.json").read_text(encoding="utf-8"))["eval_metrics"] == {}

    @pytest.mark.parametrize(
        ("card", "said"),
        [
            ({"method": "resnet_l1+averaged", "lambda_cycle": None}, "trained on aligned pairs of LE and DES (method"),
            ({"method": "gamma_by_area", "lambda_cycle": 10}, "trained as a generator of a CycleGAN (method"),
        ],
    )
    def test_of_another_method(self, tmp_path, card, said):
        """The texts claim nothing of the paper's objective."""
        place = self.export(tmp_path, gamma=None, **card)
        metadata = content(place, "metadata.json")
        assert metadata["name"] == f"Virtual contrast-enhanced mammography ({card['method']})"
        assert metadata["description"].startswith(f"A residual network, {said}")
        assert metadata["description"].endswith("Research software: its output is synthetic and not for diagnosis.")
        readme = (place / "docs/README.md").read_text(encoding="utf-8")
        of_model = readme[: readme.index("## **Performance")]
        assert of_model.startswith(f"# {metadata['name']}\n")
        assert f'by the method "{card["method"]}"' in of_model
        assert "Seg-CycleGAN" not in of_model.replace(metadata["authors"], "")
        cycle = bool(card["lambda_cycle"])
        assert ("Translation, CycleGAN," in of_model) == ("as a generator of a CycleGAN [2]" in of_model) == cycle
        assert "| gamma |" not in of_model
        assert "| None |" not in of_model

    def test_of_the_plain_cyclegan(self, tmp_path):
        metadata = content(self.export(tmp_path, gamma=0), "metadata.json")
        assert metadata["name"] == "Virtual contrast-enhanced mammography (CycleGAN)"
        assert "without its lesion-masked losses) that predicts the dual-energy" in metadata["description"]

    def test_of_a_unet(self, tmp_path):
        unet = {"name": "unet", "in_channels": 1, "width": 2, "num_downsamples": 4}
        card = CARD | {"network": unet, "method": "unet_l1", "gamma": None, "licence": "CC BY 4.0"}
        save_weights(tmp_path / "model.pt", generator_of_card(unet), card)
        place = write_zoo_bundle(tmp_path / "zoo", tmp_path / "model.pt", weights_url="https://zoo.org/model.pt")
        assert content(place, "metadata.json")["description"].startswith("A U-Net, trained on aligned pairs of LE")
        readme = (place / "docs/README.md").read_text(encoding="utf-8")
        assert "\nA U-Net predicts the dual-energy" in readme
        assert "The model is the LE to DES generator, a U-Net of" in readme
        assert "is under CC BY 4.0\n" in (place / "docs/data_license.txt").read_text(encoding="utf-8")

    def test_what_it_started_from_and_that_from(self, tmp_path, caplog):
        init = {"datalist": "CESM phantom", "datalist_hash": "1f", "init": {"datalist_hash": "77aa"}}
        place = self.export(tmp_path / "two", datalist="CDD-CESM", init=init)
        text = (place / "docs/data_license.txt").read_text(encoding="utf-8")
        assert "started from pre-trained networks (datalist CESM phantom, 77aa).\nCESM phantom: Computer-gen" in text
        assert "State here what they were trained on" in text
        assert len(caplog.messages) == 1
        place = self.export(tmp_path / "one", datalist="CDD-CESM", init=init | {"init": None})
        assert "State here" not in (place / "docs/data_license.txt").read_text(encoding="utf-8")
        assert len(caplog.messages) == 1

    def federated(self, folder, *lists, **site):
        cards = {f"clinic_{number}": CARD | {"datalist": name} | site for number, name in enumerate(lists)}
        return self.export(folder, **federated_card(cards, dict.fromkeys(cards, 3)))

    def test_of_a_federation(self, tmp_path, caplog):
        place = self.federated(tmp_path, "CDD-CESM", "CESM phantom", "CDD-CESM")
        text = (place / "docs/data_license.txt").read_text(encoding="utf-8")
        readme = (place / "docs/README.md").read_text(encoding="utf-8")
        assert "\nCDD-CESM, CESM phantom (federated over 3 sites)\nCDD-CESM: Khaled" in text
        assert "\nLicence: CDD-CESM: Creative Commons" in text
        assert "; CESM phantom: Apache License" in text
        assert "cites CDD-CESM" in text
        assert "Trained on CDD-CESM, CESM phantom (federated over 3 sites). CDD-CESM: Khaled" in readme
        assert "| datalist | CDD-CESM, CESM phantom (federated over 3 sites) |" in readme
        assert "federated over 3 sites" in content(place, "metadata.json")["data_source"]
        documents = [path for path in place.rglob("*") if path.suffix in TEXTS and path.name != "model.json"]
        assert [path for path in documents if "clinic_" in path.read_text(encoding="utf-8")] == []
        assert caplog.messages == [
            f"{place}: models/model.json names the 3 sites of the federated training, and their datalists. Rename them "
            "there before you publish the model, unless they may be known."
        ]

    def test_of_a_federation_with_a_study_of_its_own(self, tmp_path, caplog):
        place = self.federated(tmp_path, "CDD-CESM", "Hospital X", init={"datalist_hash": "77aa"})
        text = (place / "docs/data_license.txt").read_text(encoding="utf-8")
        assert "CDD-CESM, a study of a site's own (federated over 2 sites)" in text
        assert "Licence: not known to the software" in text
        assert "started from pre-trained networks (datalist 77aa)" in text
        assert "Hospital X" not in text + (place / "docs/README.md").read_text(encoding="utf-8")
        assert len(caplog.messages) == 3


@pytest.mark.usefixtures("unformatted")
class TestNative:
    def test_shapes_steps_and_unit_test(self, tmp_path):
        place = write_zoo_bundle(tmp_path / "zoo", tiny_model(tmp_path, image_size="native"), name="cesm")
        formats = content(place, "metadata.json")["network_data_format"]
        assert (
            formats["inputs"]["image"]["spatial_shape"]
            == formats["outputs"]["pred"]["spatial_shape"]
            == ["4*(n+1)"] * 2
        )
        made_up = torch.rand(1, 1, *_get_fake_spatial_shape(["4*(n+1)"] * 2))  # as verify_net_in_out makes it
        assert ResnetGenerator(**CARD["network"])(made_up).shape == made_up.shape
        readme = (place / "docs/README.md").read_text(encoding="utf-8")
        assert "one channel,\nof any size whose sides are multiples of 4, in [0, 1]" in readme
        assert "\n2. repeat the last row and column until both sides are multiples of 4\n" in readme
        assert "resize to" not in readme
        assert "pad with zeros to a square" not in readme
        test = (tmp_path / "zoo/test_cesm.py").read_text(encoding="utf-8")
        assert 'self.assertEqual(json.load(file)["image_size"], "native")' in test


@pytest.mark.usefixtures("unformatted")
class TestRefusals:
    def test_without_a_model_it_says_which_command_makes_one(self, tmp_path):
        with pytest.raises(ValueError, match=r"there is no model .*missing\.pt") as refused:
            write_zoo_bundle(tmp_path / "zoo", tmp_path / "missing.pt")
        assert "python -m monai.bundle run training --config_file configs/train.json" in str(refused.value)
        assert "make quickstart" in str(refused.value)
        assert not (tmp_path / "zoo").exists()

    def test_without_a_card(self, tmp_path):
        model = tiny_model(tmp_path)
        model.with_suffix(".json").unlink()
        with pytest.raises(ValueError, match=r"model\.pt has no card .*make quickstart"):
            write_zoo_bundle(tmp_path / "zoo", model)

    def test_weights_of_another_network(self, tmp_path):
        model = tiny_model(tmp_path, network={"in_channels": 1, "width": 8})
        with pytest.raises(ValueError, match="does not fit the network"):
            write_zoo_bundle(tmp_path / "zoo", model)

    def test_all_problems_at_once(self, tmp_path):
        (tmp_path / "zoo" / "My bundle").mkdir(parents=True)
        with pytest.raises(ValueError, match="there is no model") as refused:
            write_zoo_bundle(tmp_path / "zoo", tmp_path / "none.pt", name="My bundle", weights_url="ftp://here")
        lines = str(refused.value).splitlines()
        assert len(lines) == 4
        assert lines[1] == ("name is 'My bundle', expected small letters, digits and underscores, such as breast_cesm.")
        assert lines[2] == (
            "weights_url is 'ftp://here', expected the http(s) address of model.pt: a host, no quotes, backslashes, "
            "blanks, no user's name."
        )
        assert lines[3] == f"{tmp_path / 'zoo' / 'My bundle'} exists already. Pass another output, or overwrite."

    def test_without_the_repository(self, tmp_path, monkeypatch):
        model = tiny_model(tmp_path)
        monkeypatch.setattr(write, "_parameters", lambda model: 1)
        monkeypatch.setattr(write, "ROOT", tmp_path)
        with pytest.raises(ValueError, match="holds no configs and scripts: export from a checkout"):
            write_zoo_bundle(tmp_path / "zoo", model)

    def test_a_placeholder_is_said(self, tmp_path, caplog):
        place = write_zoo_bundle(tmp_path / "zoo", tiny_model(tmp_path))
        assert caplog.messages == [
            f"{place}: large_files.yml names no address of model.pt but {PLACEHOLDER}. The Model Zoo's checks load it "
            "from there and cannot pass before it is set (weights_url)."
        ]
        assert (place / "large_files.yml").read_text(encoding="utf-8").startswith("# The address is a placeholder")

    def test_an_earlier_export_is_kept_or_replaced_whole(self, tmp_path, monkeypatch):
        model = tiny_model(tmp_path)
        place = write_zoo_bundle(tmp_path / "zoo", model, name="cesm")
        (place / "scripts/__pycache__").mkdir()
        (place / "scripts/__pycache__/keys.cpython-311.pyc").touch()
        with pytest.raises(ValueError, match=r"cesm and .*test_cesm\.py exists already"):
            write_zoo_bundle(tmp_path / "zoo", model, name="cesm")

        with monkeypatch.context() as patch:
            patch.setattr(write, "document", lambda template, **values: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                write_zoo_bundle(tmp_path / "zoo", model, name="cesm", overwrite=True)
        assert (place / "scripts/__pycache__").is_dir()

        write_zoo_bundle(tmp_path / "zoo", model, name="cesm", overwrite=True)
        assert not (place / "scripts/__pycache__").exists()
        assert sorted(path.name for path in (tmp_path / "zoo").iterdir()) == ["cesm", "test_cesm.py"]

    def test_an_earlier_export_with_other_files_in_it_is_kept(self, tmp_path):
        model = tiny_model(tmp_path)
        place = write_zoo_bundle(tmp_path / "zoo", model, name="cesm")
        for name in ("eval/metrics.csv", "models/checkpoint.pt", "models/model.pt"):
            (place / name).parent.mkdir(exist_ok=True)
            (place / name).write_text("trained since")
        with pytest.raises(ValueError, match="did not write") as refused:
            write_zoo_bundle(tmp_path / "zoo", model, name="cesm", overwrite=True)
        assert str(refused.value) == (
            f"{place} holds 3 file(s) that the export did not write: eval/metrics.csv, models/checkpoint.pt, "
            "models/model.pt. Move them away, or pass another output."
        )
        assert (place / "models/model.pt").read_text() == "trained since"

    def test_a_file_in_its_place_is_kept(self, tmp_path):
        (tmp_path / "cesm").write_text("mine")
        with pytest.raises(ValueError, match=r"cesm is no folder of an earlier export\. Move it away"):
            write_zoo_bundle(tmp_path, tiny_model(tmp_path), name="cesm", overwrite=True)

    @pytest.mark.parametrize("inside", ["bundle", "configs/zoo", "scripts"])
    def test_an_output_inside_of_what_is_exported(self, tmp_path, inside):
        (tmp_path / "link").symlink_to(ROOT)
        with pytest.raises(ValueError, match=rf"link/{inside}/cesm lies inside of what is exported\. Pass an output"):
            write_zoo_bundle(tmp_path / "link" / inside, tmp_path / "none.pt", name="cesm")

    @pytest.mark.parametrize(
        "url",
        ['https://x.org/"a\\b', "https://x.org/a b", "https:///model.pt", "https://x.org/a\n", "https://me:pw@x.org/a"],
    )
    def test_an_address_that_is_none(self, tmp_path, url):
        with pytest.raises(ValueError, match=r"weights_url is .*, expected the http"):
            write_zoo_bundle(tmp_path / "zoo", tmp_path / "none.pt", weights_url=url)

    def test_an_address_is_read_as_it_was_given(self):
        url = "https://x.org:8080/a?b=1&c=%20d#e"
        assert write.ADDRESS.fullmatch(url)
        assert write.ADDRESS.fullmatch(PLACEHOLDER)
        text = document("large_files.yml.j2", card={"sha256": "1f"}, weights_url=url)
        assert yaml.safe_load(text)["large_files"][0]["url"] == url
        assert url in text

    def test_without_the_formatters_the_code_stays_as_it_is(self, tmp_path, monkeypatch, caplog):
        monkeypatch.setattr(code.importlib.util, "find_spec", lambda name: None if name == "black" else object())
        path = tmp_path / "a.py"
        path.write_text("x = 'a'\n")
        code.formatted([path])
        assert path.read_text() == "x = 'a'\n"
        assert caplog.messages == [
            "black not installed: the exported code runs, but is not in the form that the Model Zoo checks. "
            "pip install black, then export again."
        ]
