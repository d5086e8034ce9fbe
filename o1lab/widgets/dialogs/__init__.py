"""Dialogs that share a frame and a style; escape cancels."""

from o1lab.widgets.dialogs.dialog import ConfirmDialog, Dialog, GoDialog, PreviewDialog, ScrollingDialog
from o1lab.widgets.dialogs.pick import Choice, ListDialog, PickDialog, Search, among
from o1lab.widgets.dialogs.prompt import PromptDialog

__all__ = [
    "Choice",
    "ConfirmDialog",
    "Dialog",
    "GoDialog",
    "ListDialog",
    "PickDialog",
    "PreviewDialog",
    "PromptDialog",
    "ScrollingDialog",
    "Search",
    "among",
]
