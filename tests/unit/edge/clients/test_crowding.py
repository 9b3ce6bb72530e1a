"""Who may be carried to the policy core, by what is under way and by what was refused lately."""

from edge.clients.crowding import CROWDED_SECONDS, Crowding


def test_one_caller_and_all_together_have_their_bounds() -> None:
    crowding = Crowding(most=3, most_of_one=2)
    assert [crowding.enter("hot", 0.0) for _ in range(3)] == [True, True, False]
    assert not crowding.full
    assert crowding.enter("other", 0.0)
    assert crowding.full
    crowding.leave("hot")
    assert not crowding.full
    assert crowding.enter("hot", 0.0)


def test_a_caller_who_was_refused_is_answered_here_for_a_moment_and_nobody_else_is() -> None:
    crowding = Crowding(most=9, most_of_one=9)
    crowding.refused("hot", 10.0)
    assert not crowding.enter("hot", 10.0)
    assert crowding.enter("other", 10.0)
    assert not crowding.enter("hot", 10.0 + CROWDED_SECONDS * 0.9)
    assert crowding.enter("hot", 10.0 + CROWDED_SECONDS)
    assert crowding.enter("hot", 10.0), "it is over, and nothing of it is remembered"


def test_callers_without_number_are_not_remembered_without_bound() -> None:
    crowding = Crowding(most=5_000, most_of_one=1)
    for number in range(5_000):
        crowding.refused(f"caller-{number}", 10.0)
    carried = [crowding.enter(f"caller-{number}", 10.0) for number in range(5_000)]
    assert carried[0] is False
    assert carried[-1] is True
    crowding.refused("late", 11.0)
    assert not crowding.enter("late", 11.0), "those whose time is over make room"
