"""Poly-energetic beams of dual-energy mammography and what tissue and iodine take out of them.

The numbers lie in ``spectra.json`` beside this file: tube spectra from spekpy, attenuation from xraydb, breast tissue
after Hammerstein et al., Radiology 130 (1979) 485. ``python -m scripts.spectra`` makes it, so that neither package is
needed here.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["MO_MO_26", "RH_AG_34", "W_RH_28", "Beam", "DualEnergySpectrum"]

REFERENCE = 4.5  # cm, the breast behind which beams are characterised; half adipose, half glandular tissue
CHUNK = 16384  # pixels worked on at a time; the buffers of that many fit a core's cache


@dataclass(frozen=True, eq=False)
class Beam:
    """One X-ray beam as an energy-integrating detector sees it.

    Attributes:
        name: anode, filter and kVp.
        kvp: tube voltage in kV.
        mean_energy: in keV, of the photons that reach the detector without a breast.
        energies: of the bins in keV, (n,).
        weights: the share of the detected energy that each bin has without a breast, (n,), sum 1.
        attenuation: of each material, (n,), in 1/cm; that of iodine in cm2/mg.
        quanta: detected per 0.1 mm pixel behind 4.5 cm of half adipose, half glandular tissue; the dose.
    """

    name: str
    kvp: float
    mean_energy: float
    energies: NDArray[np.float64]
    weights: NDArray[np.float64]
    attenuation: Mapping[str, NDArray[np.float64]]
    quanta: float

    def log_attenuation(self, **lengths: ArrayLike) -> NDArray[np.float32]:
        r"""Beer-Lambert over all energies, :math:`-\ln \sum_i w_i \exp(-\sum_m \mu_{mi} t_m)`, exact but for float32.

        Args:
            lengths: by material, along the ray: adipose, gland, skin, muscle, hydroxyapatite in cm, iodine in mg/cm2;
                arrays of one shape, or scalars that hold for every pixel. What is not named is not there.

        Returns:
            -ln of the signal over the open field's, in the arrays' shape, good to 1e-6.

        Raises:
            ValueError: for a material that the beam does not know, and when arrays differ in shape.
        """
        self._check_known(lengths)
        arrays = {material: np.asarray(length) for material, length in lengths.items()}
        scalars = {material: length for material, length in arrays.items() if length.ndim == 0}
        maps = {material: length for material, length in arrays.items() if length.ndim > 0}
        weights = (self.weights * self._transmission(scalars)).astype(np.float32)
        if not maps:
            return -np.log(weights.sum())

        shapes = {length.shape for length in maps.values()}
        if len(shapes) > 1:
            got = ", ".join(f"{material} {length.shape}" for material, length in maps.items())
            raise ValueError(
                f"log_attenuation got maps of different shapes: {got}. Give maps of one shape, or scalars."
            )
        flat = [(self.attenuation[m].astype(np.float32), length.reshape(-1)) for m, length in maps.items()]
        signal = np.empty(flat[0][1].size, dtype=np.float32)
        for start in range(0, signal.size, CHUNK):
            part = slice(start, start + CHUNK)
            _transmit(weights, [(mu, length[part]) for mu, length in flat], signal[part])
        return np.negative(np.log(signal, out=signal), out=signal).reshape(shapes.pop())

    def effective(self, material: str, thickness: float = REFERENCE) -> float:
        """What a little of a material adds to -ln(signal) behind a breast.

        Args:
            material: one of ``attenuation``.
            thickness: of the breast in cm, half adipose, half glandular tissue.

        Returns:
            In 1/cm, of iodine in cm2/mg; that of tissue falls with the thickness, as the beam hardens.

        Raises:
            ValueError: for a material that the beam does not know.
        """
        self._check_known([material])
        weights = self.weights * self._transmission({"adipose": thickness / 2, "gland": thickness / 2})
        return float(weights @ self.attenuation[material] / weights.sum())

    @property
    def open_quanta(self) -> float:
        """Quanta per 0.1 mm pixel without a breast, as many as leave ``quanta`` behind 4.5 cm."""
        behind = self.weights @ self._transmission({"adipose": REFERENCE / 2, "gland": REFERENCE / 2})
        return float(self.quanta / behind)

    def _check_known(self, materials: Iterable[str]) -> None:
        if unknown := sorted(set(materials) - self.attenuation.keys()):
            known = ", ".join(self.attenuation)
            raise ValueError(f"{self.name} got {', '.join(unknown)}; it knows {known}. Name one of these.")

    def _transmission(self, lengths: Mapping[str, Any]) -> NDArray[np.float64]:
        """Of each bin, through the same lengths everywhere."""
        path = [self.attenuation[material] * length for material, length in lengths.items()]
        return np.exp(-np.sum(path, axis=0)) if path else np.ones_like(self.weights)


@dataclass(frozen=True)
class DualEnergySpectrum:
    """A low-energy (LE) and a high-energy (HE) beam and the weight that subtracts them.

    ``DES = weight * ln(LE signal) - ln(HE signal)``: the weight is the contrast of gland against adipose tissue in HE
    over that in LE, so tissue cancels and iodine is bright. As both beams harden, it cancels for one thickness only.

    Attributes:
        name: anode, filter and kVp of both beams.
        le, he: the beams.
    """

    name: str
    le: Beam
    he: Beam

    def weight_at(self, thickness: float) -> float:
        """w that cancels tissue behind a breast of ``thickness`` cm, half adipose, half glandular."""
        contrast_le = self.le.effective("gland", thickness) - self.le.effective("adipose", thickness)
        contrast_he = self.he.effective("gland", thickness) - self.he.effective("adipose", thickness)
        return contrast_he / contrast_le

    @property
    def weight(self) -> float:
        """w at 4.5 cm."""
        return self.weight_at(REFERENCE)

    @property
    def iodine_des(self) -> float:
        """What 1 mg/cm2 of iodine adds to DES at 4.5 cm."""
        return self.he.effective("iodine") - self.weight * self.le.effective("iodine")


def _transmit(
    weights: NDArray[np.float32], lengths: list[tuple[NDArray[np.float32], NDArray]], signal: NDArray[np.float32]
) -> None:
    """Write to ``signal`` what passes the pixels of one chunk; ``lengths`` pairs a material's bins with its pixels."""
    lengths = [(mu, length) for mu, length in lengths if length.any()]
    path, term = np.empty_like(signal), np.empty_like(signal)
    signal[...] = 0
    for i, weight in enumerate(weights):
        path[...] = 0
        for mu, length in lengths:
            np.subtract(path, np.multiply(length, mu[i], out=term, casting="same_kind"), out=path)
        signal += np.multiply(np.exp(path, out=path), weight, out=path)


