"""How the members of a Redis Cluster are named in one URL."""

import pytest

from policycore.counters.address import ClusterAddress, cluster_of


def test_other_schemes_are_no_cluster() -> None:
    for url in ("redis://redis:6379/0", "rediss://redis", "unix:///run/redis.sock", "http://redis", ""):
        assert cluster_of(url) is None


def test_members_are_named_one_after_the_other() -> None:
    found = cluster_of("redis+cluster://one:7000,two.example:7001,[::1]:7002/")
    assert found == ClusterAddress(
        (("one", 7000), ("two.example", 7001), ("::1", 7002)), encrypted=False, username=None, password=None
    )
    assert cluster_of("redis+cluster://one,[::1]") == ClusterAddress(
        (("one", 6379), ("::1", 6379)), encrypted=False, username=None, password=None
    )


def test_secrets_are_unquoted_and_never_shown() -> None:
    found = cluster_of("rediss+cluster://user:p%40ss%2Fword@one:7000")
    assert found is not None and found.encrypted
    assert (found.username, found.password) == ("user", "p@ss/word")
    assert "p@ss" not in repr(found)
    assert cluster_of("redis+cluster://:secret@one:7000") == ClusterAddress(
        (("one", 7000),), encrypted=False, username=None, password="secret"
    )


@pytest.mark.parametrize(
    "rest",
    ["", "one:0", "one:70000", "one:port", "one:7000,", ",one:7000", "one:7000/1", "one:7000?db=1", "one:٧"],
)
def test_what_names_no_cluster_is_refused_without_its_secrets(rest: str) -> None:
    with pytest.raises(ValueError, match=r"^must ") as refused:
        cluster_of(f"redis+cluster://user:hunter2hunter2@{rest}")
    assert "hunter2" not in str(refused.value)
