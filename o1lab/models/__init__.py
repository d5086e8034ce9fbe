"""Base models on this machine: the embedded student, local folders, hub snapshots.

Nothing here imports torch.
"""

from o1lab.models.base import check_folder, resolve_base, tokenizer_file
from o1lab.models.student import STUDENT, STUDENT_LICENCE, STUDENT_NAME, STUDENT_ORIGIN

__all__ = [
    "STUDENT",
    "STUDENT_LICENCE",
    "STUDENT_NAME",
    "STUDENT_ORIGIN",
    "check_folder",
    "resolve_base",
    "tokenizer_file",
]
