"""Importers: which rows o1lab understands. :mod:`o1lab.ingest.importers.base` says how to add one."""

from o1lab.ingest.importers.base import IMPORTERS, Found, Importer, Recognise, RowError, TraceText, importer

__all__ = ["IMPORTERS", "Found", "Importer", "Recognise", "RowError", "TraceText", "importer"]
