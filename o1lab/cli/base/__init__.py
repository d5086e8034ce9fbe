"""What the commands share: options, output, lists, completion, progress."""
