"""One value an image; means are made in ``bundle.evaluation``."""

from .case_metrics import CaseMetrics
from .columns import background_bias, columns
from .image_metric import ImageMetric
from .image_quality import l1, mse, psnr, ssim, vif
from .lesion import enhancement_missed, invented_area, invented_count, lesion_area, lesion_cnr, lesion_contrast
from .loss_means import LossMeans
from .regions import breast_mask, regions
