"""The queue on disk: limits, states, and a kill at every single step on the disk."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import sys
from collections import Counter
from pathlib import Path

import fake_translation
import pydicom
import pytest
from planted_names import PLANTED

from bundle.integrations.pacs import Unreachable
from bundle.integrations.pacs.answer import Answer
from bundle.integrations.pacs.batch_inference import TranslationFailed
from bundle.integrations.pacs.disk_queue import AT_REST, UNDER_WAY, DiskQueue, Limits, QueueFull
from bundle.integrations.pacs.forwarding import Forwarder
from bundle.integrations.pacs.ledger import Ledger
from bundle.integrations.pacs.translation import Translator


def states(queue):
    return {state: queue.waiting(state) for state in (*UNDER_WAY, *AT_REST) if queue.waiting(state)}


def uid_of(path):
    return str(pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID)


def put(queue, path):
    return queue.put(uid_of(path), path.read_bytes)


class RecordingSender:
    """A node that takes what it gets, and a file that says what it got."""

    def __init__(self, record: Path, answer: Answer | Exception = Answer(True)) -> None:  # noqa: B008 - frozen
        self.record, self.answer = record, answer

    def send(self, parcels):
        if isinstance(self.answer, Exception):
            raise self.answer
        with open(self.record, "a") as file:
            file.writelines(f"{parcel.sop}\n" for parcel in parcels)
        return {parcel.sop: self.answer for parcel in parcels}

    def confirm(self, parcels, ask=True):
        return {parcel.sop: self.told for parcel in parcels}

    def sent(self):
        return Counter(self.record.read_text().split()) if self.record.exists() else Counter()


@pytest.fixture
def queue(tmp_path):
    return DiskQueue(tmp_path / "queue")


@pytest.fixture
def sender(tmp_path):
    return RecordingSender(tmp_path / "sent.txt")


class TestQueue:
    def test_an_object_goes_through_and_leaves_nothing_but_its_row(self, queue, sender, le_images):
        sop = uid_of(le_images[0])
        assert put(queue, le_images[0])
        assert states(queue) == {"incoming": [sop]}
        assert queue.file("incoming", sop).read_bytes() == le_images[0].read_bytes()
        Translator(queue, fake_translation.translate).step()
        assert states(queue) == {"outgoing": [sop]}
        assert Forwarder(queue, sender).step()
        assert states(queue) == {}
        (row,) = queue.ledger
        assert (row["sop_instance_uid"], row["state"], {row["result"]: 1}) == (sop, "sent", sender.sent())

    def test_what_was_at_work_waits_again(self, queue, le_images):
        put(queue, le_images[0])
        queue.move(uid_of(le_images[0]), "incoming", "working")
        assert states(DiskQueue(queue.root)) == {"incoming": [uid_of(le_images[0])]}

    def test_the_same_object_is_under_way_once(self, queue, le_images):
        assert put(queue, le_images[0])
        assert not put(queue, le_images[0])

    def test_an_object_that_comes_again_later_is_not_sent_twice(self, queue, sender, le_images):
        for _ in range(2):
            assert put(queue, le_images[0])
            Translator(queue, fake_translation.translate).step()
            Forwarder(DiskQueue(queue.root), sender).step()
            queue = DiskQueue(queue.root)
        assert list(sender.sent().values()) == [1]
        assert states(queue) == {}

    def test_kept_on_demand(self, queue, sender, le_images):
        put(queue, le_images[0])
        Translator(queue, fake_translation.translate).step()
        Forwarder(queue, sender, keep=True).step()
        assert states(queue) == {"done": [uid_of(le_images[0])]}

    @pytest.mark.parametrize(
        ("limits", "text", "fits"),
        [
            (Limits(objects=2), "2 objects of", 2),
            (Limits(bytes=1), "bytes are under way", 1),
            (Limits(free_bytes=2**60), "the disk is full", 0),
        ],
    )
    def test_limits(self, tmp_path, le_images, limits, text, fits):
        queue = DiskQueue(tmp_path, limits)
        taken = 0

        def put_all():
            nonlocal taken
            for path in le_images:
                taken += put(queue, path)

        with pytest.raises(QueueFull, match=text):
            put_all()
        assert len(states(queue).get("incoming", [])) == taken == fits

    def test_what_rests_has_its_own_limit(self, tmp_path, exam):
        queue = DiskQueue(tmp_path, Limits(resting_bytes=1))
        put(queue, next(path for path in exam if path.stem.endswith("_DES")))
        Translator(queue, fake_translation.translate, keep_aside=True).step()
        for again in (queue, DiskQueue(tmp_path, Limits(resting_bytes=1))):
            with pytest.raises(QueueFull, match="look at them and clear them away"):
                put(again, exam[0])
        (aside,) = (tmp_path / "aside").iterdir()
        shutil.rmtree(aside)
        assert put(queue, exam[0])  # cleared away by hand

    def test_only_the_owner_may_look(self, tmp_path):
        (tmp_path / "queue").mkdir(mode=0o755)
        assert DiskQueue(tmp_path / "queue").root.stat().st_mode & 0o777 == 0o700

    def test_a_correction_waits_for_what_is_under_way_and_is_sent_then(self, queue, sender, le_images, tmp_path):
        sop = uid_of(le_images[0])
        ds = pydicom.dcmread(le_images[0])
        ds.PatientID = "CORRECTED"
        ds.save_as(tmp_path / "corrected.dcm")
        put(queue, le_images[0])
        with pytest.raises(QueueFull, match="another object of its SOP instance UID is under way"):
            put(queue, tmp_path / "corrected.dcm")
        for path in (le_images[0], tmp_path / "corrected.dcm", tmp_path / "corrected.dcm"):
            put(queue, path)
            Translator(queue, fake_translation.translate).step()
            assert Forwarder(queue, sender).step()
        assert list(sender.sent().values()) == [2]
        assert [(row["sop_instance_uid"], row["state"]) for row in queue.ledger] == [(sop, "sent")] * 2

    def test_another_node_gets_it_too(self, queue, sender, le_images):
        for node in ("A", "B", "B"):
            queue = DiskQueue(queue.root, node=node)
            put(queue, le_images[0])
            Translator(queue, fake_translation.translate).step()
            Forwarder(queue, sender).step()
        assert list(sender.sent().values()) == [2]

    @pytest.mark.parametrize("sop", ["../../etc/passwd", "", "1.2/3", "1" * 65])
    def test_a_name_that_is_no_uid(self, queue, sop):
        with pytest.raises(ValueError, match="is none"):
            queue.put(sop, lambda: b"x")

    def test_a_disk_that_fails_holds_no_place(self, queue, le_images):
        def broken():
            raise OSError("no space")

        with pytest.raises(OSError, match="no space"):
            queue.put("1.2.3", broken)
        assert queue.put("1.2.3", le_images[0].read_bytes)


def changes_the_disk(event, arguments, root):
    if event == "open":
        return str(arguments[0]).startswith(str(root)) and bool((arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR))
    if event in ("os.remove", "os.rmdir"):  # shutil names no folder here
        return True
    return event in ("os.rename", "os.mkdir", "os.link") and str(arguments[0]).startswith(str(root))


def killed_at(step: int, root: Path, work) -> bool:
    """Do some work in a process of its own that is killed before its ``step``-th change of what lies below
    ``root``; whether it was.
    """
    child = os.fork()
    if child == 0:
        left = [step]

        def hook(event, arguments):
            if changes_the_disk(event, arguments, root):
                left[0] -= 1
                if left[0] == 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        try:
            logging.disable()
            sys.addaudithook(hook)
            work()
        finally:
            os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


class TestKilled:
    def test_at_every_step_nothing_is_lost_and_nothing_sent_twice(self, tmp_path, le_images):
        """What was acknowledged gets its result. It is sent twice only where the kill came between the node's answer
        and its row.
        """
        steps, twice, step = 0, 0, 1
        while True:
            root, taken = tmp_path / f"{step}", tmp_path / f"{step}.taken"
            sender = RecordingSender(tmp_path / f"{step}.sent")

            def work(root=root, taken=taken, sender=sender):
                queue = DiskQueue(root)
                for path in le_images[:2]:
                    put(queue, path)
                    with open(taken, "a") as file:
                        file.write(f"{uid_of(path)}\n")
                Translator(queue, fake_translation.translate).step()
                Forwarder(queue, sender).step()

            killed = killed_at(step, root, work)
            acknowledged = set(taken.read_text().split()) if taken.exists() else set()
            before = sender.sent()
            queue = DiskQueue(root)
            written = {row["result"] for row in queue.ledger if row["state"] == "sent"}
            unwritten = before.keys() - written
            Translator(queue, fake_translation.translate).step()
            Forwarder(queue, sender).step()
            assert states(queue) == {}
            assert list((root / "scratch").iterdir()) == []
            rows = {row["sop_instance_uid"]: row for row in queue.ledger}
            assert acknowledged <= rows.keys()
            assert {row["state"] for row in rows.values()} <= {"sent"}
            assert {row["result"] for row in rows.values()} == sender.sent().keys()
            assert {result for result, count in sender.sent().items() if count > 1} == set(unwritten)
            assert max(sender.sent().values(), default=1) <= 2
            steps, twice = steps + 1, twice + bool(unwritten)
            if not killed:
                break
            step += 1
        assert steps > 25
        assert acknowledged == set(map(uid_of, le_images[:2]))
        assert twice < steps / 5


class TestTranslator:
    def test_other_objects_are_put_aside_unseen_by_the_translation(self, queue, exam, tmp_path):
        seen = []

        def translate(dataset_dir, output_dir):
            seen.extend(path.stem for path in dataset_dir.iterdir())
            fake_translation.translate(dataset_dir, output_dir)

        for path in exam[:3]:  # DES, HE and LE of one view
            put(queue, path)
        Translator(queue, translate).step()
        (le,) = (path for path in exam[:3] if path.stem.endswith("_LE"))
        assert states(queue) == {"outgoing": [uid_of(le)]}  # of the others there is a row, and no pixels
        assert [row["state"] for row in queue.ledger] == ["aside"] * 2
        assert len(seen) == 1

    def test_a_batch_that_fails_is_tried_one_by_one(self, queue, le_images, caplog):
        """One object that ends the whole run takes no other with it."""
        bad = uid_of(le_images[1])

        def translate(dataset_dir, output_dir):
            if (dataset_dir / f"{bad}.dcm").exists():
                raise TranslationFailed("exit status -11")
            fake_translation.translate(dataset_dir, output_dir)

        for path in le_images[:3]:
            put(queue, path)
        translator = Translator(queue, translate, pause=0)
        for _ in range(8):
            translator.step()
        assert set(queue.waiting("outgoing")) == {uid_of(le_images[0]), uid_of(le_images[2])}
        assert states(queue)["incoming"] == [bad]
        assert put(queue, le_images[3])
        translator.step()
        assert uid_of(le_images[3]) in queue.waiting("outgoing")  # it holds up nobody

    def test_a_passing_fault_fails_nothing(self, queue, le_images):
        broken, sizes = True, []

        def translate(dataset_dir, output_dir):
            sizes.append(len(list(dataset_dir.iterdir())))
            if broken:
                raise TranslationFailed("exit status 1 without results.csv")
            fake_translation.translate(dataset_dir, output_dir)

        for path in le_images:
            put(queue, path)
        translator = Translator(queue, translate, pause=0)
        for _ in range(20):
            assert not translator.step()
        assert len(queue.waiting("incoming")) == 8
        broken = False
        while queue.waiting("incoming"):
            translator.step()
        assert len(queue.waiting("outgoing")) == 8
        assert sizes[:5] == [8, 4, 2, 1, 1]
        assert [translator._pause(failures) for failures in (0, 1, 2, 30)] == [0, 0, 0, 0]
        translator.pause = 5
        assert [translator._pause(failures) for failures in (0, 1, 2, 30)] == [0, 5, 10, 300]

    def test_what_failed_among_others_is_tried_alone(self, queue, le_images):
        """A card that runs out of memory fails a batch; the same object alone may do."""
        sizes = []

        def translate(dataset_dir, output_dir):
            sizes.append(len(list(dataset_dir.iterdir())))
            fake_translation.translate(dataset_dir, output_dir)
            table = output_dir / "results.csv"
            if sizes[-1] > 1:
                table.write_text(table.read_text().replace(",made,,", ",failed,out of memory,"))

        for path in le_images[:2]:
            put(queue, path)
        translator = Translator(queue, translate, pause=0)
        for _ in range(3):
            translator.step()
        assert sizes == [2, 1, 1]
        assert len(queue.waiting("outgoing")) == 2

    def test_what_failed_is_put_back_on_demand(self, queue, le_images):
        def translate(dataset_dir, output_dir):
            fake_translation.translate(dataset_dir, output_dir)
            table = output_dir / "results.csv"
            table.write_text(table.read_text().replace(",made,,", ",failed,a reason,"))

        put(queue, le_images[0])
        Translator(queue, translate).step()
        assert states(queue) == {"failed": [uid_of(le_images[0])]}
        assert DiskQueue(queue.root).requeue_failed() == 1
        assert states(queue) == {"incoming": [uid_of(le_images[0])]}

    def test_an_error_of_ours_is_told_without_its_text(self, queue, le_images, caplog):
        def translate(dataset_dir, output_dir):
            raise KeyError(PLANTED[0])

        put(queue, le_images[0])
        Translator(queue, translate).step()
        assert states(queue) == {"incoming": [uid_of(le_images[0])]}
        assert "KeyError" in caplog.text
        assert PLANTED[0] not in caplog.text + (queue.root / "results.csv").read_text()

    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            ({"StudyInstanceUID": "1.2.3"}, "its result belongs to another patient or study"),
            ({"PatientID": "another"}, "its result belongs to another patient or study"),
            ({0x0008001C: "NO"}, "its result does not say Synthetic Data YES"),
        ],
    )
    def test_a_wrong_result_is_not_sent(self, queue, le_images, change, reason):
        def translate(dataset_dir, output_dir):
            fake_translation.translate(dataset_dir, output_dir)
            (path,) = output_dir.rglob("*.dcm")
            ds = pydicom.dcmread(path)
            for key, value in change.items():
                ds[key].value = value
            ds.save_as(path)

        put(queue, le_images[0])
        Translator(queue, translate).step()
        assert queue.waiting("failed") == [uid_of(le_images[0])]
        assert [row["reason"] for row in queue.ledger] == [reason]

    @pytest.mark.parametrize(("state", "rests"), [("skipped", "aside"), ("failed", "failed")])
    def test_what_the_table_says(self, queue, le_images, state, rests):
        def translate(dataset_dir, output_dir):
            fake_translation.translate(dataset_dir, output_dir)
            table = output_dir / "results.csv"
            table.write_text(table.read_text().replace(",made,,", f",{state},a reason,"))

        put(queue, le_images[0])
        Translator(queue, translate).step()
        assert states(queue) == {rests: [uid_of(le_images[0])]}
        assert [row["reason"] for row in queue.ledger] == ["a reason"]

    def test_an_object_that_the_table_forgets(self, queue, le_images):
        def translate(dataset_dir, output_dir):
            fake_translation.translate(dataset_dir, output_dir)
            (output_dir / "results.csv").write_text("image,output,state,reason\n")

        put(queue, le_images[0])
        Translator(queue, translate).step()
        assert [row["reason"] for row in queue.ledger] == ["the translation says nothing about it"]


class TestForwarder:
    @pytest.fixture
    def ready(self, queue, le_images):
        put(queue, le_images[0])
        Translator(queue, fake_translation.translate).step()
        return uid_of(le_images[0])

    def test_a_node_that_is_down_loses_nothing(self, queue, ready, sender):
        forwarder = Forwarder(queue, sender, retries=0)
        sender.answer = Unreachable("the node cannot be reached")
        assert not any(forwarder.step() for _ in range(10))
        assert states(queue) == {"outgoing": [ready]}
        sender.answer = Answer(True)
        assert forwarder.step()
        assert states(queue) == {}

    def test_a_node_that_is_full_is_tried_again(self, queue, ready, sender):
        forwarder = Forwarder(queue, sender, retries=0)
        sender.answer = Answer(False, "out of resources", again=True)
        assert not any(forwarder.step() for _ in range(10))
        assert states(queue) == {"outgoing": [ready]}

    def test_an_object_that_the_node_refuses_fails_in_the_end(self, queue, ready, sender):
        forwarder = Forwarder(queue, sender, retries=2)
        sender.answer = Answer(False, "cannot understand")
        for _ in range(3):
            assert states(queue) == {"outgoing": [ready]}
            forwarder.step()
        assert states(queue) == {"failed": [ready]}
        assert [(row["state"], row["reason"]) for row in queue.ledger] == [("failed", "cannot understand")]

    def test_a_late_commitment_is_waited_for_and_nothing_stored_again(self, queue, ready, sender, caplog):
        """Through a restart, too; one that does not come is a warning and no failure."""
        sender.answer = sender.told = Answer(False, "stored, but no report came", stored=True)
        forwarder = Forwarder(queue, sender, longest=0, late=0)
        for _ in range(6):
            assert forwarder.step()
            forwarder.ask()
        assert states(queue) == {"stored": [ready]}
        assert caplog.text.count("still without its commitment") == 1
        queue = DiskQueue(queue.root)
        forwarder = Forwarder(queue, sender, longest=0)
        assert forwarder.step()
        assert states(queue) == {"stored": [ready]}
        sender.told = Answer(True)
        forwarder.ask()
        assert states(queue) == {}
        assert [row["state"] for row in queue.ledger] == ["sent"]
        assert list(sender.sent().values()) == [1]

    def test_what_the_node_lost_is_sent_again(self, queue, ready, sender):
        sender.answer, sender.told = Answer(False, stored=True), Answer(False, "no such object")
        forwarder = Forwarder(queue, sender, longest=0)
        forwarder.step()
        forwarder.ask()
        assert states(queue) == {"outgoing": [ready]}
        sender.answer = Answer(True)
        forwarder.step()
        assert states(queue) == {}
        assert list(sender.sent().values()) == [2]


class TestLedger:
    COLUMNS = ("sop", "state")

    def test_the_last_row_of_a_key_counts_and_a_torn_one_does_not(self, tmp_path):
        path = tmp_path / "table.csv"
        ledger = Ledger(path, self.COLUMNS, key=("sop",))
        ledger.add(sop="1.1", state="failed")
        ledger.add(sop="1.2", state="a\nb, c")
        ledger.add(sop="1.1", state="sent")
        with open(path, "a") as file:
            file.write('1.3,"se')
        again = Ledger(path, self.COLUMNS, key=("sop",))
        assert list(again) == [{"sop": "1.2", "state": "a b, c"}, {"sop": "1.1", "state": "sent"}]
        assert path.read_text() == 'sop,state\n1.2,"a b, c"\n1.1,sent\n'

    def test_another_table_is_not_touched(self, tmp_path):
        path = tmp_path / "table.csv"
        path.write_text("a,b,c\n1,2,3\n")
        with pytest.raises(ValueError, match=r"is another table: its columns are .* Move it away"):
            Ledger(path, self.COLUMNS, key=("sop",))
        assert path.read_text() == "a,b,c\n1,2,3\n"
