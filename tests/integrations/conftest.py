"""A PACS in a network of its own, and exams to fill it with."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pydicom
import pytest
from debian import find_program
from network_namespace import own_network
from orthanc import OUR_PORT, OUR_TITLE, Orthanc
from planted_names import PLANTED
from pynetdicom import AE
from pynetdicom.presentation import build_context

from bundle.phantom import write_study


@pytest.fixture(scope="module")
def network():
    with own_network():
        yield


@pytest.fixture(scope="session")
def exam(tmp_path_factory) -> list[Path]:
    """The LE, DES and HE images of two women, 64 x 54 pixels, the first in JPEG lossless, with planted names."""
    paths = []
    for number, syntax in enumerate(("jpeg_lossless", "explicit")):
        folder = tmp_path_factory.mktemp("exam")
        root = write_study(
            folder / "study", patients=1, image_size=64, num_workers=1, seed=number, syntax=syntax
        ).parent
        for path in sorted(root.rglob("*.dcm")):
            ds = pydicom.dcmread(path)
            ds.PatientName, ds.PatientID, ds.AccessionNumber = PLANTED
            if number:
                ds.PatientID, ds.StudyDate = f"{PLANTED[1]}2", "20240315"
            ds.save_as(path)
            paths.append(path)
    return paths


@pytest.fixture(scope="session")
def le_images(exam) -> list[Path]:
    return [path for path in exam if path.stem.endswith("_LE")]


@pytest.fixture(scope="module")
def running_orthanc(network, tmp_path_factory):
    orthanc = Orthanc(tmp_path_factory.mktemp("orthanc")).start()
    yield orthanc
    orthanc.stop()


@pytest.fixture
def orthanc(running_orthanc):
    """Empty, and running."""
    if running_orthanc.process is None:
        running_orthanc.start()
    running_orthanc.empty()
    return running_orthanc


@pytest.fixture
def store():
    """Send files by C-STORE as a modality does; returns the status of each, None where no answer came."""

    def send(paths, port=OUR_PORT, calling="MAMMO", called=OUR_TITLE, tls=None):
        datasets = [pydicom.dcmread(path) for path in paths]
        ae = AE(calling)
        kinds = dict.fromkeys((ds.SOPClassUID, ds.file_meta.TransferSyntaxUID) for ds in datasets)
        contexts = [build_context(sop_class, syntax) for sop_class, syntax in kinds]
        association = ae.associate("127.0.0.1", port, contexts=contexts, ae_title=called, tls_args=tls)
        if not association.is_established:
            return None
        try:
            return [
                association.send_c_store(ds).get("Status") if association.is_established else None for ds in datasets
            ]
        finally:
            if association.is_established:
                association.release()

    return send


@pytest.fixture(scope="session")
def until():
    """Wait for something to become true."""

    def wait(what, seconds=30.0):
        end = time.monotonic() + seconds
        while not what():
            assert time.monotonic() < end, "it did not happen"
            time.sleep(0.05)

    return wait


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    """A self-signed certificate of 127.0.0.1 and its key."""
    folder = tmp_path_factory.mktemp("tls")
    names = ("-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1")
    files = ("-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem"))
    kind = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")
    openssl = find_program("openssl", "openssl")
    subprocess.run([openssl, "req", "-x509", *kind, *files, *names], check=True, capture_output=True)
    return folder / "cert.pem", folder / "key.pem"
