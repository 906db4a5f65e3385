"""The spectra that the phantom embeds: ``python -m scripts.spectra --output bundle/phantom/spectra.json``.

Tube spectra come from spekpy (Poludniowski et al., Med Phys 48 (2021) 3630), attenuation from xraydb (Elam et al.,
Radiat Phys Chem 63 (2002) 121). Both are needed here only: ``pip install -e ".[spectra]"``.
"""

from __future__ import annotations

import json
import re
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .command_line import call

BEAMS = {  # name: (anode, kVp, filter, its thickness in mm)
    "Rh/Ag 34 kVp": ("Rh", 34, "Ag", 0.03),
    "Mo/Mo 26 kVp": ("Mo", 26, "Mo", 0.03),
    "W/Rh 28 kVp": ("W", 28, "Rh", 0.05),
    "Rh + 0.25 mm Cu 49 kVp": ("Rh", 49, "Cu", 0.25),
    "W + 0.3 mm Cu 49 kVp": ("W", 49, "Cu", 0.3),
}
MATERIALS = {  # name: (g/cm3, mass fractions, source)
    "adipose": (0.93, {"H": 0.112, "C": 0.619, "N": 0.017, "O": 0.251, "P": 0.001}, "Hammerstein 1979"),
    "gland": (1.04, {"H": 0.102, "C": 0.184, "N": 0.032, "O": 0.677, "P": 0.005}, "Hammerstein 1979"),
    "skin": (1.09, {"H": 0.098, "C": 0.178, "N": 0.050, "O": 0.667, "P": 0.007}, "Hammerstein 1979"),
    "muscle": (1.05, {"H": 0.102, "C": 0.143, "N": 0.034, "O": 0.710, "P": 0.011}, "ICRU 44, trace elements as P"),
    "hydroxyapatite": (3.16, {"H": 0.002, "O": 0.414, "P": 0.185, "Ca": 0.399}, "Ca10(PO4)6(OH)2"),
}
CSI = (4.51 * 0.75, {"Cs": 0.511, "I": 0.489})  # g/cm3 of needles that fill 75 %, mass fractions
CSI_THICKNESS = 0.01  # cm
K_EDGE = 33.169  # keV, of iodine
EDGES = np.array([*range(5, 33), K_EDGE, *range(34, 51)], dtype=float)  # of the bins, keV
FINE = 0.1  # keV, the step at which spectra are computed before they are binned
FAINTEST = 1e-6  # a bin with a smaller share of the signal counts as empty


def linear_attenuation(density: float, fractions: dict[str, float], energies: NDArray) -> NDArray:
    """In 1/cm at energies in keV."""
    import xraydb

    return density * sum(share * xraydb.mu_elam(element, energies * 1e3) for element, share in fractions.items())


def attenuation() -> dict[str, Any]:
    """Every material on the common grid: the bins' edges, with a point on either side of the K edge."""
    energies = np.sort([*EDGES[EDGES != K_EDGE], K_EDGE - 0.001, K_EDGE + 0.001])
    table = {name: linear_attenuation(*material[:2], energies) for name, material in MATERIALS.items()}
    table["iodine"] = linear_attenuation(1e-3, {"I": 1.0}, energies)  # 1 mg/cm2
    return {"energies": _rounded(energies), **{name: _rounded(values) for name, values in table.items()}}


def beam(anode: str, kvp: float, filter_: str, thickness: float) -> dict[str, Any]:
    """One tube's spectrum as an energy-integrating CsI detector sees it, with nothing between but air."""
    import spekpy

    tube = spekpy.Spek(targ=anode, kvp=kvp, th=15, dk=FINE, physics="kqp", z=66)
    tube.multi_filter([(filter_, thickness), ("Be", 0.5), ("Air", 650)])
    energies, fluence = tube.get_spectrum()
    absorbed = 1 - np.exp(-linear_attenuation(*CSI, energies) * CSI_THICKNESS)
    signal = fluence * absorbed * energies
    in_bin, _ = np.histogram(energies, EDGES, weights=signal)
    energy_in_bin, _ = np.histogram(energies, EDGES, weights=signal * energies)
    kept = in_bin > FAINTEST * in_bin.sum()
    return {
        "anode": anode,
        "filter": f"{thickness} mm {filter_}",
        "kvp": kvp,
        "hvl": _rounded([tube.get_hvl1()])[0],
        "mean_energy": _rounded([np.average(energies, weights=fluence)])[0],
        "energies": _rounded(energy_in_bin[kept] / in_bin[kept]),
        "signal": _rounded(in_bin[kept] / in_bin[kept].sum()),
    }


def table() -> dict[str, Any]:
    """What the JSON holds.

    Raises:
        ImportError: without spekpy or xraydb.
    """
    try:
        import spekpy  # noqa: F401
        import xraydb  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f"{error.name} is not installed; spectra need spekpy and xraydb. "
            'Install the extra "spectra": pip install -e ".[spectra]"'
        ) from error
    return {
        "about": "Beams and attenuation for the CESM phantom, made by python -m scripts.spectra",
        "sources": {
            "spectra": f"spekpy {version('spekpy')}, physics kqp, anode angle 15 degrees, 0.5 mm Be, 65 cm air",
            "attenuation": f"xraydb {version('xraydb')}, tables of Elam et al. 2002",
            "breast tissue": "Hammerstein et al., Radiology 130 (1979) 485",
            "detector": "0.1 mm CsI filled to 75 %, energy-integrating",
        },
        "units": {
            "energies": "keV, in a beam the mean of each 1 keV bin",
            "signal": "share of the detected energy without a breast",
            "attenuation": "1/cm, of iodine cm2/mg",
            "hvl": "mm Al",
            "mean_energy": "keV, of the photons that reach the detector",
        },
        "materials": {
            name: {"density": density, "mass_fractions": fractions, "source": source}
            for name, (density, fractions, source) in MATERIALS.items()
        },
        "attenuation": attenuation(),
        "beams": {name: beam(*settings) for name, settings in BEAMS.items()},
    }


def spectra(output: str) -> None:
    """Compute the table of beams and attenuation and write it.

    Args:
        output: the JSON file to write; a file that is there is replaced.
    """
    content = table()
    text = json.dumps(content, indent=2)
    text = re.sub(r"\[[^\[\]{}]*\]", lambda numbers: " ".join(numbers[0].split()), text)  # a list on one line
    Path(output).write_text(text + "\n", encoding="utf-8")
    for name, content_of_beam in content["beams"].items():
        print(f"{name}: {len(content_of_beam['energies'])} bins, mean {content_of_beam['mean_energy']:.1f} keV")
    print(output)


def _rounded(values: Any) -> list[float]:
    """To six significant digits, so that the table does not hang on the last bits of a library."""
    return [float(f"{value:.6g}") for value in values]


if __name__ == "__main__":
    try:
        call(spectra)
    except (ImportError, ValueError, OSError) as error:
        raise SystemExit(str(error)) from None
