"""The OpenAI protocol over HTTP, for any backend."""
