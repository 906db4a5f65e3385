"""Real servers of MONAI Label 0.8.5, in an environment of its own."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import requests

HERE = Path(__file__).parent
NAME = "breast_cesm_virtual_contrast"
OUR_APP = HERE.parents[1] / "bundle" / "integrations" / "monailabel" / "app"


@cache
def environment() -> Path:
    """Of MONAI Label: installed once into CESM_MONAILABEL, by default a folder of the user's cache."""
    folder = Path(os.environ.get("CESM_MONAILABEL", Path.home() / ".cache" / "seg-cyclegan-cesm" / "monailabel"))
    python = Path(sys.base_prefix, "bin", f"python{sys.version_info.major}.{sys.version_info.minor}")
    command = [str(HERE / "install_monailabel.sh"), str(folder), str(python)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"MONAI Label cannot be installed here: {(done.stderr or done.stdout).strip().splitlines()[-1]}")
    return folder


def stock_app(folder: Path, bundle: Path) -> Path:
    """A copy of the app ``monaibundle`` that holds a bundle."""
    app = folder / "monaibundle"
    shutil.copytree(environment() / "monailabel" / "sample-apps" / "monaibundle", app)
    shutil.copytree(bundle, app / "model" / NAME, symlinks=True)
    tool = app / "bin" / "itkimage2segimage"  # for segmentations; the server would download it
    tool.parent.mkdir()
    tool.write_text("#!/bin/sh\nexit 1\n")
    tool.chmod(0o755)
    return app


def our_app(folder: Path) -> Path:
    """A folder with a link to our app's main.py; its logs come beside the link."""
    folder.mkdir()
    (folder / "main.py").symlink_to(OUR_APP / "main.py")
    return folder


class Server:
    """A server on a free port of the loopback, ready when it has answered; its log is ``log``.

    Args:
        app: folder of the app.
        studies: folder, or URL of a DICOMweb server.
        conf: of the app.
        settings: environment variables.
    """

    def __init__(self, app: Path, studies: Path | str, conf: dict[str, str], **settings: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self.log = app / f"server_{port}.log"
        env = {key: value for key, value in os.environ.items() if not key.startswith(("MONAI_", "PYTHON", "COV_"))}
        env |= {"PATH": f"{environment() / 'bin'}{os.pathsep}{env['PATH']}", "OMP_NUM_THREADS": "1"}
        env |= {"BUNDLE_DOWNLOAD_SRC": "ngc", "MONAI_LABEL_DICOMWEB_CACHE_PATH": str(app / "cache"), **settings}
        self.temporary = app / "tmp"
        env["TMPDIR"] = str(self.temporary)
        self.temporary.mkdir(exist_ok=True)
        command = [str(environment() / "bin" / "monailabel"), "start_server", "--app", str(app)]
        command += ["--studies", str(studies), "--host", "127.0.0.1", "--port", str(port)]
        for pair in conf.items():
            command += ["--conf", *pair]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, env=env, stdout=log, stderr=log, cwd=app)

    def wait(self, seconds: float = 300.0) -> Server:
        end = time.monotonic() + seconds
        while time.monotonic() < end and self.process.poll() is None:
            try:
                requests.get(f"{self.url}/info/", timeout=30).raise_for_status()
                return self
            except requests.ConnectionError:
                time.sleep(0.3)
        raise RuntimeError(f"no answer (exit status {self.process.poll()}):\n{self.log.read_text()[-4000:]}")

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()

    def info(self) -> dict[str, Any]:
        return requests.get(f"{self.url}/info/", timeout=60).json()

    def infer(self, image: str = "", file: Path | None = None, output: str = "image", **params: Any):
        """The reply to one image, by its name or sent along."""
        files = {"file": (file.name, file.read_bytes())} if file else None
        return requests.post(
            f"{self.url}/infer/{NAME}",
            params={"image": image, "output": output},
            data={"params": json.dumps(params)},
            files=files,
            timeout=300,
        )

    def upload(self, image: str, file: Path):
        return requests.put(
            f"{self.url}/datastore/",
            params={"image": image},
            files={"file": (file.name, file.read_bytes())},
            timeout=60,
        )

    def batch(self, **params: Any):
        """All images, waiting for the end."""
        return requests.post(
            f"{self.url}/batch/infer/{NAME}",
            params={"images": "all", "run_sync": True},
            json={"multi_gpu": False, **params},
            timeout=300,
        )
