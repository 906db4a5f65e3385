"""How nodes and selections are named, what nodes answer, and the command line."""

from __future__ import annotations

import json
import sys
import threading
from types import SimpleNamespace

import fake_translation
import pydicom
import pytest
import requests
from planted_names import PLANTED
from pydicom.dataset import Dataset
from pynetdicom import AE, evt
from pynetdicom.sop_class import DigitalMammographyXRayImageStorageForPresentation as MG
from pynetdicom.sop_class import StorageCommitmentPushModel

import scripts.pacs
from bundle.integrations.pacs import DicomwebNode, DimseNode, Selection, Unreachable, pull, push, read_node
from bundle.integrations.pacs.answer import Answer, read_parcel
from bundle.integrations.pacs.batch_inference import BatchInference, TranslationFailed
from bundle.integrations.pacs.listener import Door
from bundle.integrations.pacs.pull import Pulled
from bundle.integrations.pacs.pull_dicomweb import DicomwebSource
from bundle.integrations.pacs.pull_dimse import DimseSource
from bundle.integrations.pacs.push_dicomweb import StowSender
from bundle.integrations.pacs.push_dimse import StoreSender
from bundle.integrations.pacs.selection import Instance
from bundle.networks import ResnetGenerator
from bundle.networks.weights import save_weights

pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")


class TestReadNode:
    def test_three_forms(self, tmp_path):
        assert read_node("https://pacs/dicom-web") == DicomwebNode("https://pacs/dicom-web")
        assert read_node("http://127.0.0.1/dicom-web") == DicomwebNode("http://127.0.0.1/dicom-web")
        assert read_node("PACS@[::1]:104", calling="ME") == DimseNode("PACS", "::1", 104, calling="ME")
        path = tmp_path / "node.json"
        path.write_text(json.dumps({"ae_title": "A B", "host": "pacs", "port": 2762, "tls": True}))
        assert read_node(str(path)) == DimseNode("A B", "pacs", 2762, tls=True)
        assert str(read_node(str(path))) == "A B@pacs:2762"

    @pytest.mark.parametrize(
        ("text", "told"),
        [
            ("pacs.example", "is no node, expected http"),
            ("PACS@host", "expected HOST:PORT"),
            ("PACS@host:70000", "expected HOST:PORT"),
            ("SEVENTEEN_LETTERS@host:104", "expected 1 to 16 characters"),
            ("https://user:secret@pacs/dicom-web", r"~/.netrc"),
            ("http://pacs/dicom-web", "take https, or say --insecure"),
            ("PACS@pacs:104", "with tls or ca_file, or say --insecure"),
        ],
    )
    def test_what_is_wrong(self, text, told):
        with pytest.raises(ValueError, match=told) as error:
            read_node(text)
        assert "secret" not in str(error.value)

    @pytest.mark.parametrize("text", ["http://pacs/dicom-web", "PACS@pacs:104"])
    def test_without_tls_on_a_clear_word(self, text):
        assert read_node(text, insecure=True).insecure

    def test_a_file_with_an_unknown_field(self, tmp_path):
        path = tmp_path / "node.json"
        path.write_text(json.dumps({"ae_title": "PACS", "host": "pacs", "port": 104, "pasword": "x"}))
        with pytest.raises(ValueError, match=r"unknown field\(s\) \['pasword'\], expected some of \['ae_title'"):
            read_node(str(path))


class TestSelection:
    def test_asking_for_all_there_is(self):
        with pytest.raises(ValueError, match="it would ask for all there is"):
            Selection()

    def test_all_that_is_wrong_is_said_and_no_value(self):
        with pytest.raises(ValueError, match="study is no UID; dates are not") as error:
            Selection(study="../x", dates="March", patient_id=f"{PLANTED[1]}*")
        assert "patient_id holds a wildcard" in str(error.value)
        assert PLANTED[1] not in str(error.value)

    def test_keys(self):
        chosen = Selection(dates="20240101-", accession="7")
        told = {"StudyDate": "20240101-", "AccessionNumber": "7", "ModalitiesInStudy": "MG"}
        assert chosen.study_keys() == told


@pytest.fixture
def parcels(le_images, tmp_path):
    for number, path in enumerate(le_images[:3]):
        fake_translation.virtual_des_of(pydicom.dcmread(path)).save_as(tmp_path / f"{number}.dcm")
    return [read_parcel(path) for path in sorted(tmp_path.glob("*.dcm"))]


