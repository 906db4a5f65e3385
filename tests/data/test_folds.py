"""A woman is in one part alone, lesion maps are spread evenly, and folds of another datalist are refused."""

import json

import numpy as np
import pytest

from bundle.data.datalist import read_datalist, write_datalist
from bundle.data.folds import PARTS, balance_table, fold_items, make_folds, read_folds, write_folds


def study(patients=30, with_map=0.4, seed=0):
    """Cases of women with one to four images each, of whom about a share ``with_map`` has a lesion map on some."""
    rng = np.random.default_rng(seed)
    cases = []
    for patient in range(patients):
        drawn = patient < round(with_map * patients)
        for image in range(rng.integers(1, 5)):
            seg = "seg.png" if drawn and image < 2 else None
            cases.append(
                {
                    "case_id": f"P{patient}_{image}",
                    "patient_id": f"P{patient}",
                    "laterality": "L",
                    "view": "CC",
                    "le": "le.png",
                    "des": "des.png",
                    "seg": seg,
                    "malignant": bool(patient % 2) if seg else None,
                }
            )
    return {"name": "study", "cases": cases}


@pytest.fixture
def files(tmp_path):
    datalist = write_datalist(tmp_path / "datalist.json", "study", "here", "none", study()["cases"])
    return datalist, write_folds(datalist, k=5)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("k", [3, 5, 10])
def test_every_patient_has_one_fold_and_maps_are_spread(k, seed):
    datalist = study(patients=60, seed=seed)
    folds = make_folds(datalist, k, seed)
    assert set(folds) == {case["patient_id"] for case in datalist["cases"]}
    assert set(folds.values()) == set(range(k))
    table = balance_table(datalist, folds)
    assert table["with_lesion_map"].max() - table["with_lesion_map"].min() <= 2
    assert table["images"].sum() == len(datalist["cases"])
    assert table["patients"].sum() == 60


def test_the_seed_alone_decides():
    datalist = study()
    assert make_folds(datalist, 5, seed=1) == make_folds(datalist, 5, seed=1)
    assert make_folds(datalist, 5, seed=1) != make_folds(datalist, 5, seed=2)


@pytest.mark.parametrize("with_map", [0.0, 1.0])
def test_a_study_of_one_kind_can_be_split(with_map):
    datalist = study(with_map=with_map)
    for case in datalist["cases"]:
        case["seg"] = "seg.png" if with_map else None
    assert set(make_folds(datalist, 10).values()) == set(range(10))


def test_too_large_a_k_names_the_largest():
    datalist = study(patients=20, with_map=0.2)
    message = "k is 10, but only 4 patients have images with a lesion map. The largest possible k is 4."
    with pytest.raises(ValueError, match=message):
        make_folds(datalist, 10)
    assert set(make_folds(datalist, 4).values()) == set(range(4))
    with pytest.raises(ValueError, match=r"only 2 patients have .* Three are needed at least: add patients\."):
        make_folds(study(patients=20, with_map=0.1), 10)
    with pytest.raises(ValueError, match="k is 2: training, validation and test need three folds at least"):
        make_folds(datalist, 2)


def test_parts_share_no_patient_and_leave_none_out(files):
    cases = read_datalist(files[0])["cases"]
    tested = []
    for fold in range(5):
        parts = {part: fold_items(*files, fold=fold, part=part) for part in PARTS}
        patients = [{item["patient_id"] for item in parts[part]} for part in PARTS]
        assert len(set.union(*patients)) == sum(map(len, patients))
        assert sum(map(len, parts.values())) == len(cases)
        tested += [item["case_id"] for item in parts["test"]]
        following = fold_items(*files, fold=(fold + 1) % 5, part="test")
        assert parts["validation"] == following
    assert sorted(tested) == sorted(case["case_id"] for case in cases)


def test_only_malignant_maps_are_kept_when_asked(files):
    everything = fold_items(*files, fold=0, part="training")
    malignant = fold_items(*files, fold=0, part="training", lesions="malignant")
    assert [item["case_id"] for item in malignant] == [item["case_id"] for item in everything]
    assert {item["malignant"] for item in malignant if "seg" in item} == {True}
    assert sum("seg" in item for item in malignant) < sum("seg" in item for item in everything)


