"""Dialogs that share a frame and a style; escape cancels."""

from o1lab.widgets.dialogs.confirm import ConfirmDialog
from o1lab.widgets.dialogs.dialog import Dialog
from o1lab.widgets.dialogs.pick import Choice, ListDialog, PickDialog, Search, among
from o1lab.widgets.dialogs.preview import PreviewDialog
from o1lab.widgets.dialogs.prompt import PromptDialog

__all__ = [
    "Choice",
    "ConfirmDialog",
    "Dialog",
    "ListDialog",
    "PickDialog",
    "PreviewDialog",
    "PromptDialog",
    "Search",
    "among",
]
