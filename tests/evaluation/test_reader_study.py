"""Pairs are drawn blind and fair, the page gives nothing away, and its answers are counted right."""

from __future__ import annotations

import json
import re

import pandas as pd
import pytest
from made_up_runs import write_runs

from bundle.evaluation.report import analyse_readers, collect, write_reader_study
from bundle.evaluation.report.reader_analysis import ANSWER_COLUMNS, RATINGS
from bundle.evaluation.report.reader_study import draw_pairs
from scripts.report import main


@pytest.fixture(scope="module")
def collection(tmp_path_factory):
    return collect(write_runs(tmp_path_factory.mktemp("reader") / "RUNS", size=32))


@pytest.fixture(scope="module")
def study(collection, tmp_path_factory):
    return write_reader_study(collection, 12, tmp_path_factory.mktemp("study") / "reader.html", seed=5)


class TestPairs:
    def test_every_image_once_before_one_comes_again(self, collection):
        pairs = pd.DataFrame(draw_pairs(collection, 36, seed=0))
        assert pairs["case_id"][:12].is_unique
        assert pairs["trial"].is_unique
        assert not pairs.duplicated(["case_id", "model"]).any()
        assert pairs["model"][:12].value_counts().tolist() == [4, 4, 4]

    def test_sides_are_tossed(self, collection):
        sides = [pair["real"] for seed in range(40) for pair in draw_pairs(collection, 36, seed)]
        assert 0.46 < sides.count("left") / len(sides) < 0.54

    def test_the_seed_decides(self, collection):
        assert draw_pairs(collection, 9, 1) == draw_pairs(collection, 9, 1) != draw_pairs(collection, 9, 2)

    @pytest.mark.parametrize("count", [0, 37])
    def test_too_many(self, collection, count):
        with pytest.raises(ValueError, match=rf"study of {count} pairs .* 12 images .* 3 model\(s\) give 1 to 36\.$"):
            draw_pairs(collection, count, 0)

    def test_no_images(self, tmp_path):
        bare = collect(write_runs(tmp_path / "RUNS", images=False, gammas=(0,)))
        with pytest.raises(ValueError, match="kept where --keep_images True was passed"):
            draw_pairs(bare, 1, 0)


class TestPage:
    def test_the_truth_stays_outside(self, study, collection):
        html, key = study.page.read_text(encoding="utf-8"), pd.read_csv(study.key, dtype=str)
        assert len(key) == 12
        for word in ("CycleGAN", "P000", "gamma", "has_seg", "seed"):
            assert word not in html.replace("seg-cyclegan-cesm", "")
        assert all(trial in html for trial in key["trial"])
        data = json.loads(re.search(r'id="data">(.*?)</script>', html, re.S)[1])
        assert data.keys() == {"study", "mime", "scales", "trials"}

    def test_sides_are_where_the_key_says(self, study, collection):
        from bundle.evaluation.report.pictures import encode_all

        html, key = study.page.read_text(encoding="utf-8"), pd.read_csv(study.key, dtype=str)
        texts = encode_all(collection.images).texts
        for place, row in enumerate(key.itertuples()):
            pair = json.loads(re.search(rf'id="images-{place}">(.*?)</script>', html, re.S)[1])
            other = {"left": "right", "right": "left"}[row.real]
            assert pair[row.real] == texts[row.case_id]["des"]
            assert pair[other] == texts[row.case_id][row.model]

    def test_a_key_is_never_lost_unasked(self, study, collection):
        with pytest.raises(FileExistsError, match="Answers to a study are worth nothing without its own key"):
            write_reader_study(collection, 12, study.page)

    def test_same_seed_same_bytes(self, study, collection, tmp_path):
        again = write_reader_study(collection, 12, tmp_path / "reader.html", seed=5)
        assert again.page.read_bytes() == study.page.read_bytes()
        assert again.key.read_bytes() == study.key.read_bytes()


@pytest.fixture
def files(tmp_path):
    """Four pairs by hand, the real DES left, left, right, right; ``answer`` writes what one reader said."""
    key = pd.DataFrame(
        {
            "study": "s1",
            "trial": list("abcd"),
            "order": range(4),
            "real": ["left", "left", "right", "right"],
            "case_id": list("ABCD"),
            "patient_id": list("PQRS"),
            "model": ["CycleGAN", "CycleGAN", "Seg-CycleGAN g=35", "Seg-CycleGAN g=35"],
            "has_seg": True,
            "seed": 0,
        }
    )
    key.to_csv(tmp_path / "key.csv", index=False)

    def answer(reader, sides, left=(5, 5, 3, 2), right=(2, 3, 4, 5), **changes):
        table = pd.DataFrame({"study": "s1", "reader": reader, "trial": list("abcd"), "real": sides, "seconds": 1.5})
        for column in RATINGS:
            table[column] = left if column.endswith("left") else right
        path = tmp_path / f"{reader}.csv"
        table.assign(**changes)[list(ANSWER_COLUMNS)].to_csv(path, index=False)
        return path

    return tmp_path / "key.csv", answer