@cache
def _table() -> dict[str, Any]:
    return json.loads(files(__package__).joinpath("spectra.json").read_text(encoding="utf-8"))


@cache
def _beam(name: str, quanta: float) -> Beam:
    """A beam of the table, with attenuation interpolated to its energies on logarithmic axes."""
    found = _table()["beams"][name]
    energies, signal = np.array(found["energies"]), np.array(found["signal"])
    grid = _table()["attenuation"]
    attenuation = {
        material: np.exp(np.interp(np.log(energies), np.log(grid["energies"]), np.log(values)))
        for material, values in grid.items()
        if material != "energies"
    }
    for array in (energies, weights := signal / signal.sum(), *attenuation.values()):
        array.flags.writeable = False
    return Beam(name, found["kvp"], found["mean_energy"], energies, weights, attenuation, quanta)


def _spectrum(le: str, he: str) -> DualEnergySpectrum:
    """Two beams of the table at 8600 and 7200 quanta."""
    return DualEnergySpectrum(f"{le}, {he}", _beam(le, 8600.0), _beam(he, 7200.0))


RH_AG_34 = _spectrum("Rh/Ag 34 kVp", "Rh + 0.25 mm Cu 49 kVp")
MO_MO_26 = _spectrum("Mo/Mo 26 kVp", "Rh + 0.25 mm Cu 49 kVp")
W_RH_28 = _spectrum("W/Rh 28 kVp", "W + 0.3 mm Cu 49 kVp")
