"""Programs of Debian that tests ask for a second opinion."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

WAIT = ("-o", "DPkg::Lock::Timeout=300")  # tests run side by side


def find_program(name: str, package: str) -> str:
    """Path of a Debian program, its package installed where that is allowed; the test is skipped where it is not."""
    places = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"))
    if shutil.which(name, path=places) is None and shutil.which("apt-get") and os.geteuid() == 0:
        quiet = {"env": os.environ | {"DEBIAN_FRONTEND": "noninteractive"}, "capture_output": True, "check": False}
        subprocess.run(["apt-get", *WAIT, "update"], **quiet)
        subprocess.run(["apt-get", *WAIT, "install", "-y", "--no-install-recommends", package], **quiet)
    path = shutil.which(name, path=places)
    if path is None:
        pytest.skip(f"{name} is not installed and cannot be: apt-get install {package}")
    return path