def test_a_datalist_that_has_changed_is_refused(files):
    datalist_path, folds_path = files
    datalist = read_datalist(datalist_path)
    count = len(datalist["cases"])
    remake = f"Remake it: python -m scripts.folds {datalist_path} --output {folds_path} --overwrite"
    shorter = {**datalist, "cases": datalist["cases"][1:]}
    with pytest.raises(ValueError, match="was made from") as caught:
        read_folds(folds_path, shorter, datalist_path)
    assert str(caught.value) == f"{folds_path} was made from {count} cases, the datalist has {count - 1}. {remake}"
    relabelled = json.loads(json.dumps(datalist))
    relabelled["cases"][0]["seg"] = "other.png"
    with pytest.raises(ValueError, match="was made from") as caught:
        read_folds(folds_path, relabelled, datalist_path)
    assert str(caught.value) == f"{folds_path} was made from another list of {count} cases. {remake}"


def test_folds_that_are_missing_or_cut_are_told(files, tmp_path):
    datalist = read_datalist(files[0])
    with pytest.raises(FileNotFoundError, match=r"There are no folds .*Make them: python -m scripts\.folds"):
        read_folds(tmp_path / "none.json", datalist, files[0])
    folds = json.loads(files[1].read_text(encoding="utf-8"))
    del folds["folds"]["P3"]
    files[1].write_text(json.dumps(folds), encoding="utf-8")
    with pytest.raises(ValueError, match=r"gives no fold to patient\(s\) P3\. Remake it"):
        read_folds(files[1], datalist, files[0])


def test_written_folds_are_kept_unless_asked(files):
    with pytest.raises(FileExistsError, match=r"folds\.json exists already\. Choose another --output"):
        write_folds(files[0], k=3)
    assert read_folds(write_folds(files[0], k=3, overwrite=True), read_datalist(files[0]), files[0])["k"] == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fold": 5, "part": "test"}, r"fold is 5, but .* has folds 0 to 4\."),
        ({"fold": 0, "part": "train"}, "part is 'train', expected one of"),
        ({"fold": 0, "part": "test", "lesions": "benign"}, "lesions is 'benign', expected 'all' or 'malignant'"),
    ],
)
def test_unknown_parts_and_folds_are_refused(files, options, message):
    with pytest.raises(ValueError, match=message):
        fold_items(*files, **options)


@pytest.mark.parametrize("text", ["{", "[]", '{"k": 3}'])
def test_a_file_that_holds_no_folds_is_named(files, tmp_path, text):
    broken = tmp_path / "broken.json"
    broken.write_text(text)
    with pytest.raises(ValueError, match=r"broken\.json holds no folds.*Remake it: python -m scripts\.folds"):
        read_folds(broken, read_datalist(files[0]), files[0])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"k": 3, "folds": {"ANNA": 0, "ANNA": 1, "B": 2}}', "1 patient.s. or key.s. stand more than once; fold.s. 0"),
        (
            '{"k": 3, "folds": {"ANNA": "1", "B": 7, "C": 1.5, "D": true, "E": null, "F": -1}}',
            "6 patient.s. have another",
        ),
        ('{"k": "x", "folds": {"ANNA": 1}}', "expected k, a whole number"),
        ('{"k": 2, "folds": {"ANNA": 1}}', "expected k, a whole number"),
        ('{"k": 3, "folds": {"ANNA": 0}}', "fold.s. 1, 2 are empty"),
        ('{"k": 3, "folds": [["ANNA", 0]]}', "expected an object"),
        ('{"k": 3, "folds": {"ANNA": 0', "JSONDecodeError"),
    ],
)
def test_a_damaged_file_is_refused_and_not_quoted(tmp_path, text, said):
    path = tmp_path / "folds.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=said) as error:
        read_folds(path, {"cases": []}, "datalist.json")
    assert "ANNA" not in str(error.value)


def test_a_folder_instead_of_a_file(tmp_path):
    (tmp_path / "folds.json").mkdir()
    with pytest.raises((ValueError, FileNotFoundError), match="folds"):
        read_folds(tmp_path / "folds.json", {"cases": []}, "datalist.json")
