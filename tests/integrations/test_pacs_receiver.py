"""Who may send what to the receiver."""

from __future__ import annotations

import logging
import socket
import ssl
import struct
from io import BytesIO
from types import SimpleNamespace

import pydicom
import pytest
from planted_names import PLANTED

from bundle.integrations.pacs.disk_queue import QueueFull
from bundle.integrations.pacs.listener import MAX_PDU, Door, Listener
from bundle.integrations.pacs.serve import Service

pytestmark = pytest.mark.filterwarnings("ignore:unclosed <s:ResourceWarning")


class Kept(dict):
    def __call__(self, sop, content, _):
        self[sop] = content()
        return 0x0000


@pytest.fixture
def kept():
    return Kept()


def door(**changes):
    return Door(**{"port": 0, "ae_title": "CESM_TEST", "timeout": 5.0} | changes)


class TestDoor:
    def test_is_shut_to_other_machines(self):
        with pytest.raises(ValueError, match="name the AE titles") as error:
            Door("0.0.0.0")
        assert "give --cert_file and --key_file, or --insecure" in str(error.value)

    def test_titles_alone_do_not_open_it(self):
        with pytest.raises(ValueError, match="--insecure"):
            Door("192.0.2.1", ae_titles=["PACS"])

    def test_opens_with_titles_and_a_certificate_or_a_clear_word(self):
        assert Door("0.0.0.0", ae_titles=["PACS"], cert_file="c", key_file="k").ae_titles == ["PACS"]
        assert Door("0.0.0.0", ae_titles=["PACS"], insecure=True).insecure

    def test_a_wrong_title(self):
        with pytest.raises(ValueError, match="'SEVENTEEN_LETTERS', expected 1 to 16"):
            Door(ae_titles=["SEVENTEEN_LETTERS"])

    @pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.9.9.9"])
    def test_loopback(self, host):
        assert Door(host).host == host


class TestReceiver:
    def test_what_arrives_is_what_was_sent(self, exam, store, kept):
        with Listener(door(), receive=kept) as listener:
            assert store(exam[:2], port=listener.port) == [0, 0]
        for path in exam[:2]:
            sent = pydicom.dcmread(path)
            got = pydicom.dcmread(pydicom.filebase.DicomBytesIO(kept[sent.SOPInstanceUID]))
            assert got.PixelData == sent.PixelData
            assert got.file_meta.TransferSyntaxUID == sent.file_meta.TransferSyntaxUID

    def test_an_object_that_is_not_what_it_is_called(self, exam, kept, caplog):
        content = exam[-1].read_bytes()
        sop = str(pydicom.dcmread(exam[-1]).SOPInstanceUID)
        request = SimpleNamespace(AffectedSOPInstanceUID="1.2.3.4", DataSet=BytesIO(content))
        caller = SimpleNamespace(requestor=SimpleNamespace(ae_title="MAMMO"))
        event = SimpleNamespace(assoc=caller, request=request, encoded_dataset=lambda: content)
        listener = Listener(door(), receive=kept)
        assert listener._store(event) == 0xA900
        assert "its data set bears another SOP instance UID" in caplog.text
        request.AffectedSOPInstanceUID = sop
        assert listener._store(event) == 0x0000
        assert list(kept) == [sop]

    @pytest.mark.filterwarnings("ignore:Invalid value for VR UI:UserWarning")  # pydicom writes it all the same
    @pytest.mark.parametrize("name", ["StudyInstanceUID", "SeriesInstanceUID"])
    def test_a_uid_that_is_none(self, exam, store, kept, tmp_path, name):
        ds = pydicom.dcmread(exam[-1])
        ds[name].value = "../../evil"
        ds.save_as(tmp_path / "evil.dcm")
        with Listener(door(), receive=kept) as listener:
            assert store([tmp_path / "evil.dcm"], port=listener.port) == [0xA900]
        assert kept == {}

    @pytest.mark.parametrize("names", [{"calling": "STRANGER"}, {"called": "SOMEBODY"}])
    def test_unknown_titles_are_rejected(self, exam, store, kept, names):
        with Listener(door(ae_titles=["MAMMO"]), receive=kept) as listener:
            assert store(exam[:1], port=listener.port, **names) is None
            assert kept == {}
            assert store(exam[:1], port=listener.port) == [0]

    def test_an_object_that_is_too_large(self, exam, store, kept):
        sizes = [path.stat().st_size for path in exam]
        large, small = exam[sizes.index(max(sizes))], exam[sizes.index(min(sizes))]
        with Listener(door(object_bytes=min(sizes) + 100), receive=kept) as listener:
            assert store([large, small, large], port=listener.port) == [0xA700, 0, 0xA700]
        assert list(kept) == [pydicom.dcmread(small).SOPInstanceUID]

    def test_of_a_huge_object_nothing_is_held(self, exam, store, kept, tmp_path, monkeypatch):
        """It is refused with an answer; while it comes, no more than the limit is in memory."""
        most = []
        bound = Listener._bound_object

        def watched(self, event):
            bound(self, event)
            if event.assoc.dimse.message is not None:
                most.append(event.assoc.dimse.message.data_set.tell())

        monkeypatch.setattr(Listener, "_bound_object", watched)
        ds = pydicom.dcmread(exam[-1])
        ds.Rows, ds.Columns = 2000, 2500
        ds.PixelData = bytes(10**7)
        ds.save_as(tmp_path / "huge.dcm")
        with Listener(door(object_bytes=10**6), receive=kept) as listener:
            assert store([tmp_path / "huge.dcm", exam[-1]], port=listener.port) == [0xA700, 0]
        assert 0 < max(most) <= 10**6
        assert len(kept) == 1

    def test_a_pdu_longer_than_agreed_ends_the_connection(self, kept):
        with (
            Listener(door(), receive=kept) as listener,
            socket.create_connection(("127.0.0.1", listener.port), 5) as client,
        ):
            client.sendall(struct.pack(">BBL", 1, 0, MAX_PDU * 100))
            assert client.recv(1) in (b"", b"\x07")  # the end, or an abort

    def test_an_error_of_ours_refuses_the_object_and_names_nobody(self, exam, store, caplog):
        caplog.set_level(logging.DEBUG)

        def broken(sop, content, _):
            raise OSError(PLANTED[0])

        with Listener(door(), receive=broken) as listener:
            assert store(exam[:1], port=listener.port) == [0xA700]
        assert "OSError" in caplog.text
        assert not any(word in caplog.text for word in PLANTED)

    def test_too_many_associations(self, exam, store, kept):
        from pynetdicom import AE
        from pynetdicom.sop_class import Verification

        with Listener(door(max_associations=1), receive=kept) as listener:
            ae = AE("MAMMO")
            ae.add_requested_context(Verification)
            first = ae.associate("127.0.0.1", listener.port, ae_title="CESM_TEST")
            assert first.send_c_echo().Status == 0
            assert store(exam[:1], port=listener.port) is None
            first.release()
            assert store(exam[:1], port=listener.port) == [0]


