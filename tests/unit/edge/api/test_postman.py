"""The Postman collection: the format's frame, the contract's variables, and none that is not declared."""

import json
import re
from collections.abc import Iterator
from typing import Any

from edge.api.postman import postman_collection

COLLECTION = json.loads(json.dumps(postman_collection()))


def requests(items: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for item in items:
        if "item" in item:
            yield from requests(item["item"])
        else:
            yield item


def test_the_format_is_version_2_1() -> None:
    assert COLLECTION["info"]["schema"].endswith("/v2.1.0/collection.json")
    for item in requests(COLLECTION["item"]):
        assert item["name"]
        assert item["request"]["method"] in {"GET", "POST"}
        assert item["request"]["url"]["raw"].startswith("{{base_url}}")
        if item["request"]["method"] == "POST":
            assert isinstance(json.loads(item["request"]["body"]["raw"]), dict)


def test_the_contracts_variables_are_there_and_used() -> None:
    declared = {variable["key"] for variable in COLLECTION["variable"]}
    assert declared == {
        "base_url",
        "api_key",
        "instance_id",
        "phone",
        "threecx_integration_id",
        "threecx_secret",
        "webhook_signing_secret",
        "timestamp",
    }
    text = json.dumps(COLLECTION["item"])
    used = set(re.findall(r"\{\{([a-z_0-9]+)\}\}", text)) | set(re.findall(r"(?:get|set)\('([a-z_]+)'", text))
    assert used == declared
