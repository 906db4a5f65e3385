"""What MONAI lacks to bring a contrast-enhanced mammogram from its file to the network and back."""

from .intensity import ContrastStretchd
from .read import CesmReader, EmptySegd, is_image_file, read_image
from .spatial import AffineDraw, AlignedAffined, AreaResized, PadToSquared, RandAlignedAffined
