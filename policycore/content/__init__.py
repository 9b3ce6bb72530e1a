"""Marketing language: features as data files, and the scorer that finds them in a text."""