class TestAnalysis:
    def test_choices_by_hand(self, files):
        key, answer = files
        found = analyse_readers([answer("AB", ["left", "left", "right", "left"])], key).choices.set_index("model")
        assert found.loc["all", ["pairs", "right", "proportion"]].tolist() == [4, 3, 0.75]
        # Clopper-Pearson for 3 of 4, and P(X in {0, 1, 3, 4}) = (1 + 4 + 4 + 1) / 16
        assert found.loc["all", ["low", "high", "p"]].tolist() == pytest.approx([0.194120, 0.993691, 0.625], abs=1e-6)
        assert found["proportion"].to_dict() == {"all": 0.75, "CycleGAN": 1.0, "Seg-CycleGAN g=35": 0.5}

    def test_ratings_by_hand(self, files):
        key, answer = files
        found = analyse_readers([answer("AB", ["left"] * 4)], key).ratings
        quality = found[found["scale"] == "quality"].set_index("source")
        assert quality["n"].tolist() == [4, 2, 2]
        # real: left of a and b, right of c and d
        assert quality["mean"].to_dict() == {"real DES": 4.75, "CycleGAN": 2.5, "Seg-CycleGAN g=35": 2.5}

    def test_agreement(self, files):
        key, answer = files
        same = {"sides": ["left", "left", "right", "left"]}
        one, two = answer("AB", **same), answer("CD", **same)
        other = answer("EF", ["right", "right", "left", "right"], left=(2, 3, 4, 5), right=(5, 5, 3, 2))
        found = analyse_readers([one, two, other], key)
        kappa = found.agreement.set_index(["readers", "scale"])["kappa"]
        assert kappa["AB, CD", "quality"] == kappa["AB, CD", "choice"] == 1.0
        assert kappa["AB, EF", "choice"] < 0
        assert kappa["AB, EF", "quality"] < kappa["AB, CD", "quality"]
        assert set(found.choices["reader"]) == {"AB", "CD", "EF", "all"}
        assert "take their answers as independent" in found.notes[-1]

    def test_far_apart_weighs_more(self, files):
        # two readers differ on one of four pictures of each side, by 1 or by 4; 1 - sum w O / sum w E over 8 pictures
        key, answer = files
        one = answer("AB", ["left"] * 4, left=(1, 1, 5, 5), right=(1, 1, 5, 5))
        near = answer("CD", ["left"] * 4, left=(1, 2, 5, 5), right=(1, 2, 5, 5))
        far = answer("EF", ["left"] * 4, left=(1, 5, 5, 5), right=(1, 5, 5, 5))
        kappa = analyse_readers([one, near, far], key).agreement.set_index(["readers", "scale"])["kappa"]
        weights = [(a - b) ** 2 for a in (1, 1, 5, 5) for b in (1, 2, 5, 5)]
        assert kappa["AB, CD", "quality"] == pytest.approx(1 - 2 / (8 * sum(weights) / 16))
        assert kappa["AB, EF", "quality"] == pytest.approx(0.5)

    def test_weighted_kappa_by_hand(self, files):
        # every combination of 1 and 2 comes equally often: they agree as often as by chance
        key, answer = files
        one = answer("AB", ["left"] * 4, left=(1, 1, 2, 2), right=(1, 1, 2, 2))
        two = answer("CD", ["left"] * 4, left=(1, 2, 1, 2), right=(1, 2, 1, 2))
        kappa = analyse_readers([one, two], key).agreement.set_index("scale")["kappa"]
        assert kappa["quality"] == pytest.approx(0.0)

    def test_nobody_varies(self, files):
        key, answer = files
        paths = [answer(name, ["left"] * 4, left=3, right=3) for name in ("AB", "CD")]
        assert analyse_readers(paths, key).agreement["kappa"].isna().all()

    def test_open_answers_are_counted(self, files):
        key, answer = files
        path = answer("AB", ["left", "", "right", "right"], quality_left=["", "", 3, 2])
        table = pd.read_csv(path, dtype=str)
        table[:-1].to_csv(path, index=False)
        found = analyse_readers([path], key)
        assert found.choices.loc[0, "pairs"] == 2
        assert found.notes == [
            "1 pair(s) without a choice were left out.",
            "1 pair(s) were not reached by their reader.",
        ]

    def test_several_pairs_of_one_patient_are_told(self, files):
        key, answer = files
        path = answer("AB", ["left"] * 4)
        assert analyse_readers([path], key).notes == []
        pd.read_csv(key).assign(patient_id=list("PPQR")).to_csv(key, index=False)
        (note,) = analyse_readers([path], key).notes
        assert note.startswith("The 4 pairs show 3 patient(s), some of them more than once")
        assert "intervals are too narrow" in note

    def test_all_that_is_wrong_at_once(self, files):
        key, answer = files
        other = answer("AB", ["left"] * 4, study="s2")
        sides = answer("CD", ["top"] * 4, quality_left=7)
        with pytest.raises(ValueError, match="belongs to study s2, the key to s1: pass its own key") as error:
            analyse_readers([other, sides], key)
        text = str(error.value)
        assert "column real: top; expected left, right or nothing" in text
        assert "column quality_left: 7; expected 1 to 5 or nothing" in text

    def test_files_that_are_none(self, files, tmp_path):
        key, _ = files
        with pytest.raises(FileNotFoundError, match=r"there is no file .*absent.csv: pass ANSWERS.csv"):
            analyse_readers([tmp_path / "absent.csv"], key)
        with pytest.raises(ValueError, match=r"key.csv lacks reader, seconds.*a file that the page of the study saved"):
            analyse_readers([key], key)

    def test_one_reader_twice(self, files, tmp_path):
        key, answer = files
        path = answer("AB", ["left"] * 4)
        with pytest.raises(ValueError, match=r"4 pair\(s\) were answered twice by one reader \(AB\)"):
            analyse_readers([path, path], key)

    def test_command(self, files, capsys):
        key, answer = files
        main(["analyse", str(answer("AB", ["left", "left", "right", "left"])), str(key)])
        out = capsys.readouterr().out
        assert "test against 0.5" in out
        assert re.search(r"AB +all +4 +3 +0.750 +0.194 +0.994 +0.625", out)
        with pytest.raises(ValueError, match=r"1 file\(s\) were given: expected python -m scripts.report analyse"):
            main(["analyse", str(key)])
