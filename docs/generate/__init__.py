"""The reference pages of the documentation, written from the program while the site is built."""
