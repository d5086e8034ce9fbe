"""The embedded language model: continuous batching, its key-value cache, and sampling."""
