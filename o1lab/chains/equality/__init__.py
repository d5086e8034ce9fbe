"""What two answers have in common: read them as what they are, and compare them as that."""
