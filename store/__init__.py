"""The lab's database. It knows nothing of what stands above it and takes its path as an argument."""

from store.connection import Store, open_store
from store.errors import StoreError

__all__ = ["Store", "StoreError", "open_store"]
