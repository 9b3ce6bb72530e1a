"""Reads the answers of one connection, one exchange at a time, within bounds on everything that may be endless.

No socket here: bytes go in, an `HttpAnswer` or a `TransportFailure` comes out. Once an answer's head has come, whatever
goes wrong afterwards makes it an incomplete answer; before that, it is a failure after writing.
"""

from collections.abc import Mapping
from typing import Any

import httptools

from sender.model import Exchange, FailureKind, HttpAnswer, TransportFailure

MOST_HEADS = 16
"""Interim heads before an answer: there is one `100 Continue`, perhaps some `103 Early Hints`."""

_MOST_HEADERS = 128
_HEAD_BYTES = 65_536
_FRAMING_FACTOR = 2
_FRAMING_BYTES = 1_048_576
"""What an answer may weigh with everything around it, before its connection ends: much, but not without end."""

_KEPT: Mapping[bytes, str] = {b"retry-after": "retry-after", b"date": "date", b"content-type": "content-type"}


class _EndlessError(Exception):
    """There are too many heads, or too much around the answer."""


class _NotHttpError(Exception):
    """What came is not an answer to what was asked."""


class AnswerReader:
    """One for each connection. `begin`, then `feed` until it returns True; then `found` and `reusable` hold."""

    def __init__(self, answer_bytes: int) -> None:
        self._answer_bytes = answer_bytes
        self._most_bytes = _FRAMING_FACTOR * answer_bytes + _FRAMING_BYTES
        self.found: Exchange | None = None
        self.reusable = True
        self._body: bytes | bytearray = b""
        self._kept: dict[str, str] = {}
        self._encoded = self._keep = self._until_end = False
        self._bytes = self._heads = self._headers = self._status = 0
        self._parser: Any = httptools.HttpResponseParser(self)
        # As browsers and other clients have it: one line end too short harms nobody here, because an answer
        # decides about nothing but its own connection, and that ends with whatever stands behind an answer.
        self._parser.set_dangerous_leniencies(
            lenient_optional_cr_before_lf=True, lenient_spaces_after_chunk_size=True
        )

    def begin(self) -> None:
        """Counts anew, for the answer to the next request."""
        self.found = None
        self._bytes = self._heads = self._status = 0

    def feed(self, data: bytes) -> bool:
        """Takes what came. True if the exchange is over, with what it ended in in `found`."""
        self._bytes += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self.reusable = False
            if self.found is None:
                endless = isinstance(error.__context__, _EndlessError)
                self._break(FailureKind.CONNECTION_LOST if endless else FailureKind.PROTOCOL_ERROR)
        if self.found is not None:
            return True
        if self._bytes > self._most_bytes or (not self._status and self._bytes > _HEAD_BYTES):
            self._break(FailureKind.CONNECTION_LOST)
            return True
        return False

    def end(self, *, orderly: bool) -> None:
        """Nothing more comes; `orderly` if the other side said so. Sets `found` if it was not there yet."""
        self.reusable = False
        if self.found is None:
            if self._status and orderly and self._until_end:
                self._finish(complete=True)
            else:
                self._break(FailureKind.CONNECTION_LOST)

    def expire(self) -> None:
        """The time is over. Sets `found`."""
        self._break(FailureKind.TIMED_OUT)

    def close(self) -> None:
        """Lets go of the parser, which holds this object."""
        self.reusable = False
        self._parser = None

    def on_message_begin(self) -> None:
        """Called by the parser, as are all of these."""
        if self.found is not None:
            raise _NotHttpError
        self._begin_head()

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers += 1
        if self._headers > _MOST_HEADERS:
            raise _EndlessError
        if self._status:
            return  # a trailer
        name = name.lower()
        kept = _KEPT.get(name)
        if kept is not None:
            # The first one holds.
            self._kept.setdefault(kept, value.decode("utf-8", "surrogateescape"))
        elif name == b"content-length":
            self._until_end = False
        elif name == b"transfer-encoding":
            coding = value.strip().lower()
            self._until_end = not coding.endswith(b"chunked")
            self._encoded = self._encoded or coding != b"chunked"
        elif name == b"content-encoding":
            self._encoded = self._encoded or value.strip().lower() != b"identity"

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status >= 200:
            self._status = status
            self._keep = self._parser.should_keep_alive()
            return
        # Nobody asked for another protocol.
        if status < 100 or status == 101:
            raise _NotHttpError
        self._heads += 1
        if self._heads > MOST_HEADS:
            raise _EndlessError

    def on_body(self, piece: bytes) -> None:
        body = self._body
        if not body:
            self._body = piece
        elif isinstance(body, bytearray):
            body += piece
        else:
            # Most bodies come in one piece; many pieces must not be copied again and again.
            self._body = bytearray(body) + piece
        if len(self._body) > self._answer_bytes:
            self.reusable = False
            self._finish(complete=False)
            raise _EndlessError

    def on_message_complete(self) -> None:
        if self._status:
            self.reusable = self._keep
            self._finish(complete=True)

    def _begin_head(self) -> None:
        self._status = self._headers = 0
        self._kept = {}
        self._body = b""
        self._encoded = self._keep = False
        self._until_end = True

    def _break(self, kind: FailureKind) -> None:
        self.reusable = False
        if self._status:
            self._finish(complete=False)
        else:
            self.found = TransportFailure(kind, bytes_written=True)

    def _finish(self, *, complete: bool) -> None:
        body = bytes(self._body[: self._answer_bytes])
        self.found = HttpAnswer(self._status, self._kept, body, complete and not self._encoded)
