"""Everything of a run that is not the step itself."""

from .adaptive_gamma import AreaGamma, DualGamma, RatioGamma
from .averaged_generator import AveragedGenerator
from .best_model import BestModel
from .copy_monitor import CopyMonitor
from .detectability_report import DetectabilityReport
from .epoch_seed import EpochSeed
from .evaluation_report import EvaluationReport
from .failure_monitor import FailureMonitor
from .image_panels import ImagePanels
from .kept_images import KeptImages
from .learning_rate_schedule import LearningRateSchedule
from .lesion_discriminator import LesionDiscriminatorHandler
from .lesion_loss import LesionLossHandler
from .loss_curves import LossCurves
from .own_discriminator import OwnDiscriminator
from .paired_loss import PairedLossHandler
from .progress import Progress
from .run_record import RunRecord, package_versions
from .structural_loss import StructuralLossHandler
from .tracked_run import TrackedRun
from .training_state import TrainingState, checkpoint_data
