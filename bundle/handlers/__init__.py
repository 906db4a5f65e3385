"""Everything of a run that is not the step itself."""

from .lesion_loss import LesionLossHandler
