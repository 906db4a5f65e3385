"""A real PACS: Debian's Orthanc with DICOMweb."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path

import pytest
import requests
from debian import find_program

PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
HTTP, DIMSE = 18042, 14242
OUR_TITLE, OUR_PORT = "CESM_TEST", 11212


class Orthanc:
    """One whose storage outlives a stop; it knows us as CESM_TEST at 127.0.0.1:11212."""

    url = f"http://127.0.0.1:{HTTP}/dicom-web"
    dimse = f"ORTHANC@127.0.0.1:{DIMSE}"

    def __init__(self, folder: Path) -> None:
        find_program("Orthanc", "orthanc")
        if not PLUGIN.is_file():
            subprocess.run(["apt-get", "install", "-y", "orthanc-dicomweb"], check=False, capture_output=True)
        if not PLUGIN.is_file():
            pytest.skip("Orthanc's DICOMweb is not installed and cannot be: apt-get install orthanc-dicomweb")
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.process: subprocess.Popen | None = None
        configuration = {
            "Name": "test",
            "StorageDirectory": str(folder / "storage"),
            "IndexDirectory": str(folder / "storage"),
            "Plugins": [str(PLUGIN)],
            "HttpPort": HTTP,
            "DicomPort": DIMSE,
            "DicomAet": "ORTHANC",
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False,
            "DicomModalities": {"us": [OUR_TITLE, "127.0.0.1", OUR_PORT]},
            "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
            "StableAge": 1,
        }
        self.configuration = folder / "orthanc.json"
        self.configuration.write_text(json.dumps(configuration))

    def start(self) -> Orthanc:
        log = open(self.folder / "orthanc.log", "ab")  # noqa: SIM115 - the process has it
        program = find_program("Orthanc", "orthanc")
        self.process = subprocess.Popen([program, str(self.configuration)], stdout=log, stderr=log)
        log.close()
        end = time.monotonic() + 60
        while time.monotonic() < end and self.process.poll() is None:
            try:
                requests.get(f"http://127.0.0.1:{HTTP}/system", timeout=2)
                return self
            except requests.RequestException:
                time.sleep(0.1)
        raise RuntimeError((self.folder / "orthanc.log").read_text()[-2000:])

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(30)
            self.process = None

    def add(self, *paths: Path) -> None:
        for path in paths:
            answer = requests.post(f"http://127.0.0.1:{HTTP}/instances", data=path.read_bytes(), timeout=30)
            answer.raise_for_status()

    def instances(self) -> dict[str, dict[str, str]]:
        """The header of each object, and Orthanc's name of it, by SOP Instance UID."""
        made = {}
        for name in requests.get(f"http://127.0.0.1:{HTTP}/instances", timeout=30).json():
            told = requests.get(f"http://127.0.0.1:{HTTP}/instances/{name}/simplified-tags", timeout=30).json()
            made[told["SOPInstanceUID"]] = {**told, "ID": name}
        return made

    def file(self, sop: str) -> bytes:
        return requests.get(f"http://127.0.0.1:{HTTP}/instances/{self.instances()[sop]['ID']}/file", timeout=30).content

    def empty(self) -> None:
        for patient in requests.get(f"http://127.0.0.1:{HTTP}/patients", timeout=30).json():
            requests.delete(f"http://127.0.0.1:{HTTP}/patients/{patient}", timeout=30)
