"""The objects of a folder to a PACS, each until the node confirmed it."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import sleep
from typing import Protocol

from tqdm.auto import tqdm

from .answer import Answer, Parcel, read_parcel
from .commitment import CommitmentReports
from .ledger import Ledger
from .listener import Door, Listener
from .nodes import DicomwebNode, DimseNode, Unreachable
from .push_dicomweb import StowSender
from .push_dimse import StoreSender
from .whole import locked

__all__ = ["Pushed", "Sender", "push", "sender_to"]

LEDGER = "pushed.csv"
COLUMNS = ("sop_instance_uid", "node", "state", "reason", "path", "sha256")


class Sender(Protocol):
    """Sends objects to one node."""

    def send(self, parcels: Sequence[Parcel]) -> dict[str, Answer]:
        """The answer for each SOP Instance UID; ``Unreachable`` when nothing could be sent."""

    def confirm(self, parcels: Sequence[Parcel], ask: bool = True) -> dict[str, Answer]:
        """The same of objects that the node has stored, without sending them."""


@dataclass
class Pushed:
    """What a push did: the count of each state, and (path, reason) of each failure."""

    counts: Counter[str] = field(default_factory=Counter)
    failed: list[tuple[str, str]] = field(default_factory=list)


@contextmanager
def sender_to(
    node: DicomwebNode | DimseNode, commitment: bool = True, door: Door | None = None, patience: float = 60.0
) -> Iterator[Sender]:
    """A sender to a node; with a door, one that hears reports of storage commitment that the node opens to us."""
    if isinstance(node, DicomwebNode):
        yield StowSender(node)
        return
    reports = CommitmentReports()
    if door is None or not commitment:
        yield StoreSender(node, commitment, reports, patience)
        return
    with Listener(door, report=reports.handle):
        yield StoreSender(node, commitment, reports, patience)


def push(
    node: DicomwebNode | DimseNode,
    folder: str | os.PathLike,
    any_object: bool = False,
    batch: int = 16,
    commitment: bool = True,
    door: Door | None = None,
    retries: int = 3,
    pause: float = 2.0,
    patience: float = 60.0,
) -> Pushed:
    """Send the DICOM files of a folder, at any depth. ``pushed.csv`` in it says what became of each at each node; a
    second call sends what the node has not confirmed, or what was made anew since; of what is stored there it asks
    only for the commitment.

    Args:
        node: to send to.
        folder: of files; other formats in it are left alone.
        any_object: send also what does not say that it is synthetic data.
        batch: objects an association or request.
        commitment: see :class:`StoreSender`.
        door: where the node may report storage commitment to.
        retries: further attempts at what may yet succeed.
        pause: seconds before the first of them, doubled each time.
        patience: seconds to wait for a report of storage commitment.

    Raises:
        FileNotFoundError: when there is no such folder.
        ValueError: when another process pushes from it.
    """
    root = Path(folder)
    if not root.is_dir():
        raise FileNotFoundError(f"{root} is no folder. Give the one that the batch wrote.")
    done = Pushed()
    with locked(root):
        ledger = Ledger(root / LEDGER, COLUMNS, key=("sop_instance_uid", "node", "path"))

        def note(path: Path, sop: str, state: str, reason: str = "") -> None:
            name = path.relative_to(root).as_posix()
            done.counts[state] += 1
            if state in ("failed", "refused", "stored"):
                done.failed.append((name, reason))
            ledger.add(
                sop_instance_uid=sop, node=str(node), state=state, reason=reason, path=name, sha256=hashes.get(path, "")
            )

        def answered(parcel: Parcel, answer: Answer) -> None:
            state = "confirmed" if answer.confirmed else "stored" if answer.stored else "failed"
            note(parcel.path, parcel.sop, state, answer.reason)

        waiting, stored = [], []
        hashes: dict[Path, str] = {}
        seen: dict[str, Path] = {}
        at_node = {  # the last one counts: a node has one object of a UID
            row["sop_instance_uid"]: (row["state"], row["sha256"])
            for row in ledger
            if row["node"] == str(node) and row["state"] in ("confirmed", "stored")
        }
        paths = sorted(path for path in root.rglob("*") if path.is_file() and not path.name.startswith("."))
        for path in tqdm(paths, "looking through the files", unit="file"):
            try:
                parcel = read_parcel(path)
            except ValueError as error:
                note(path, "", "failed", str(error))
                continue
            if parcel is None:
                continue
            if parcel.sop in seen:
                note(path, parcel.sop, "refused", f"the same SOP instance UID as {seen[parcel.sop].relative_to(root)}")
                continue
            seen[parcel.sop] = path
            with open(path, "rb") as file:
                hashes[path] = hashlib.file_digest(file, "sha256").hexdigest()
            if not (parcel.synthetic or any_object):
                note(path, parcel.sop, "refused", "it does not say Synthetic Data YES; --any sends it nevertheless")
            elif at_node.get(parcel.sop) == ("confirmed", hashes[path]):
                done.counts["kept"] += 1
            elif at_node.get(parcel.sop) == ("stored", hashes[path]):
                stored.append(parcel)
            else:
                waiting.append(parcel)
        with (
            sender_to(node, commitment, door, patience) as sender,
            tqdm(total=len(waiting), desc="pushing", unit="image") as bar,
        ):
            down = ""
            try:
                told = sender.confirm(stored) if stored else {}
            except Unreachable as error:
                told = dict.fromkeys((parcel.sop for parcel in stored), Answer(False, str(error), stored=True))
            for parcel in stored:
                answered(parcel, told[parcel.sop])
            while waiting:
                some, waiting = waiting[:batch], waiting[batch:]
                try:
                    answers = {} if down else _send(sender, some, retries, pause)
                except Unreachable as error:  # for so long that the rest has to wait for the next call
                    answers, down = {}, str(error)
                for parcel in some:
                    answered(parcel, answers.get(parcel.sop, Answer(False, down)))
                    bar.update()
    return done


def _send(sender: Sender, parcels: list[Parcel], retries: int, pause: float) -> dict[str, Answer]:
    """The last answer to each parcel, after some attempts at those that may yet succeed."""
    answers: dict[str, Answer] = {}
    for attempt in range(retries + 1):
        left = [parcel for parcel in parcels if parcel.sop not in answers or answers[parcel.sop].again]
        if not left:
            break
        if attempt:
            sleep(pause * 2 ** (attempt - 1))
        try:
            answers |= sender.send(left)
        except Unreachable:
            if attempt == retries and not answers:
                raise
    unsent = Answer(False, "the node could no longer be reached", again=True)
    return {parcel.sop: answers.get(parcel.sop, unsent) for parcel in parcels}
