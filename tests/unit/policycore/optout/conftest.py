"""The packaged word lists, compiled once for all tests of this folder."""

import pytest

from policycore.optout.words import WordLists, load, packaged_folder


@pytest.fixture(scope="session")
def optout_words() -> WordLists:
    return load(packaged_folder())
