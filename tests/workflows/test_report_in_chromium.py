"""The report and the reader study as a browser shows them, driven by real clicks and keys; nothing leaves the page."""

from __future__ import annotations

import shutil
import time

import numpy as np
import pandas as pd
import pytest
from devtools import Browser
from made_up_runs import write_runs
from PIL import Image

from bundle.evaluation.report import analyse_readers, exhibits, write_reader_study, write_report

MB = 1e6


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Sixty images of three models, the page without its statistics (those are tested elsewhere), and a study."""
    runs = write_runs(tmp_path_factory.mktemp("made") / "RUNS", patients=30, size=64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exhibits, "evidence", lambda *args, **kwargs: {"paper": pd.DataFrame({"model": ["CycleGAN"]})})
        page = write_report(runs, runs / "report.html")
    return page, write_reader_study(runs, 4, runs / "reader.html", seed=1)


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    with Browser(tmp_path_factory.mktemp("browser")) as browser:
        yield browser


@pytest.fixture
def browser(opened, made, tmp_path):
    """The one browser, as new; whatever a test does, nothing leaves the page and nothing goes wrong in it."""
    opened.resize(1200, 1000)
    opened.download_to(tmp_path)
    opened.open(made[1].page)
    opened.run("localStorage.clear()")
    opened.requests.clear()
    opened.complaints.clear()
    yield opened
    assert [url for url in opened.requests if not url.startswith(("file:", "data:", "blob:"))] == []
    assert opened.complaints == []


def pixels(browser, canvas):
    """A canvas as (H, W, 3)."""
    size, values = browser.run(
        f"(() => {{ const shown = document.getElementById('{canvas}'), side = shown.width; "
        "const copy = new OffscreenCanvas(side, side).getContext('2d'); copy.drawImage(shown, 0, 0); "
        "const values = copy.getImageData(0, 0, side, side).data; "
        "return [side, Array.from(values.filter((_, place) => place % 4 < 3))]; })()"
    )
    return np.array(values, dtype=int).reshape(size, size, 3)


def settle(browser):
    browser.run("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")


def text(browser, selector):
    return browser.run(f"document.querySelector('{selector}').textContent")


def shown(browser, place):
    browser.wait(f"document.getElementById('viewer').dataset.shown === '{place}'")
    settle(browser)


class TestReport:
    @pytest.fixture
    def report(self, browser, made):
        browser.open(made[0])
        shown(browser, 0)
        browser.run("document.documentElement.style.scrollBehavior = 'auto'")
        return browser

    def test_slider_clips(self, report):
        report.key("o")  # no outline
        report.run("document.getElementById('slider').focus()")
        report.key("Home")
        settle(report)
        both = {}
        for name, start in (("virtual", 0.97), ("real", 0.03)):
            report.drag("#compare", (start, 0.2), (1 - start, 0.2))
            settle(report)
            both[name] = pixels(report, "compare")
        report.drag("#compare", (0.9, 0.2), (0.25, 0.2))
        settle(report)
        half, width = pixels(report, "compare"), both["real"].shape[1]
        inner = slice(int(0.1 * width), int(0.9 * width))  # without the slider itself
        assert abs(both["real"] - both["virtual"])[:, inner].max() > 20
        left, right = slice(0, int(0.2 * width)), slice(int(0.3 * width), int(0.9 * width))
        assert (half[:, left] == both["real"][:, left]).all()
        assert (half[:, right] == both["virtual"][:, right]).all()
        assert report.run("Number(document.getElementById('slider').value)") == 25

    def test_the_error_map_is_signed_and_scaled(self, report):
        report.key("o")
        settle(report)
        first = pixels(report, "errors")
        air = first[2, -2]
        assert air.tolist() == [247, 247, 247]
        assert ((first[..., 2] - first[..., 0]) > 80).any()  # the lesion, too dark: blue
        report.run("const s = document.getElementById('range'); s.value = '1'; s.dispatchEvent(new Event('change'))")
        settle(report)
        assert abs(pixels(report, "errors") - 247).mean() < abs(first - 247).mean()
        assert text(report, "#low").startswith("−1")
        report.key("3")  # the model whose lesion is right
        settle(report)
        assert text(report, "#error") == "error of Seg-CycleGAN g=100"
        assert abs(pixels(report, "errors") - 247).mean() < 10

    def test_zoom_and_pan_are_linked(self, report):
        report.key("o")
        before = {name: pixels(report, name) for name in ("des", "le")}
        report.click("#des", 0.2, 0.5, clicks=2)
        settle(report)
        zoomed = {name: pixels(report, name) for name in ("des", "le")}
        assert all((zoomed[name] != before[name]).any() for name in before)
        report.drag("#le", (0.2, 0.5), (0.7, 0.5))
        settle(report)
        moved = pixels(report, "des")
        assert (moved != zoomed["des"]).any()
        report.key("0")
        settle(report)
        assert (pixels(report, "des") == before["des"]).all()

    def test_the_wheel_scrolls_until_a_picture_was_clicked(self, report):
        before = pixels(report, "des")
        report.mouse("mouseWheel", report.point("#des"), deltaX=0, deltaY=-200)
        settle(report)
        assert (pixels(report, "des") == before).all()
        report.click("#des")
        report.mouse("mouseWheel", report.point("#des"), deltaX=0, deltaY=-200)
        report.wait("document.getElementById('des').classList.contains('zoomed')")

    def test_outline_on_and_off(self, report):
        def amber():
            settle(report)
            found = pixels(report, "des")
            return int(((found[..., 0] - found[..., 2]) > 120).sum())

        assert amber() > 20
        report.key("o")
        assert amber() == 0
        report.click("#outline")
        assert amber() > 20

    def test_keys_go_on(self, report):
        report.key("ArrowRight")
        shown(report, 1)
        assert text(report, "#position") == "2 of 60"
        report.key("ArrowLeft", "ArrowLeft")
        shown(report, 0)
        report.key("2")
        assert text(report, "#compared") == "real DES | Seg-CycleGAN g=35"
        report.key("4")  # a floor has its picture: LE
        assert text(report, "#compared") == "real DES | DES := LE"
        report.key("?")
        assert report.run("document.getElementById('help').open")
        report.key("Enter")
        assert not report.run("document.getElementById('help').open")

    def test_sorting_and_filtering(self, report):
        def column(key):
            return report.run(
                "(() => { const k = [...document.querySelectorAll('#all thead button')]"
                f".findIndex(button => button.dataset.column === '{key}'); "
                "return [...document.querySelectorAll('#rows tr')].map(row => row.children[k].textContent); })()"
            )

        for down in (False, True):
            report.click('button[data-column="lesion_l1"]')
            values = column("lesion_l1")
            known = [float(value) for value in values if value != "–"]
            assert known == sorted(known, reverse=down)
            assert len(known) == 30
            assert values[30:] == ["–"] * 30  # what is not known stands last, both ways
        assert report.run("document.querySelector('[data-column=lesion_l1]').parentElement.ariaSort") == "descending"
        first = column("case_id")[0]
        report.click("#rows tr:first-child button")
        report.wait(f"document.getElementById('case').textContent === '{first}'")
        report.key("ArrowRight")  # in the order of the table
        report.wait(f"document.getElementById('case').textContent === '{column('case_id')[1]}'")
        report.click("#filter")
        report.type("p00 mlo")
        assert text(report, "#count") == "10 of 60 images"
        report.run("const s = document.getElementById('lesions'); s.value = 'yes'; s.dispatchEvent(new Event('input'))")
        assert text(report, "#count") == "5 of 60 images"
        report.run(
            "const m = document.getElementById('mode'); m.value = 'metric:ssim'; m.dispatchEvent(new Event('input'))"
        )
        heads = report.run("[...document.querySelectorAll('#all thead button')].map(b => b.textContent)")
        assert heads[-2:] == ["DES := LE", "constant inside the breast"]

    @pytest.mark.parametrize("width", [400, 1200])
    @pytest.mark.parametrize("dark", [False, True])
    def test_it_fits_the_screen(self, browser, made, tmp_path, width, dark):
        browser.resize(width, 900)
        browser.prefer(dark)
        for page in (made[0], made[1].page):
            browser.open(page)
            assert browser.run("document.documentElement.scrollWidth") == width
            picture = np.asarray(Image.open(browser.screenshot(tmp_path / "shot.png")).convert("L"), dtype=int)
            assert picture.std() > 5
            assert (np.median(picture[:, -1]) < 64) == dark
        browser.prefer(dark=False)

    def test_a_script_of_the_data_cannot_run(self, report):
        report.run("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.ran = 1\">')")
        report.run(
            "(() => { const made = document.createElement('script'); made.textContent = 'window.ran = 1'; "
            "document.body.append(made); })()"
        )
        settle(report)
        assert report.run("window.ran") is None
        assert len(report.complaints) >= 2
        report.complaints.clear()
        report.requests[:] = [url for url in report.requests if not url.endswith("/x")]


class TestNotJudged:
    def test_what_a_model_did_not_see_is_not_called_lost(self, opened, tmp_path, monkeypatch):
        monkeypatch.setattr(exhibits, "evidence", lambda *args, **kwargs: {})
        runs = write_runs(tmp_path / "RUNS", size=32, gammas=(0, 35))
        shutil.rmtree(runs / "gamma_35" / "fold_0")
        (runs / "gamma_0" / "fold_0" / "eval" / "images" / "P000_L_CC_le.png").unlink()
        opened.open(write_report(runs, tmp_path / "report.html"))
        shown(opened, 0)
        opened.run(
            "window.texts = []; const draw = CanvasRenderingContext2D.prototype.fillText; "
            "CanvasRenderingContext2D.prototype.fillText = function (text, ...at) "
            "{ window.texts.push(this.canvas.id + ': ' + text); return draw.call(this, text, ...at); }"
        )
        opened.key("2")  # g=35, which has no fold 0
        settle(opened)
        assert set(opened.run("window.texts")) == {
            *("le: not kept", "compare: not judged by this model"),
            *("errors: not judged by this model", ": not judged by this model"),
        }
        assert text(opened, "#one tbody tr:nth-child(2) th") == "Seg-CycleGAN g=35 (not judged)"
        titles = opened.run("[...document.querySelectorAll('#models button')].map(button => button.title)")
        assert titles[:2] == ["", "this image was not judged by this model"]


class TestReaderStudy:
    def begin(self, browser, study, reader="AB"):
        browser.open(study.page)
        browser.run("document.getElementById('reader').value = ''")
        browser.click("#reader")
        browser.type(reader)
        browser.key("Enter")

    def on(self, browser, place):
        browser.wait(f"document.getElementById('trial').dataset.shown === '{place}'")

    def trial(self, browser):
        return browser.run("document.getElementById('trial').dataset.trial")

    def test_each_reader_has_an_order_of_her_own(self, browser, made):
        study = made[1]
        orders = []
        for reader in ("AB", "CD", "AB"):
            browser.run("localStorage.clear()")
            self.begin(browser, study, reader)
            order = []
            for place in range(4):
                self.on(browser, place)
                order.append(self.trial(browser))
                browser.key("ArrowLeft", *"333333", "Enter")
            orders.append(order)
        assert orders[0] == orders[2] != orders[1]
        assert sorted(orders[0]) == sorted(orders[1]) == sorted(pd.read_csv(study.key)["trial"])

    def test_from_the_first_pair_to_the_file(self, browser, made, tmp_path):
        study = made[1]
        key = pd.read_csv(study.key)
        real_side = key.set_index("trial")["real"]
        self.begin(browser, study)
        for place in range(len(key)):
            self.on(browser, place)
            real = real_side[self.trial(browser)]
            assert browser.run("document.getElementById('forward').disabled")
            browser.key("ArrowLeft" if real == "left" else "ArrowRight", *"12-45", "1", "Backspace", "3")
            if place == 1:  # the page is closed and opened again: nothing is lost
                self.begin(browser, study)
                self.on(browser, 2)
                browser.click("#back")
                self.on(browser, 1)
                assert browser.run("document.querySelector('[name=quality_right]:checked').value") == "2"
            browser.key("Enter")
        browser.wait("!document.getElementById('end').hidden")
        browser.key("Enter")  # the button to save has the focus
        files = self.saved(tmp_path)
        answers = pd.read_csv(files, dtype=str, keep_default_na=False)
        assert answers["trial"].tolist() == key["trial"].tolist()
        assert answers[["quality_left", "quality_right", "lesion_left"]].iloc[0].tolist() == ["1", "2", ""]
        found = analyse_readers([files], study.key)
        assert found.choices.loc[0, ["pairs", "right", "p"]].tolist() == [4, 4, 0.125]
        assert len(found.notes) == key["patient_id"].duplicated().any()  # nothing was left out; one woman came twice

    def saved(self, folder):
        end = time.monotonic() + 20
        while time.monotonic() < end:
            files = list(folder.glob("answers_AB_*.csv"))
            if files:
                return files[0]
            time.sleep(0.05)
        raise TimeoutError(f"nothing was saved; there is {[path.name for path in folder.iterdir()]}")

    def test_the_mouse_does_as_well_and_a_name_is_needed(self, browser, made, tmp_path):
        study = made[1]
        browser.open(study.page)
        browser.click("#begin")
        assert "the answers need a name" in text(browser, "#kept")
        self.begin(browser, study)
        self.on(browser, 0)
        browser.click('input[name="real"][value="right"]')
        browser.click('input[name="artefacts_left"][value="2"]')
        browser.click("#save")
        row = pd.read_csv(self.saved(tmp_path), dtype=str, keep_default_na=False).iloc[0]
        assert (row["reader"], row["real"], row["artefacts_left"], row["quality_left"]) == ("AB", "right", "2", "")
        browser.run("document.getElementById('end').hidden = false")
        browser.click("#forget")
        browser.wait(
            "document.documentElement?.dataset.ready === 'yes' && document.getElementById('reader')?.value === ''"
        )


@pytest.mark.parametrize("patients", [15, pytest.param(250, marks=pytest.mark.slow)])
def test_many_images_stay_usable(patients, tmp_path, monkeypatch):
    if patients < 100:  # the tables of a few images stand in other tests; those of 500 are part of the page's size
        monkeypatch.setattr(exhibits, "evidence", lambda *args, **kwargs: {})
    page = write_report(write_runs(tmp_path / "RUNS", patients=patients, size=256), tmp_path / "report.html")
    assert page.stat().st_size < 100 * MB * (2 * patients / 500)
    with Browser(tmp_path) as browser:
        assert min(browser.open(page) for _ in range(2)) < 3  # the better of two: a busy machine does not count
        began = time.monotonic()
        for place in range(1, 11):
            browser.key("ArrowRight")
            shown(browser, place)
        assert (time.monotonic() - began) / 10 < 0.5
        began = time.monotonic()
        browser.click('button[data-column="psnr"]')
        assert time.monotonic() - began < 1
        assert browser.complaints == []
