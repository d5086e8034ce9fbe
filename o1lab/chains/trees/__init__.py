"""Search trees, and walks through them as long thoughts."""
