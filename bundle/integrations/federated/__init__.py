"""Training at several sites that cannot pool their data, through ``monai.fl.client.MonaiAlgo``."""

from .average import average_weights
from .engines import FederatedEvaluator, FederatedTrainer
from .exchanged import check_exchange
