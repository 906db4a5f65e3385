"""A made-up CDD-CESM folder with the irregularities of the real one: small breasts, five shapes, odd names, litter."""

import json

import numpy as np
import pandas as pd
from PIL import Image
from scipy import ndimage

from bundle.data.cdd_cesm import write_cdd_cesm
from bundle.data.datalist import read_datalist

SHAPE = (160, 100)
SHIFT = (6, -4)  # what has to be done to DES, in rows and columns
LE_FOLDER, DES_FOLDER = "Low energy images of CDD-CESM", "merged/Subtracted images of CDD-CESM"
CIRCLE = {"name": "circle", "cx": 40, "cy": 70, "r": 9}
SHAPES = [
    CIRCLE,
    {"name": "ellipse", "cx": 40, "cy": 70, "rx": 12, "ry": 6},
    {"name": "polygon", "all_points_x": [30, 50, 50, 30], "all_points_y": [60, 60, 75, 75]},
    {"name": "polyline", "all_points_x": [-2, 50, 50], "all_points_y": [60, 60, 75]},
    {"name": "point", "cx": 40, "cy": 70},
]
COLUMNS = ["Image_name", "Patient_ID", "Side", "Type", "Age", "Breast density (ACR)", "BIRADS", "Findings", "View"]
PATHOLOGY = "Pathology Classification/ Follow up"


def breast(kind, right=False, seed=0):
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    texture = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=SHAPE), 3)
    texture = (texture - texture.min()) / np.ptp(texture)
    inside = ((rows - 78.0) / 62) ** 2 + ((columns - 5) / 65.0) ** 2 < 1
    image = np.where(inside & (columns > 4), 60 + 120 * texture if kind == "DM" else 130 - 60 * texture, 0)
    if kind == "CM":
        image = ndimage.shift(image, (-SHIFT[0], -SHIFT[1]), order=0)
    return np.ascontiguousarray(image[:, ::-1] if right else image).astype(np.uint8)


def save(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path, format="PNG" if path.suffix.lower() == ".png" else "JPEG", quality=95)


def write_pair(root, key, suffix=".jpg", seed=0):
    """``key`` with a ? for the kind of image, e.g. ``P1_L_?_MLO``."""
    for kind, folder in (("DM", LE_FOLDER), ("CM", DES_FOLDER)):
        save(root / folder / (key.replace("?", kind) + suffix), breast(kind, "_R_" in key, seed))


def write_regions(root, regions):
    rows = ['{}.jpg,1,{{}},1,0,"{}",{{}}'.format(name, json.dumps(one).replace('"', '""')) for name, one in regions]
    head = "#filename,file_size,file_attributes,region_count,region_id,region_shape_attributes,region_attributes"
    path = root / "Radiology_hand_drawn_segmentations_v2.csv"
    path.write_text("\n".join([head, *rows]) + "\n", encoding="utf-8")
    return path


def write_workbook(path, rows):
    """``rows``: (image name, density, BI-RADS, findings, pathology)."""
    table = pd.DataFrame(
        [
            [name, 1, "L", "DM", 46, density, birads, findings, "CC", "", 1, pathology]
            for name, density, birads, findings, pathology in rows
        ],
        columns=[*COLUMNS, "Tags", "Machine", PATHOLOGY],
    )
    with pd.ExcelWriter(path) as writer:
        table.to_excel(writer, sheet_name="all", index=False)
    return path


def write_folder(root):
    """Five pairs of five women under irregular names, regions of all shapes, a workbook, and what users leave about."""
    for number, (key, suffix) in enumerate(
        [
            ("P1_L_?_CC", ".jpg"),
            ("P4_L_?_MLO ", ".jpg"),
            ("P99_L_?_MLO_2", ".JPEG"),
            ("P281_L_?_MLO2", ".png"),
            ("P7_R_?_CC", ".JPG"),
        ]
    ):
        write_pair(root, key, suffix, seed=number)
    keys = ["P1_L_CM_CC", "P4_L_CM_MLO", "P99_L_CM_MLO_2", "P281_L_CM_MLO2"]
    write_regions(root, [*zip(keys, SHAPES, strict=False), ("P1_L_DM_CC", CIRCLE), ("P1_L_CM_CC", SHAPES[4])])
    write_workbook(
        root / "Radiology-manual-annotations.xlsx",
        [
            ("P1_L_DM_CC", "C", 4, "Distortion", "Malignant"),
            ("P1_L_CM_CC", "_", "5$2", "Mass $ IMLN", "Malignant"),
            ("P4_L_DM_MLO ", "B", 2, "Masses", "Benign"),
            ("P4_L_CM_MLO ", "_", 1, "Non enhancement ", "Normal"),
            ("P281_L_CM_MLO2", "_", 6, "Mass", "Malignant"),
        ],
    )
    for litter in ("desktop.ini", "~$Radiology manual annotations.xlsx", ".P1_L_DM_CC.jpg", "__MACOSX/P1_L_DM_CC.jpg"):
        (root / litter).parent.mkdir(exist_ok=True)
        (root / litter).write_bytes(b"")
    return root


def convert(root, output, **options):
    path = write_cdd_cesm(root, output, num_workers=options.pop("num_workers", 1), **options)
    datalist = read_datalist(path)
    return {case["case_id"]: case for case in datalist["cases"]}, datalist


def picture(output, relative):
    with Image.open(output / relative) as image:
        return np.asarray(image)
