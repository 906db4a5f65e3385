"""The page as a browser shows it: nothing is fetched, nothing sticks out, on a desk and on a phone by day and night."""

from __future__ import annotations

import os
import shutil
import subprocess

import numpy as np
import pytest
from PIL import Image

from bundle.data.audit import write_audit
from bundle.data.folds import write_folds
from bundle.phantom.exam import write_study

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def chromium():
    """Debian's browser, installed where that is allowed."""
    if shutil.which("chromium") is None and shutil.which("apt-get") and os.geteuid() == 0:
        subprocess.run(["apt-get", "update"], check=False, capture_output=True)
        subprocess.run(["apt-get", "install", "-y", "--no-install-recommends", "chromium", "fonts-dejavu"], check=False)
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("chromium is not installed and cannot be: apt-get install chromium")
    return path


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    study = write_study(tmp_path_factory.mktemp("page") / "study", patients=6, image_size=128)
    write_folds(study, k=3)
    return write_audit(study, image_size=64, shown=4).page


def run(chromium, tmp_path, *options):
    quiet = "--disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync"
    command = [
        chromium,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        *quiet.split(),
        f"--user-data-dir={tmp_path}/user",
    ]
    return subprocess.run([*command, *options], check=True, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("width", [400, 1200])
@pytest.mark.parametrize("dark", [False, True])
def test_it_fits_the_screen(chromium, page, tmp_path, width, dark):
    shot = tmp_path / "shot.png"
    options = [f"--screenshot={shot}", f"--window-size={width},2000", "--hide-scrollbars"]
    if dark:
        options.append("--blink-settings=preferredColorScheme=0")
    run(chromium, tmp_path, *options, f"file://{page}")
    picture = np.asarray(Image.open(shot).convert("L")).astype(int)
    assert picture.shape[1] == width
    assert picture.std() > 20  # something is there
    background = int(np.median(picture[:, -1]))
    assert (picture[:, -1] == background).mean() > 0.99  # nothing reaches the right edge
    assert (background < 64) == dark


def test_nothing_is_fetched_and_every_picture_is_there(chromium, page, tmp_path):
    log = tmp_path / "net.json"
    dom = run(chromium, tmp_path, "--dump-dom", f"--log-net-log={log}", f"file://{page}").stdout
    assert "Audit of CESM phantom" in dom
    assert dom.count("<img") == page.read_text(encoding="utf-8").count("<img") > 0
    asked = [word for word in log.read_text(encoding="utf-8", errors="replace").split('"') if word.startswith("http")]
    assert [url for url in asked if "phantom" in url or "cdn" in url] == []
