"""To and from a PACS: ``python -m scripts.pacs pull | push | serve``.

A node is ``http(s)://HOST/dicom-web`` (DICOMweb), ``AE_TITLE@HOST:PORT`` (the classic network), or a JSON file with the
fields of one, for TLS and more. Passwords stand in ``~/.netrc``, a bearer token in ``$CESM_PACS_TOKEN``.
"""

from __future__ import annotations

import logging
import signal
import threading
from collections import Counter
from pathlib import Path
from typing import Any

from bundle.integrations.pacs import DicomwebNode, DimseNode, Selection, Service, read_node
from bundle.integrations.pacs import pull as pull_objects
from bundle.integrations.pacs import push as push_objects
from bundle.integrations.pacs.batch_inference import BatchInference
from bundle.integrations.pacs.disk_queue import Limits
from bundle.integrations.pacs.listener import Door
from bundle.integrations.pacs.nodes import read_address
from bundle.networks.weights import default_model

from .command_line import call

ROOT = Path(__file__).resolve().parents[1]
MIB = 2**20
SHOWN = 50


def _finish(what: str, counts: Counter[str], failed: list[tuple[str, str]], table: Path) -> None:
    counted = ", ".join(f"{count} {state}" for state, count in sorted(counts.items())) or "nothing"
    print(f"{what}: {counted} ({table})")
    if failed:
        width = max(len(name) for name, _ in failed[:SHOWN])
        print("\n".join(f"  {name:{width}}  {reason}" for name, reason in failed[:SHOWN]))
        if len(failed) > SHOWN:
            print(f"  and {len(failed) - SHOWN} more")
        print("The same call tries them again.")
        raise SystemExit(1)


def _door(node: DicomwebNode | DimseNode, listen: str | None, insecure: bool) -> Door | None:
    """Where a node sends to during a pull or a push; its own AE title may call."""
    if listen is None or isinstance(node, DicomwebNode):
        return None
    host, port = read_address(listen)
    return Door(
        host,
        port,
        ae_title=node.calling,
        ae_titles=[node.ae_title],
        cert_file=node.cert_file,
        key_file=node.key_file,
        ca_file=node.ca_file if node.cert_file else None,
        insecure=insecure,
    )


def pull(
    node: str,
    output_dir: str,
    study: str = "",
    dates: str = "",
    patient_id: str = "",
    accession: str = "",
    modality: str = "MG",
    only_le: bool = False,
    listen: str = "127.0.0.1:11112",
    calling: str | None = None,
    insecure: bool = False,
) -> None:
    """Fetch images into output_dir/<study>/<series>/<SOP Instance UID>.dcm; what is there is not fetched again.

    Args:
        node: to ask.
        output_dir: of the tree; its pulled.csv says what became of each object.
        study: Study Instance UID.
        dates: of studies, YYYYMMDD or YYYYMMDD-YYYYMMDD.
        patient_id: of the PACS.
        accession: number of the PACS.
        modality: of series.
        only_le: leave out what is known to be no low-energy image.
        listen: HOST:PORT that a DIMSE node sends to, as it is registered there.
        calling: our AE title; null takes SEG_CYCLEGAN.
        insecure: speak with other machines without TLS.
    """
    target = read_node(node, calling=calling, insecure=insecure or None)
    selection = Selection(study, dates, patient_id, accession, modality)
    done = pull_objects(target, selection, output_dir, only_le=only_le, door=_door(target, listen, insecure))
    if not done.counts:
        raise SystemExit("The node has nothing of this selection.")
    _finish("pull", done.counts, done.failed, Path(output_dir) / "pulled.csv")


def push(
    node: str,
    folder: str,
    any: bool = False,
    batch: int = 16,
    commitment: bool = True,
    listen: str | None = None,
    calling: str | None = None,
    insecure: bool = False,
    retries: int = 3,
) -> None:
    """Send the DICOM files of a folder that say Synthetic Data YES; a second call sends what was not confirmed.

    Args:
        node: to send to.
        folder: of files; its pushed.csv says what became of each.
        any: send also what does not say that it is synthetic.
        batch: objects an association or request.
        commitment: ask a DIMSE node for storage commitment where it offers that.
        listen: HOST:PORT that it may report to, as it is registered there.
        calling: our AE title; null takes SEG_CYCLEGAN.
        insecure: speak with other machines without TLS.
        retries: further attempts at what may yet succeed.
    """
    target = read_node(node, calling=calling, insecure=insecure or None)
    door = _door(target, listen, insecure)
    done = push_objects(target, folder, any, batch=batch, commitment=commitment, door=door, retries=retries)
    _finish("push", done.counts, done.failed, Path(folder) / "pushed.csv")