def told(stored=(), failed=()):
    """A server's answer to STOW-RS."""
    answer = Dataset()
    for keyword, entries in (("ReferencedSOPSequence", stored), ("FailedSOPSequence", failed)):
        items = []
        for sop, *reason in entries:
            item = Dataset()
            item.ReferencedSOPInstanceUID = sop
            if reason:
                item.FailureReason = reason[0]
            items.append(item)
        if items:
            setattr(answer, keyword, items)
    return answer


class TestStow:
    @pytest.fixture
    def sender(self):
        return StowSender(DicomwebNode("http://127.0.0.1:1/dicom-web"))

    @staticmethod
    def refused(status, body=None):
        response = requests.Response()
        response.status_code = status
        response._content = (body or "").encode()
        return requests.HTTPError(f"for url ?PatientID={PLANTED[1]}", response=response)

    def test_each_object_has_its_own_answer(self, sender, parcels):
        first, second, third = (parcel.sop for parcel in parcels)
        sender.client.store_instances = lambda _: told([(first,)], [(second, 0xA700)])
        answers = sender.send(parcels)
        assert answers[first] == Answer(True)
        assert answers[second] == Answer(False, "the node refuses it: status 0xA700 (out of resources)", again=True)
        assert answers[third] == Answer(False, "the node said nothing about it", again=True)

    def test_a_refusal_with_the_standards_answer(self, sender, parcels):
        def store(_):
            raise self.refused(409, told(failed=[(parcel.sop, 0xC000) for parcel in parcels]).to_json())

        sender.client.store_instances = store
        assert {answer.reason for answer in sender.send(parcels).values()} == {
            "the node refuses it: status 0xC000 (cannot understand)"
        }

    def test_one_that_spoils_it_for_all_is_found(self, sender, parcels):
        bad = parcels[1].sop

        def store(datasets):
            if any(ds.SOPInstanceUID == bad for ds in datasets):
                raise self.refused(400)
            return told([(ds.SOPInstanceUID,) for ds in datasets])

        sender.client.store_instances = store
        answers = sender.send(parcels)
        assert [answers[parcel.sop].confirmed for parcel in parcels] == [True, False, True]
        assert answers[bad].reason == "http://127.0.0.1:1/dicom-web refuses the object with HTTP status 400."

    def test_requests_are_bounded(self, sender, parcels):
        sizes = []

        def store(datasets):
            sizes.append(len(datasets))
            return told([(ds.SOPInstanceUID,) for ds in datasets])

        sender.client.store_instances = store
        sender.batch_bytes = parcels[0].path.stat().st_size * 2 + 100
        assert all(answer.confirmed for answer in sender.send(parcels).values())
        assert sizes == [2, 1]


class Node:
    """A node of ours with storage commitment that reports on the association that asks."""

    def __init__(self, keeps=lambda sop: True, status=0x0000):
        self.keeps, self.status, self.got = keeps, status, []
        self.report = lambda asked: None
        ae = AE("PACS")
        ae.add_supported_context(MG)
        ae.add_supported_context(StorageCommitmentPushModel)
        handlers = [(evt.EVT_C_STORE, self.store), (evt.EVT_N_ACTION, self.commit)]
        self.server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
        self.node = DimseNode("PACS", "127.0.0.1", self.server.server_address[1])

    def store(self, event):
        self.got.append(str(event.request.AffectedSOPInstanceUID))
        return self.status

    def commit(self, event):
        asked = event.action_information
        if self.keeps is None:
            self.report(asked)
            return 0x0000, None
        sops = [item.ReferencedSOPInstanceUID for item in asked.ReferencedSOPSequence]
        report = told(
            [(sop,) for sop in sops if self.keeps(sop)], [(sop, 0x0112) for sop in sops if not self.keeps(sop)]
        )
        for item in [*report.get("ReferencedSOPSequence", []), *report.get("FailedSOPSequence", [])]:
            item.ReferencedSOPClassUID = MG
        report.TransactionUID = asked.TransactionUID

        def later():
            arguments = (report, 1, StorageCommitmentPushModel, "1.2.840.10008.1.20.1.1")
            event.assoc.send_n_event_report(*arguments)

        threading.Timer(0.2, later).start()
        return 0x0000, None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()


