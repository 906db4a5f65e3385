"""From LE images on disk to virtual DES images on disk."""

from .backends import BackendNetwork
from .exam_folder import ExamFolder
from .exam_loader import BatchInferer, ExamLoader
from .image_folder import ImageFolder
from .save import SaveVirtualDesd
from .save_dicom import SaveDicomd
from .served import ServedImaged
from .write_results import WriteResults
