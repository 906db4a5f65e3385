"""What a mammogram's DICOM header says, in the words of this bundle."""

from .headers import laterality, pixel_spacing, view, window