class TestPaging:
    """What QIDO-RS answers, page by page."""

    @pytest.fixture
    def source(self):
        source = DicomwebSource(DicomwebNode("http://127.0.0.1:1/dicom-web"))

        def answering(pages):
            left = iter(pages)

            def search(search_filters, limit, offset):
                return [{"00080018": {"vr": "UI", "Value": [f"1.2.{n}"]}} for n in next(left)]

            source.client = SimpleNamespace(search_for_instances=search)
            return (str(ds.SOPInstanceUID) for ds in source._search("search_for_instances", {}))

        return answering

    def test_a_server_that_caps_its_answers_loses_nothing(self, source):
        found = list(source([range(0, 100), range(100, 200), range(200, 250), ()]))
        assert found == [f"1.2.{n}" for n in range(250)]

    def test_one_that_repeats_itself_is_an_error(self, source):
        with pytest.raises(Unreachable, match="gives the same answers again"):
            list(source([range(3)] * 9))

    def test_a_malformed_uid_costs_itself(self, tmp_path, monkeypatch):
        answers = {
            "studies": [{"0020000D": ["../evil"]}, {"0020000D": ["1.1"]}],
            "series": [{"0020000E": []}, {"0020000E": ["1.2"]}],
            "instances": [{"00080018": ["no UID"]}, {"00080018": ["1.3"]}],
        }

        def search(level):
            def found(search_filters, limit, offset, **_):
                told = [] if offset else answers[level]
                return [{tag: {"vr": "UI", "Value": value} for tag, value in one.items()} for one in told]

            return found

        client = SimpleNamespace(**{f"search_for_{level}": search(level) for level in answers})
        monkeypatch.setattr("bundle.integrations.pacs.pull_dicomweb.web_client", lambda _: client)
        done = pull(DicomwebNode("http://127.0.0.1:1/dicom-web"), Selection(study="1.1"), tmp_path)
        assert done.counts == {"failed": 4}  # three answers, and an object that this client cannot fetch
        assert [sop for sop, _ in done.failed] == ["", "", "", "1.3"]


class TestMove:
    def test_another_object_under_an_expected_uid_is_refused(self, le_images, tmp_path):
        expected = Instance.of(pydicom.dcmread(le_images[0]))
        other = pydicom.dcmread(le_images[-1])
        other.SOPInstanceUID = other.file_meta.MediaStorageSOPInstanceUID = expected.sop
        other.save_as(tmp_path / "other.dcm")
        source = DimseSource(DimseNode("PACS", "127.0.0.1", 104), Door())
        path = tmp_path / "tree/x.dcm"
        source._expected = {expected.sop: (expected, path)}
        for wrong in (tmp_path / "other.dcm", le_images[1]):
            assert source._receive(expected.sop, wrong.read_bytes, "PACS") == 0xA900
        assert not path.exists()
        assert source._receive(expected.sop, le_images[0].read_bytes, "PACS") == 0
        assert path.read_bytes() == le_images[0].read_bytes()


