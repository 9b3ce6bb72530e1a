"""What a fault is given to work with."""

import random
from dataclasses import dataclass

from faults.acts import Company
from faults.load import Client
from faults.world import World


@dataclass(slots=True)
class Scene:
    """One round. `seconds` is how long the company works; `whole`: faults last as long as they are meant to."""

    world: World
    company: Company
    client: Client
    rng: random.Random
    seconds: float
    whole: bool
