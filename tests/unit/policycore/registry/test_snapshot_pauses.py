"""Which pauses touch a request, and in what order."""

from policycore.model import PauseFact
from policycore.registry.snapshot import PauseConfig, Snapshot


def pause(scope: str, scope_id: str, number: int = 1) -> PauseConfig:
    return PauseConfig(scope_id, PauseFact(f"pau_{scope}_{scope_id}_{number}", scope, "ops", "", None))


def snapshot(*pauses: PauseConfig) -> Snapshot:
    return Snapshot(1, {}, {}, {}, {}, {}, {}, pauses, {}, {})


def found(held: Snapshot, *ids: str | None) -> list[str]:
    account, instance, integration, person = ids
    return [fact.pause_id for fact in held.pauses_for(account or "", instance, integration, person)]


def test_the_most_general_comes_first_and_each_scope_keeps_its_order() -> None:
    held = snapshot(
        pause("person", "per_1"),
        pause("account", "acc_1", 1),
        pause("integration", "int_1"),
        pause("account", "acc_1", 2),
        pause("instance", "ins_1"),
        pause("platform", ""),
    )
    assert found(held, "acc_1", "ins_1", "int_1", "per_1") == [
        "pau_platform__1",
        "pau_account_acc_1_1",
        "pau_account_acc_1_2",
        "pau_instance_ins_1_1",
        "pau_integration_int_1_1",
        "pau_person_per_1_1",
    ]


def test_what_concerns_others_is_left_out() -> None:
    held = snapshot(pause("account", "acc_2"), pause("instance", "acc_1"), pause("person", "per_2"))
    assert found(held, "acc_1", None, None, None) == []
    assert found(snapshot(), "acc_1", "ins_1", "int_1", "per_1") == []


def test_a_scope_that_is_not_known_holds_everything() -> None:
    assert found(snapshot(pause("continent", "x")), "acc_1", None, None, None) == ["pau_continent_x_1"]