class TestCommitment:
    def test_a_late_report_counts_and_nothing_is_sent_twice(self, parcels):
        """It comes after the sender has given up waiting; one that nobody asked for does not count."""
        with Node() as pacs:
            pacs.keeps = None  # asked, it says nothing
            asked = []
            pacs.report = asked.append
            sender = StoreSender(pacs.node, patience=0.1)
            answers = sender.send(parcels)
            assert {answer.stored for answer in answers.values()} == {True}
            for transaction in ("1.2.3", asked[0].TransactionUID):
                report = told([(parcel.sop,) for parcel in parcels])
                report.TransactionUID = transaction
                sender.reports.handle(SimpleNamespace(event_information=report))
                answers = sender.confirm(parcels, ask=False)
                assert {answer.confirmed for answer in answers.values()} == {transaction != "1.2.3"}
            assert len(pacs.got) == len(parcels) == 3

    def test_a_second_push_asks_and_does_not_store(self, parcels):
        with Node() as pacs:
            pacs.keeps = None
            assert push(pacs.node, parcels[0].path.parent, patience=0.1).counts == {"stored": 3}
            pacs.keeps = lambda sop: True
            assert push(pacs.node, parcels[0].path.parent).counts == {"confirmed": 3}
            assert len(pacs.got) == 3

    def test_what_was_made_anew_is_sent_again(self, parcels):
        with Node() as pacs:
            assert push(pacs.node, parcels[0].path.parent).counts == {"confirmed": 3}
            ds = pydicom.dcmread(parcels[1].path)
            ds.SeriesNumber = 9
            ds.save_as(parcels[1].path)
            assert push(pacs.node, parcels[0].path.parent).counts == {"kept": 2, "confirmed": 1}
            assert push(pacs.node, parcels[0].path.parent).counts == {"kept": 3}

    def test_what_the_node_does_not_commit_to_is_sent_again(self, parcels):
        folder, lost = parcels[0].path.parent, parcels[1].sop
        with Node(keeps=lambda sop: sop != lost) as pacs:
            done = push(pacs.node, folder)
            assert done.counts == {"confirmed": 2, "failed": 1}
            assert done.failed == [
                ("1.dcm", "the node does not commit to it: status 0x0112 (no such object)"),
            ]
            pacs.keeps = lambda sop: True
            assert push(pacs.node, folder).counts == {"kept": 2, "confirmed": 1}
            assert pacs.got == [*(parcel.sop for parcel in parcels), lost]

    @pytest.mark.parametrize(
        ("status", "tries", "reason"),
        [(0xA700, 3, "status 0xA700 (out of resources)"), (0xC001, 1, "status 0xC001 (cannot understand)")],
    )
    def test_what_the_node_refuses(self, parcels, status, tries, reason):
        with Node(status=status) as pacs:
            done = push(pacs.node, parcels[0].path.parent, retries=2, pause=0.01)
        assert {told for _, told in done.failed} == {f"the node refuses it: {reason}"}
        assert len(pacs.got) == 3 * tries

    def test_a_transfer_syntax_that_the_node_does_not_take(self, le_images, tmp_path):
        (tmp_path / "jpeg.dcm").write_bytes(le_images[0].read_bytes())
        (tmp_path / "plain.dcm").write_bytes(le_images[-1].read_bytes())
        with Node() as pacs:
            done = push(pacs.node, tmp_path, any_object=True, commitment=False)
        assert done.counts == {"confirmed": 1, "failed": 1}
        assert done.failed == [
            ("jpeg.dcm", "the node does not take this SOP class in transfer syntax 1.2.840.10008.1.2.4.70")
        ]

    def test_files_that_cannot_be_sent(self, le_images, tmp_path):
        (tmp_path / "torn.dcm").write_bytes(le_images[0].read_bytes()[:300])
        (tmp_path / "a.dcm").write_bytes(le_images[-1].read_bytes())
        (tmp_path / "copy.dcm").write_bytes(le_images[-1].read_bytes())
        with Node() as pacs:
            done = push(pacs.node, tmp_path, any_object=True, commitment=False)
        assert done.counts == {"confirmed": 1, "failed": 1, "refused": 1}
        assert dict(done.failed)["copy.dcm"] == "the same SOP instance UID as a.dcm"
        assert "torn.dcm" in dict(done.failed)


