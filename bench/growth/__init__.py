"""Measures how the product grows: the same work on small tables and on large ones, in turn, as ratios."""
