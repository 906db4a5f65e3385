"""Everything of a run that is not the step itself."""

from .best_model import BestModel
from .detectability_report import DetectabilityReport
from .epoch_seed import EpochSeed
from .evaluation_report import EvaluationReport
from .failure_monitor import FailureMonitor
from .image_panels import ImagePanels
from .kept_images import KeptImages
from .lesion_loss import LesionLossHandler
from .loss_curves import LossCurves
from .progress import Progress
from .run_record import RunRecord, package_versions
from .tracked_run import TrackedRun
from .training_state import TrainingState, checkpoint_data
