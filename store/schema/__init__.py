"""The schema of a lab's database, as migrations that are only appended."""
