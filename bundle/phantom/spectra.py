"""Dual-energy beams, each reduced to effective coefficients behind a breast of 4.5 cm.

Spectra from spekpy 2.5.4, attenuation from xraydb 4.5.8, breast tissues after Hammerstein et al., Radiology 130 (1979)
485. The numbers were computed once and are kept here, so that neither package is needed.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp

__all__ = ["MO_MO_26", "RH_AG_34", "W_RH_28", "DualEnergySpectrum"]


@dataclass(frozen=True)
class DualEnergySpectrum:
    """A low-energy (LE) and a high-energy (HE) beam and the weight that subtracts them.

    ``DES = weight * ln(LE signal) - ln(HE signal)``: the weight is the contrast of gland against adipose tissue in HE
    over that in LE, so tissue cancels and iodine is bright.

    Attributes:
        name: anode, filter and kVp of both beams.
        kvp_le, kvp_he: tube voltage in kV.
        energy_le, energy_he: mean photon energy in keV.
        adipose_le, gland_le, adipose_he, gland_he: linear attenuation in 1/cm.
        weight: w of the subtraction.
        iodine_des: what 1 mg/cm2 of iodine adds to DES.
        iodine_le: what 1 mg/cm2 of iodine adds to -ln(LE signal); computed for Rh/Ag 34 kVp, used for all.
        quanta_le, quanta_he: detected quanta per 0.1 mm pixel behind 4.5 cm of half adipose, half glandular tissue.
    """

    name: str
    kvp_le: float
    kvp_he: float
    energy_le: float
    energy_he: float
    adipose_le: float
    gland_le: float
    adipose_he: float
    gland_he: float
    weight: float
    iodine_des: float
    iodine_le: float = 0.021
    quanta_le: float = 8600.0
    quanta_he: float = 7200.0

    @property
    def iodine_he(self) -> float:
        """What 1 mg/cm2 of iodine adds to -ln(HE signal); it follows from the other three."""
        return self.iodine_des + self.weight * self.iodine_le

    @property
    def open_le(self) -> float:
        """LE quanta per 0.1 mm pixel without a breast, as many as leave ``quanta_le`` behind 4.5 cm."""
        return self.quanta_le * exp(4.5 * (self.adipose_le + self.gland_le) / 2)

    @property
    def open_he(self) -> float:
        """HE quanta per 0.1 mm pixel without a breast, as many as leave ``quanta_he`` behind 4.5 cm."""
        return self.quanta_he * exp(4.5 * (self.adipose_he + self.gland_he) / 2)


RH_AG_34 = DualEnergySpectrum(
    name="Rh/Ag 34 kVp, Rh + 0.25 mm Cu 49 kVp",
    kvp_le=34.0,
    kvp_he=49.0,
    energy_le=19.8,
    energy_he=36.6,
    adipose_le=0.434,
    gland_le=0.647,
    adipose_he=0.229,
    gland_he=0.285,
    weight=0.266,
    iodine_des=0.0165,
)

MO_MO_26 = DualEnergySpectrum(
    name="Mo/Mo 26 kVp, Rh + 0.25 mm Cu 49 kVp",
    kvp_le=26.0,
    kvp_he=49.0,
    energy_le=16.2,
    energy_he=36.6,
    adipose_le=0.586,
    gland_le=0.916,
    adipose_he=0.229,
    gland_he=0.285,
    weight=0.171,
    iodine_des=0.0167,
)

W_RH_28 = DualEnergySpectrum(
    name="W/Rh 28 kVp, W + 0.3 mm Cu 49 kVp",
    kvp_le=28.0,
    kvp_he=49.0,
    energy_le=18.7,
    energy_he=37.9,
    adipose_le=0.488,
    gland_le=0.743,
    adipose_he=0.225,
    gland_he=0.279,
    weight=0.211,
    iodine_des=0.0167,
)
