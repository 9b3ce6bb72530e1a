"""The machine-readable documents: `/openapi.json` and `/postman.json`."""

import msgspec

from edge.answers import HttpAnswer
from edge.api.openapi import openapi_document
from edge.api.postman import postman_collection
from edge.http import HttpRequest


class Documents:
    """Both documents, encoded once."""

    def __init__(self) -> None:
        self._openapi = HttpAnswer(200, msgspec.json.encode(openapi_document()), "ok")
        disposition = (("content-disposition", 'attachment; filename="hubgate.postman_collection.json"'),)
        self._postman = HttpAnswer(200, msgspec.json.encode(postman_collection()), "ok", disposition)

    async def openapi(self, request: HttpRequest) -> HttpAnswer:
        """OpenAPI 3.1 of everything customers and phone systems call or receive."""
        return self._openapi

    async def postman(self, request: HttpRequest) -> HttpAnswer:
        """A Postman collection, version 2.1, for download."""
        return self._postman
