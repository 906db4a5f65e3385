"""One value an image; means are made in ``bundle.evaluation``."""

from .case_metrics import CaseMetrics
from .image_quality import l1, mse, psnr, ssim, vif
from .loss_means import LossMeans
from .regions import breast_mask, regions
