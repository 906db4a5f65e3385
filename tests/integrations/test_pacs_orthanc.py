"""Against a real Orthanc: pull and push both ways, and the receiver from end to end."""

from __future__ import annotations

import csv
import logging
import random
import signal
import subprocess
import sys
from collections import Counter
from io import BytesIO
from pathlib import Path

import fake_translation
import numpy as np
import pydicom
import pytest
from orthanc import OUR_PORT, OUR_TITLE
from planted_names import PLANTED

from bundle.integrations.pacs import Selection, Service, pull, push, read_node
from bundle.integrations.pacs.batch_inference import BatchInference
from bundle.integrations.pacs.listener import Door
from bundle.networks import ResnetGenerator
from bundle.networks.weights import save_weights

# pynetdicom forgets to close the socket of a connection that was refused
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
BOTH_WAYS = pytest.mark.parametrize("way", ["url", "dimse"])


ROOT = Path(__file__).parents[2]


def node_of(orthanc, way):
    return read_node(getattr(orthanc, way), calling=OUR_TITLE)


def door(**changes):
    return Door(**{"port": OUR_PORT, "ae_title": OUR_TITLE} | changes)


def rows(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def pixels(path):
    return pydicom.dcmread(path).pixel_array


def names_nobody(text):
    return not any(word.lower() in text.lower() for word in PLANTED)


@pytest.fixture(scope="module")
def made(le_images, tmp_path_factory) -> Path:
    """The folder of a batch: the virtual DES of the first four LE images, a PNG, and an LE that was forgotten there."""
    folder = tmp_path_factory.mktemp("made")
    for path in le_images[:4]:
        fake_translation.virtual_des_of(pydicom.dcmread(path)).save_as(folder / f"{path.stem}_virtual.dcm")
    (folder / "beside.png").write_bytes(b"no DICOM")
    (folder / "forgotten.dcm").write_bytes(le_images[0].read_bytes())
    return folder


@BOTH_WAYS
class TestPull:
    def test_pixels_are_identical_and_a_second_call_fetches_what_is_missing(
        self, orthanc, exam, way, tmp_path, caplog, capfd
    ):
        caplog.set_level(logging.DEBUG)
        orthanc.add(*exam)
        node, chosen = node_of(orthanc, way), Selection(patient_id=PLANTED[1])
        done = pull(node, chosen, tmp_path, door=door())
        assert done.counts == {"pulled": 12}
        originals = {pydicom.dcmread(path).SOPInstanceUID: path for path in exam[:12]}
        for path in tmp_path.glob("*/*/*.dcm"):
            ds = pydicom.dcmread(path)
            assert path.relative_to(tmp_path).parts[:2] == (ds.StudyInstanceUID, ds.SeriesInstanceUID)
            assert ds.file_meta.TransferSyntaxUID == pydicom.uid.JPEGLosslessSV1
            np.testing.assert_array_equal(ds.pixel_array, pixels(originals.pop(path.stem)))
        assert originals == {}
        kept = sorted(tmp_path.glob("*/*/*.dcm"))
        times = {path: path.stat().st_mtime_ns for path in kept[1:]}
        kept[0].unlink()
        (kept[0].parent / f".1.{kept[0].name}").write_bytes(b"torn")
        assert pull(node, chosen, tmp_path, door=door()).counts == {"kept": 11, "pulled": 1}
        assert sorted(tmp_path.glob("*/*/*")) == kept
        assert {path: path.stat().st_mtime_ns for path in kept[1:]} == times
        out = capfd.readouterr()
        assert names_nobody(caplog.text + out.out + out.err + (tmp_path / "pulled.csv").read_text())

    def test_only_le_images_of_a_time(self, orthanc, exam, way, tmp_path):
        orthanc.add(*exam)
        node, chosen = node_of(orthanc, way), Selection(dates="20240101-20241231")
        assert pull(node, chosen, tmp_path, only_le=True, door=door()).counts == {"pulled": 4, "skipped": 8}
        said = Counter((row["state"], row["reason"]) for row in rows(tmp_path / "pulled.csv"))
        assert said == {
            ("pulled", ""): 4,
            ("skipped", "not an LE image: it is DES"): 4,
            ("skipped", "not an LE image: it is a high-energy image, which is not used"): 4,
        }
        assert pull(node, chosen, tmp_path, only_le=True, door=door()).counts == {"kept": 4, "skipped": 8}

    def test_nothing_of_another_modality(self, orthanc, exam, way, tmp_path):
        orthanc.add(*exam)
        chosen = Selection(dates="20240315", modality="CT")
        assert pull(node_of(orthanc, way), chosen, tmp_path, door=door()).counts == {}


@BOTH_WAYS
class TestPush:
    def test_what_is_synthetic_goes_once(self, orthanc, made, way, tmp_path, le_images, caplog, capfd):
        caplog.set_level(logging.DEBUG)
        (made / "pushed.csv").unlink(missing_ok=True)
        orthanc.add(*le_images[:4])
        node = node_of(orthanc, way)
        done = push(node, made, door=door(), batch=3)
        assert done.counts == {"confirmed": 4, "refused": 1}
        assert done.failed == [
            ("forgotten.dcm", "it does not say Synthetic Data YES; --any sends it nevertheless"),
        ]
        at_the_node = orthanc.instances()
        assert len(at_the_node) == 8
        for path in made.glob("*_virtual.dcm"):
            sent = pydicom.dcmread(path)
            got = pydicom.dcmread(BytesIO(orthanc.file(sent.SOPInstanceUID)))
            np.testing.assert_array_equal(got.pixel_array, sent.pixel_array)
        source = pydicom.dcmread(le_images[0])
        assert {told["StudyInstanceUID"] for told in at_the_node.values()} == {source.StudyInstanceUID}
        assert push(node, made, door=door()).counts == {"kept": 4, "refused": 1}
        out = capfd.readouterr()
        assert names_nobody(caplog.text + out.out + out.err + (made / "pushed.csv").read_text())

    def test_a_node_that_is_down(self, running_orthanc, made, way):
        (made / "pushed.csv").unlink(missing_ok=True)
        running_orthanc.stop()
        done = push(node_of(running_orthanc, way), made, batch=2, retries=1, pause=0.01, commitment=False)
        assert done.counts == {"failed": 4, "refused": 1}
        assert all(str(node_of(running_orthanc, way)) in reason for name, reason in done.failed if "virtual" in name)
        running_orthanc.start()
        running_orthanc.empty()
        assert push(node_of(running_orthanc, way), made, commitment=False).counts == {"confirmed": 4, "refused": 1}


class TestCommitment:
    def test_a_node_that_cannot_report_has_not_confirmed(self, orthanc, made):
        (made / "pushed.csv").unlink(missing_ok=True)
        done = push(node_of(orthanc, "dimse"), made, patience=0.5)  # Orthanc reports to a port where nobody listens
        assert done.counts == {"stored": 4, "refused": 1}
        reasons = {reason for name, reason in done.failed if name != "forgotten.dcm"}
        assert [reason.split(":")[0] for reason in reasons] == ["stored, but no report of storage commitment came"]
        assert len(orthanc.instances()) == 4
        orthanc.empty()
        assert push(node_of(orthanc, "dimse"), made, patience=0.5).counts == {"stored": 4, "refused": 1}
        assert orthanc.instances() == {}  # asked again, not stored again


def results_at(orthanc):
    return {
        sop for sop, told in orthanc.instances().items() if told["SeriesDescription"] == fake_translation.DESCRIPTION
    }


class TestServe:
    @BOTH_WAYS
    def test_end_to_end(self, orthanc, exam, le_images, store, until, way, tmp_path, caplog):
        caplog.set_level(logging.DEBUG)
        orthanc.add(*exam[:12])
        with Service(
            tmp_path / "queue", door(), node_of(orthanc, way), fake_translation.translate, settle=0.2
        ) as service:
            assert store(exam[:12]) == [0] * 12
            until(lambda: len(results_at(orthanc)) == 4 and not service.queue._bytes)
        found = orthanc.instances()
        for path in le_images[:4]:
            source = pydicom.dcmread(path)
            wanted = fake_translation.virtual_des_of(pydicom.dcmread(path))
            assert found[wanted.SOPInstanceUID]["StudyInstanceUID"] == source.StudyInstanceUID
            got = pydicom.dcmread(BytesIO(orthanc.file(wanted.SOPInstanceUID)))
            np.testing.assert_array_equal(got.pixel_array, wanted.pixel_array)
        told = Counter((row["state"], row["reason"]) for row in rows(tmp_path / "queue" / "results.csv"))
        assert told[("sent", "")] == 4
        assert told[("aside", "not an LE image: it is DES")] == 4
        assert Counter(row["state"] for row in rows(tmp_path / "queue" / "results.csv")) == {"sent": 4, "aside": 8}
        assert list((tmp_path / "queue" / "aside").iterdir()) == []
        assert list((tmp_path / "queue").glob("*/*_LE*")) + list((tmp_path / "queue" / "done").iterdir()) == []
        assert names_nobody(caplog.text + (tmp_path / "queue" / "results.csv").read_text())

    def test_the_node_stops_in_the_middle_and_nothing_is_lost(self, orthanc, le_images, store, until, tmp_path):
        node = node_of(orthanc, "url")
        with Service(tmp_path, door(), node, fake_translation.translate, settle=0.05, pause=0.2) as service:
            assert store(le_images[:3]) == [0] * 3
            until(lambda: len(results_at(orthanc)) == 3)
            orthanc.stop()
            assert store(le_images[3:]) == [0] * 5
            until(lambda: len(service.queue.waiting("outgoing")) == 5)
            orthanc.start()
            until(lambda: not service.queue._bytes)
        assert len(results_at(orthanc)) == 8

    @pytest.mark.parametrize("kills", [1, pytest.param(10, marks=pytest.mark.slow)])
    def test_killed_at_random_moments(self, orthanc, le_images, store, until, tmp_path, kills):
        """Every image that was taken in has its result at the node; test_pacs_queue.py counts what is sent."""
        command = [sys.executable, fake_translation.__file__, str(tmp_path), orthanc.url, str(OUR_PORT)]
        moments = random.Random(kills)
        waiting = list(le_images)
        for _ in range(kills):
            with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) as service:
                assert service.stdout.readline() == b"ready\n"
                some, waiting = waiting[: 8 // kills + 1], waiting[8 // kills + 1 :]
                assert not some or store(some) == [0] * len(some)
                try:
                    service.wait(moments.uniform(0, 0.6))
                except subprocess.TimeoutExpired:
                    service.send_signal(signal.SIGKILL)
        with Service(tmp_path, door(), node_of(orthanc, "url"), fake_translation.translate, settle=0.05) as service:
            assert not waiting or store(waiting) == [0] * len(waiting)
            until(lambda: not service.queue._bytes)
        wanted = {fake_translation.virtual_des_of(pydicom.dcmread(path)).SOPInstanceUID for path in le_images}
        assert results_at(orthanc) == wanted

    @pytest.mark.slow
    def test_with_the_batch_inference_of_this_bundle(self, orthanc, exam, store, until, tmp_path):
        """The same path with the real translation, whose tables and objects the stand-in copies."""
        network = {"width": 4, "num_blocks": 1}
        card = {"image_size": 32, "network": network, "intensity": {"method": "window"}}
        save_weights(tmp_path / "model.pt", ResnetGenerator(**network), card)
        orthanc.add(*exam[:12])
        log = tmp_path / "log.txt"
        translate = BatchInference(ROOT, tmp_path / "model.pt", log, ("--device", "cpu", "--num_workers", "1"))
        with Service(tmp_path / "queue", door(), node_of(orthanc, "dimse"), translate, settle=0.2) as service:
            assert store(exam[:12]) == [0] * 12
            until(lambda: not service.queue._bytes, seconds=240)
        told = Counter(row["state"] for row in rows(tmp_path / "queue" / "results.csv"))
        assert told == {"sent": 4, "aside": 8}, log.read_text()[-3000:]
        derived = [told for told in orthanc.instances().values() if told["ImageType"].startswith("DERIVED\\SECONDARY")]
        assert len(derived) == 4
        assert {told["StudyInstanceUID"] for told in derived} == {pydicom.dcmread(exam[0]).StudyInstanceUID}
        assert all("SYNTHETIC" in told["SeriesDescription"].upper() for told in derived)
