"""A stand-in for the batch inference, with the same table and the same kind of objects; and a service to be killed."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pandas as pd
import pydicom
from pydicom.uid import generate_uid

DESCRIPTION = "SYNTHETIC virtual DES, not for diagnosis"


def virtual_des_of(ds):
    """The LE inverted, as a derived object of the same study; the same source gives the same UIDs."""
    source = str(ds.SOPInstanceUID)
    if ds.file_meta.TransferSyntaxUID.is_compressed:
        ds.decompress(generate_instance_uid=False)
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=["virtual DES", source])
    ds.SeriesInstanceUID = generate_uid(entropy_srcs=["virtual DES", str(ds.SeriesInstanceUID)])
    ds.SeriesDescription = DESCRIPTION
    ds.ImageType = ["DERIVED", "SECONDARY"]
    ds.add_new(0x0008001C, "CS", "YES")
    ds.PixelData = (4095 - ds.pixel_array).tobytes()
    return ds


def translate(dataset_dir: Path, output_dir: Path) -> None:
    rows = []
    for path in sorted(dataset_dir.iterdir()):
        ds = virtual_des_of(pydicom.dcmread(path))
        output = output_dir / ds.StudyInstanceUID / ds.SeriesInstanceUID / f"{ds.SOPInstanceUID}.dcm"
        output.parent.mkdir(parents=True, exist_ok=True)
        ds.save_as(output)
        rows.append({"image": str(path), "output": str(output), "state": "made", "reason": "", "seconds": 0.1})
    pd.DataFrame(rows).to_csv(output_dir / "results.csv", index=False)


def main() -> None:
    """``fake_translation.py QUEUE NODE PORT``: a service that runs until it is killed."""
    from bundle.integrations.pacs import Service, read_node
    from bundle.integrations.pacs.listener import Door

    def slowly(dataset_dir: Path, output_dir: Path) -> None:
        time.sleep(0.1)
        translate(dataset_dir, output_dir)

    queue, node, port = sys.argv[1:]
    door = Door(port=int(port), ae_title="CESM_TEST")
    with Service(queue, door, read_node(node, calling="CESM_TEST"), slowly, settle=0.05, batch=2, pause=0.2):
        print("ready", flush=True)
        time.sleep(600)


if __name__ == "__main__":
    main()
