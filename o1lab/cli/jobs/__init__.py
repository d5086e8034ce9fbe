"""The verbs that jobs of all kinds share."""