def serve(
    queue: str,
    to: str,
    ckpt_path: str | None = None,
    host: str = "127.0.0.1",
    port: int = 11112,
    ae_title: str = "SEG_CYCLEGAN",
    ae_titles: Any = (),
    cert_file: str | None = None,
    key_file: str | None = None,
    ca_file: str | None = None,
    insecure: bool = False,
    keep: bool = False,
    commitment: bool = True,
    device: str | None = None,
    overrides: Any = None,
    batch: int = 32,
    settle: float = 2.0,
    max_object_mib: int = 512,
    max_objects: int = 2000,
    max_queue_mib: int = 50 * 1024,
    max_resting_mib: int = 50 * 1024,
    max_associations: int = 10,
    keep_aside: bool = False,
    requeue_failed: bool = False,
    commitment_hours: float = 24.0,
) -> None:
    """Receive images by C-STORE and send a virtual DES of each low-energy one to a node, until told to end.

    Args:
        queue: folder of what is under way; a restart goes on with it.
        to: the node that gets the results.
        ckpt_path: the weights; null takes models/model.pt of a training, else those that ship.
        host: to listen on; one that other machines reach takes ae_titles and a certificate.
        port: to listen on.
        ae_title: ours; callers have to name it.
        ae_titles: that may call, such as PACS,MAMMO1.
        cert_file: our certificate: TLS.
        key_file: its key.
        ca_file: callers must have a certificate of one of these.
        insecure: speak with other machines without TLS.
        keep: keep source and result in the queue once the node confirmed the result.
        commitment: ask a DIMSE node for storage commitment where it offers that.
        device: cpu, cuda, cuda:N; null leaves it to the config.
        overrides: of the inference's config, such as "{'batch_size': 4}".
        batch: images a translation.
        settle: seconds to wait for the rest of an exam.
        max_object_mib: largest object.
        max_objects: under way; beyond, objects are refused as out of resources.
        max_queue_mib: under way.
        max_resting_mib: put aside, failed and kept.
        max_associations: at the same time.
        keep_aside: keep also the images that are known to be no low-energy ones; their rows stay in any case.
        requeue_failed: try again what failed before.
        commitment_hours: warn about a result that waits for its storage commitment for longer; it waits on.
    """
    node = read_node(to, calling=ae_title, insecure=insecure or None)
    door = Door(
        host,
        port,
        ae_title=ae_title,
        ae_titles=[str(title) for title in (ae_titles if isinstance(ae_titles, list | tuple) else [ae_titles])],
        cert_file=cert_file,
        key_file=key_file,
        ca_file=ca_file,
        insecure=insecure,
        max_associations=max_associations,
        object_bytes=max_object_mib * MIB,
    )
    stop = threading.Event()
    settings = ({} if device is None else {"device": device}) | (overrides or {})
    translate = BatchInference(
        ROOT,
        Path(ckpt_path or default_model(".")),
        log=Path(queue) / "translation.log",
        options=[text for key, value in settings.items() for text in (f"--{key}", str(value))],
        stopped=stop.is_set,
    )
    translate.check()
    limits = Limits(max_objects, max_queue_mib * MIB, max_resting_mib * MIB)
    for ending in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, lambda *_: stop.set())
    service = Service(
        queue,
        door,
        node,
        translate,
        limits,
        keep=keep,
        commitment=commitment,
        settle=settle,
        batch=batch,
        stop=stop,
        keep_aside=keep_aside,
        requeue_failed=requeue_failed,
        commitment_hours=commitment_hours,
    )
    with service:
        print(f"{ae_title} listens on {host}:{service.listener.port}; results go to {node}")
        stop.wait()
        print("stopping; the same call goes on")


def main() -> None:
    """The command, with one line for what is wrong."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        call(pull, push, serve)
    except ModuleNotFoundError as error:
        raise SystemExit(f'{error}. Install the extra: pip install -c constraints.txt -e ".[pacs]"') from None
    except (ValueError, OSError) as error:
        raise SystemExit(str(error)) from None
    except KeyboardInterrupt:
        print("stopped; the same call goes on")
        raise SystemExit(130) from None


if __name__ == "__main__":
    main()
