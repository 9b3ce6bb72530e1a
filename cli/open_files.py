"""Owns how many files and connections a service's process may have open: as many as it is allowed to ask for."""

import resource


def raise_open_files() -> int:
    """Raises the soft limit to the hard one, where the system lets it; returns the soft limit that counts now.

    Only select(2) minds large numbers, and nothing here uses it.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == hard:
        return soft
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (ValueError, OSError):
        # macOS says "unlimited" and grants less; what was there before is no worse than it was.
        return soft
    return hard
