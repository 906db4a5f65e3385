"""The words that travel between data, engine and handlers: keys of a batch, of an output and of an image's metadata.

They are plain strings, so that whatever is saved with them loads under ``torch.load(weights_only=True)``.
"""

from __future__ import annotations

__all__ = ["BatchKeys", "CaseKeys", "LossTerms", "MetaKeys", "OutputKeys"]


class BatchKeys:
    """Images of one batch, each (B, 1, H, W) float32 in [0, 1]; ``SEG`` holds 0 and 1 alone."""

    LE = "le"
    DES = "des"
    SEG = "seg"
    IMAGE = "image"  # inference alone: the LE image under MONAI's own name
    PRED = "pred"  # inference alone: the virtual DES under MONAI's own name


class CaseKeys:
    """What a datalist says of one pair."""

    CASE_ID = "case_id"
    PATIENT_ID = "patient_id"
    LATERALITY = "laterality"
    VIEW = "view"
    MALIGNANT = "malignant"


class OutputKeys:
    """The six images of an iteration, each (B, 1, H, W), and the two losses that are stepped on."""

    VIRTUAL_DES = "virtual_des"  # G(x)
    VIRTUAL_LE = "virtual_le"  # F(y)
    CYCLE_LE = "cycle_le"  # F(G(x))
    CYCLE_DES = "cycle_des"  # G(F(y))
    IDENTITY_DES = "identity_des"  # G(y)
    IDENTITY_LE = "identity_le"  # F(x)
    LOSS = "loss"  # the generators' sum
    LOSS_DISC_DES = "loss_disc_des"
    LOSS_DISC_LE = "loss_disc_le"


class LossTerms:
    """Terms of Eq 7 and of further losses; each appears in an output as ``loss_<term>``, weighted as in the sum."""

    ADVERSARIAL_DES = "adversarial_des"
    ADVERSARIAL_LE = "adversarial_le"
    CYCLE = "cycle"
    IDENTITY = "identity"
    LESION_CYCLE = "lesion_cycle"
    LESION_IDENTITY = "lesion_identity"
    PAIRED = "paired"  # G(x) against y; not of the paper, as the next two
    PAIRED_LE = "paired_le"  # F(y) against x
    STRUCTURAL = "structural"  # one minus the structural similarity of G(x) and y


class MetaKeys:
    """Metadata that the reader attaches to an image, beside MONAI's own."""

    LATERALITY = "laterality"  # "L", "R" or "" where the file does not say
    VIEW = "view"  # "CC", "MLO" or ""
    WINDOW_CENTER = "window_center"  # in the units of the stored image after rescaling; NaN without a window
    WINDOW_WIDTH = "window_width"
    PIXEL_SPACING = "pixel_spacing"  # (row, column) in mm; NaN where the file does not say