class TestTls:
    @pytest.fixture
    def listener(self, certificate, kept):
        cert, key = map(str, certificate)
        with Listener(door(cert_file=cert, key_file=key), receive=kept) as listener:
            yield listener

    def test_with_a_certificate_that_is_trusted(self, exam, store, listener, certificate, kept):
        context = ssl.create_default_context(cafile=certificate[0])
        assert store(exam[:2], port=listener.port, tls=(context, "127.0.0.1")) == [0, 0]
        assert len(kept) == 2

    def test_not_without(self, exam, store, listener, kept):
        assert store(exam[:1], port=listener.port) is None
        assert store(exam[:1], port=listener.port, tls=(ssl.create_default_context(), "127.0.0.1")) is None
        assert kept == {}

    def test_a_silent_client_holds_up_nobody(self, exam, store, listener, certificate):
        context = ssl.create_default_context(cafile=certificate[0])
        with socket.create_connection(("127.0.0.1", listener.port)):
            assert store(exam[:1], port=listener.port, tls=(context, "127.0.0.1")) == [0]

    def test_callers_must_have_a_certificate_where_that_is_asked(self, exam, store, certificate, kept):
        cert, key = map(str, certificate)
        with Listener(door(cert_file=cert, key_file=key, ca_file=cert), receive=kept) as listener:
            context = ssl.create_default_context(cafile=cert)
            assert store(exam[:1], port=listener.port, tls=(context, "127.0.0.1")) is None
            context.load_cert_chain(cert, key)
            assert store(exam[:1], port=listener.port, tls=(context, "127.0.0.1")) == [0]


class TestService:
    def test_a_queue_has_one_service(self, tmp_path):
        from bundle.integrations.pacs import read_node

        node = read_node("PACS@127.0.0.1:1")
        with (
            Service(tmp_path, door(), node, print),
            pytest.raises(ValueError, match="in use by another process"),
            Service(tmp_path, door(), node, print),
        ):
            pass

    def test_a_full_queue_refuses(self, tmp_path, exam, store, monkeypatch):
        from bundle.integrations.pacs import read_node

        with Service(tmp_path, door(), read_node("PACS@127.0.0.1:1"), print, settle=60) as service:

            def full(*_):
                raise QueueFull("2 objects")

            monkeypatch.setattr(service.queue, "put", full)
            assert store(exam[:1], port=service.listener.port) == [0xA700]
