"""Those who check DICOM for a living: dicom3tools from Debian, and highdicom's tables of the standard."""

from __future__ import annotations

import json
import subprocess
from functools import cache
from importlib.resources import files

from debian import find_program

# dciodvfy's dictionary is older than this attribute
UNKNOWN_YET = "</(0008,001c)> - Attribute with an even group number is not a recognized standard attribute"


def checked(program, *command):
    """Exit status and error lines of a checker of dicom3tools, but for what it cannot know."""
    done = subprocess.run([find_program(program, "dicom3tools"), *command], capture_output=True, check=False)
    lines = (done.stdout + done.stderr).decode("latin-1").splitlines()
    return done.returncode, [line for line in lines if line.startswith("Error") and UNKNOWN_YET not in line]


@cache
def standard(name):
    """A table of the standard that comes with highdicom."""
    return json.loads((files("highdicom") / "_standard" / f"{name}.json").read_text())


def wrong_attributes(ds):
    """Type 1 and 2 attributes that an MG object lacks, in the modules that it must have or has."""
    iod = standard("iod_module_map")[standard("sop_class_iod_map")[ds.SOPClassUID]]
    named = {"voi-lut", "general-reference", "common-instance-reference", "dx-positioning", "x-ray-generation"}
    named |= {"frame-of-reference"} if "FrameOfReferenceUID" in ds else set()
    named |= {"x-ray-collimator"} if "CollimatorShape" in ds else set()
    modules = [one["key"] for one in iod if one["usage"] == "M" or one["key"] in named]
    wrong = []
    for attribute in (one for module in modules for one in standard("module_attribute_map")[module]):
        owners = [ds]
        for parent in attribute["path"]:
            owners = [item for owner in owners for item in owner.get(parent) or []]
        keyword, kind = attribute["keyword"], attribute["type"]
        if kind in "12" and any(keyword not in one or (kind == "1" and one[keyword].is_empty) for one in owners):
            wrong.append((kind, *attribute["path"], keyword))
    return wrong
