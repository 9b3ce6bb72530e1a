"""Dialects in which phone systems report events; one pure parser file each."""
