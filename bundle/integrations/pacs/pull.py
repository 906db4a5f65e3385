"""Objects of a PACS into a tree by study and series, each fetched once."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tqdm.auto import tqdm

from ...dicom.energy import classify
from .ledger import Ledger
from .listener import Door
from .nodes import DicomwebNode, DimseNode
from .pull_dicomweb import DicomwebSource
from .pull_dimse import DimseSource
from .selection import Instance, Selection
from .whole import locked

__all__ = ["Pulled", "pull"]

LEDGER = "pulled.csv"
COLUMNS = ("sop_instance_uid", "study_instance_uid", "series_instance_uid", "state", "reason")


@dataclass
class Pulled:
    """What a pull did: the count of each state, and (SOP Instance UID, reason) of each failure."""

    counts: Counter[str] = field(default_factory=Counter)
    failed: list[tuple[str, str]] = field(default_factory=list)


def pull(
    node: DicomwebNode | DimseNode,
    selection: Selection,
    output_dir: str | os.PathLike,
    only_le: bool = False,
    door: Door | None = None,
) -> Pulled:
    """Fetch what a selection names into ``output_dir/<study>/<series>/<SOP Instance UID>.dcm``.

    A file that is there is not fetched again, so a second call fetches what is missing. ``pulled.csv`` in the folder
    says what became of each object; it names no patient.

    Args:
        node: to ask.
        selection: of objects.
        output_dir: of the tree.
        only_le: leave out objects whose header says that they are no LE image, before they are fetched where the node
            tells enough of them.
        door: where a DIMSE node sends to.

    Raises:
        Unreachable: when the node does not answer the search.
        ValueError: when another process writes to the folder.
    """
    root = Path(output_dir)
    done = Pulled()
    with locked(root):
        for leftover in root.glob("*/*/.*.dcm"):  # of a pull that was killed
            leftover.unlink()
        ledger = Ledger(root / LEDGER, COLUMNS, key=("sop_instance_uid",))

        def note(instance: Instance, state: str, reason: str = "") -> None:
            done.counts[state] += 1
            if state == "failed":
                done.failed.append((instance.sop, reason))
            ledger.add(
                sop_instance_uid=instance.sop,
                study_instance_uid=instance.study,
                series_instance_uid=instance.series,
                state=state,
                reason=reason,
            )

        with _source(node, door) as source:
            wanted = []
            for instance, found in tqdm(source.find(selection), desc="searching", unit="image"):
                if instance is None:
                    done.counts["failed"] += 1
                    done.failed.append(("", "an answer of the node has no proper UID"))
                    continue
                row = ledger.get(instance.sop)
                if instance.path(root).is_file():
                    done.counts["kept"] += 1
                elif only_le and row is not None and row["state"] == "skipped":
                    done.counts["skipped"] += 1
                elif only_le and (reason := _no_le(source.header(instance, found))):
                    note(instance, "skipped", reason)
                else:
                    wanted.append(instance)
            for instance, reason in tqdm(source.fetch(wanted, root), "pulling", total=len(wanted), unit="image"):
                if not reason and only_le and (no_le := _no_le(_header_of(instance.path(root)))):
                    instance.path(root).unlink()
                    note(instance, "skipped", no_le)
                else:
                    note(instance, "failed" if reason else "pulled", reason)
    return done


def _source(node: DicomwebNode | DimseNode, door: Door | None) -> DicomwebSource | DimseSource:
    if isinstance(node, DicomwebNode):
        return DicomwebSource(node)
    return DimseSource(node, door or Door(ae_title=node.calling))


def _header_of(path: Path):
    from ...dicom.files import read_dataset

    return read_dataset(path, pixels=False)


def _no_le(header) -> str:
    """Why an object is known to be no LE image; a header that does not say is no reason."""
    decision = classify(header)
    if decision.taken_for in ("LE", "unknown"):
        return ""
    return f"not an LE image: {decision.reason or f'it is {decision.taken_for}'}"
