"""To and from a PACS: pull, push, and a receiver that answers each LE image with a virtual DES."""

from .nodes import DicomwebNode, DimseNode, Unreachable, read_node
from .pull import pull
from .push import push
from .selection import Selection
from .serve import Service
