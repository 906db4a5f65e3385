"""What a person looks at before a training: a page on a datalist, with all that would spoil it."""

from .findings import Finding, Limits
from .study import Audit, write_audit