class TestBatchInference:
    """The process that serve starts; here another program stands for monai.bundle."""

    @pytest.fixture
    def inference(self, tmp_path):
        def make(program, **changes):
            (tmp_path / "program.py").write_text(program)
            settings = {"root": tmp_path, "ckpt_path": tmp_path / "model.pt", "log": tmp_path / "log.txt"}
            return BatchInference(**settings | {"runner": ("program.py",)} | changes)

        return make

    def test_its_command_and_a_failed_image(self, inference, tmp_path):
        program = (
            "import json, pathlib, sys\nout = pathlib.Path(sys.argv[sys.argv.index('--output_dir') + 1])\nout.mkdir()\n"
            "out.joinpath('results.csv').write_text('image,output,state,reason\\n')\n"
            "out.joinpath('argv.json').write_text(json.dumps(sys.argv[1:]))\nsys.exit(1)\n"
        )
        inference(program, options=("--device", "cpu"))(tmp_path / "in", tmp_path / "out")
        assert json.loads((tmp_path / "out/argv.json").read_text()) == [
            *("--config_file", "['configs/inference.json', 'configs/inference_dicom.json']"),
            *("--dataset_dir", str(tmp_path / "in"), "--output_dir", str(tmp_path / "out")),
            *("--ckpt_path", str(tmp_path / "model.pt"), "--device", "cpu"),
        ]

    def test_an_end_without_a_table(self, inference, tmp_path):
        with pytest.raises(TranslationFailed, match=r"exit status 3 without results.csv; see .*log.txt"):
            inference("print('why'); raise SystemExit(3)")(tmp_path / "in", tmp_path / "out")
        assert (tmp_path / "log.txt").read_text() == "why\n"

    def test_its_log_does_not_grow_for_ever(self, inference, tmp_path):
        (tmp_path / "log.txt").write_bytes(bytes(5 * 2**20 + 1))
        with pytest.raises(TranslationFailed):
            inference("print('why')")(tmp_path / "in", tmp_path / "out")
        assert (tmp_path / "log.txt").read_text() == "why\n"
        assert (tmp_path / "log.txt.1").stat().st_size == 5 * 2**20 + 1

    def test_is_ended_when_the_service_is(self, inference, tmp_path):
        stop = SimpleNamespace(asked=0)

        def stopped():
            stop.asked += 1
            return stop.asked > 1

        with pytest.raises(TranslationFailed, match="stopped"):
            inference("import time; time.sleep(60)", stopped=stopped)(tmp_path / "in", tmp_path / "out")


class TestCommandLine:
    @pytest.fixture
    def call(self, monkeypatch, capfd):
        """The command in this process: its exit status or message, and what it prints."""

        def run(*arguments):
            monkeypatch.setattr(sys, "argv", ["pacs", *map(str, arguments)])
            with pytest.raises(SystemExit) as ended:
                scripts.pacs.main()
            return ended.value.code, "".join(capfd.readouterr())

        return run

    def test_push_lists_what_failed_and_ends_with_1(self, call, parcels, le_images):
        folder = parcels[0].path.parent
        (folder / "le.dcm").write_bytes(le_images[0].read_bytes())
        with Node() as pacs:
            status, printed = call("push", pacs.node, folder)
            assert len(pacs.got) == 3
        assert status == 1
        assert f"push: 3 confirmed, 1 refused ({folder}/pushed.csv)" in printed
        assert "  le.dcm  it does not say Synthetic Data YES; --any sends it nevertheless" in printed
        assert not any(word in printed for word in PLANTED)

    def test_what_is_wrong_is_one_line(self, call, tmp_path):
        status, _ = call("pull", "PACS@127.0.0.1:1", tmp_path, "--patient_id", f"{PLANTED[1]}*")
        assert status == "The selection cannot be used: patient_id holds a wildcard or a control character."

    def test_an_accession_number_of_digits_stays_a_text(self, call, tmp_path, monkeypatch):
        asked = []
        monkeypatch.setattr(
            scripts.pacs, "pull_objects", lambda node, chosen, *_, **__: asked.append(chosen) or Pulled()
        )
        status, _ = call("pull", "PACS@127.0.0.1:1", tmp_path, "--accession", "0012")
        assert asked == [Selection(accession="0012")]
        assert status == "The node has nothing of this selection."

    def test_serve_wants_weights_that_load(self, call, tmp_path, monkeypatch):
        def listening(*_, **__):
            raise AssertionError("it listens")

        monkeypatch.setattr(scripts.pacs, "Service", listening)
        arguments = ("serve", tmp_path, "PACS@127.0.0.1:1", "--ckpt_path", tmp_path / "model.pt")
        assert "there is no model" in call(*arguments)[0]
        (tmp_path / "model.pt").write_bytes(b"no weights")
        assert "has no card" in call(*arguments)[0]
        network = {"width": 4, "num_blocks": 1}
        card = {"image_size": 32, "network": network, "intensity": {"method": "window"}}
        save_weights(tmp_path / "model.pt", ResnetGenerator(**network | {"num_blocks": 2}), card)
        assert "does not fit the network" in call(*arguments)[0]
        save_weights(tmp_path / "model.pt", ResnetGenerator(**network), card)
        with pytest.raises(AssertionError, match="it listens"):
            call(*arguments)

    def test_serve_does_not_open_by_itself(self, call, tmp_path):
        status, _ = call("serve", tmp_path, "PACS@127.0.0.1:1", "--host", "0.0.0.0")
        assert "name the AE titles that may call (--ae_titles)" in status
