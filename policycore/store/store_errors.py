"""Errors of whoever works on a store as a whole: moving, backing up, putting back.

PolicyCoreError
├── StoreFenced       the store must not be used as it is
├── StoreOutdated     the store's schema is older than the program
├── StoreRefused      what was asked for is not possible in the state the stores are in
└── StoreDiffers      a copy is not what it was made from
"""

from policycore.errors import PolicyCoreError


class StoreFenced(PolicyCoreError):
    """The store must not be used as it is; the text is a sentence for the operator."""

    reason = "STORE_FENCED"


class StoreOutdated(PolicyCoreError):
    """The store's schema is older than the program; the text is a sentence for the operator."""

    reason = "STORE_OUTDATED"


class StoreRefused(PolicyCoreError):
    """Not possible in the state the stores are in; nothing was changed. The text is a sentence for the operator."""

    reason = "STORE_REFUSED"


class StoreDiffers(PolicyCoreError):
    """A copy is not what it was made from, or cannot be made; nothing of it is left. The text names the table."""

    reason = "STORE_DIFFERS"
