"""The chain reader: text with moves, folds, a selection and a map."""
