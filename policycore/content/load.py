"""Reading of the content features that are shipped with the package. The only file here that touches a
disk.
"""

from importlib.resources import files

from policycore.content.features import ContentFeatures, parse_features
from policycore.content.score import Scorer

LANGUAGES = ("en", "ar")
"""Languages with a phrase file of their own."""


def load_features() -> ContentFeatures:
    """Read `features.toml` and every language's phrases. Raises `FeatureError` if they contradict one
    another.
    """
    folder = files("policycore.content")
    weights = (folder / "features.toml").read_text(encoding="utf-8")
    return parse_features(
        weights, [(folder / f"{name}.toml").read_text(encoding="utf-8") for name in LANGUAGES]
    )


def load_scorer() -> Scorer:
    """A scorer over the shipped features; build it once, when a process starts."""
    return Scorer(load_features())
