"""The Cloud API's literal code table: what each Graph error code means. Pure."""

from collections.abc import Mapping

from sender.backends.wire import Row
from sender.model import Consequence, Outcome

_PAGE = "https://developers.facebook.com/documentation/business-messaging/whatsapp/support/error-codes"
_SEND = "https://developers.facebook.com/documentation/business-messaging/whatsapp/messages/send-messages"
_RFC = "https://www.rfc-editor.org/rfc/rfc9110#section-15"

_A, _R, _U = Outcome.ACCEPTED, Outcome.REJECTED, Outcome.UNKNOWN
_NONE, _PAUSE, _SLOW = Consequence.NONE, Consequence.PAUSE_INSTANCE, Consequence.SLOW_INSTANCE

CODES: Mapping[str, Row] = {
    row.code: row
    for row in (
        Row("cloud_accepted", _A, "The Cloud API took the message.", _SEND),
        Row("cloud_no_message_id", _U, "A success without a message id; it may have been sent.", _SEND),
        Row("cloud_unknown_code", _R, "The Cloud API refused the message.", _PAGE),
        Row("cloud_unknown_code_transient", _U, "A passing failure; the message may have been sent.", _PAGE),
        Row("cloud_unauthorized", _R, "The access token was refused.", _RFC, _PAUSE),
        Row("cloud_rate_limited", _R, "Too many requests.", _RFC, _SLOW),
        Row("cloud_redirected", _R, "The base URL leads elsewhere; redirects are not followed.", _RFC),
        Row("cloud_refused", _R, "The request was refused without an error code.", _RFC),
        Row("cloud_server_failed", _U, "The Cloud API failed; the message may have been sent.", _RFC),
        Row("cloud_answer_cut_short", _U, "The answer was cut short; the message may have been sent.", _SEND),
    )
}
"""Answers that carry no Graph error code, or one that is not in `GRAPH`."""

_TABLE: tuple[tuple[int, Outcome, Consequence, float | None, str], ...] = (
    # Code, outcome, consequence, seconds to wait, meaning.
    (0, _R, _PAUSE, None, "The app could not be authenticated."),
    (1, _U, _NONE, None, "Unknown failure at the Cloud API."),
    (2, _U, _NONE, None, "The Cloud API is unavailable."),
    (3, _R, _PAUSE, None, "The app lacks a capability or permission."),
    (4, _R, _SLOW, None, "The app is over its rate."),
    (10, _R, _PAUSE, None, "The app lacks a permission."),
    (33, _R, _PAUSE, None, "The phone number id is unknown or deleted."),
    (100, _R, _NONE, None, "A parameter was refused."),
    (190, _R, _PAUSE, None, "The access token has expired or is not valid."),
    (200, _R, _PAUSE, None, "The app lacks a permission."),
    (368, _R, _PAUSE, None, "The account is restricted for policy violations."),
    (80007, _R, _SLOW, None, "The business account is over its rate."),
    (130403, _R, Consequence.SUPPRESS_PERSON, None, "The business has blocked this person."),
    (130429, _R, _SLOW, None, "The number is over its throughput."),
    (130472, _R, _NONE, None, "The person is part of an experiment and gets no such message."),
    (130497, _R, _NONE, None, "The business may not message people in this country."),
    (131000, _U, _NONE, None, "The Cloud API failed for an unknown reason."),
    (131005, _R, _PAUSE, None, "Access was denied."),
    (131008, _R, _NONE, None, "A parameter is missing."),
    (131009, _R, _NONE, None, "A parameter's value is not valid."),
    (131016, _U, _NONE, None, "The service is unavailable for a while."),
    (131021, _R, _NONE, None, "Sender and recipient are the same number."),
    (131026, _R, Consequence.NOT_ON_WHATSAPP, None, "The message cannot be delivered to this address."),
    (131030, _R, _NONE, None, "A test number may write to listed recipients only."),
    (131031, _R, _PAUSE, None, "The account is locked."),
    (131037, _R, _PAUSE, None, "The number's display name is not approved."),
    (131042, _R, _PAUSE, None, "Payment for the account failed."),
    (131045, _R, _PAUSE, None, "The number's registration or certificate failed."),
    (
        131047,
        _R,
        Consequence.CLOSE_WINDOW,
        None,
        "More than 24 hours have passed since the person last wrote.",
    ),
    (131048, _R, _PAUSE, None, "The number is restricted because people blocked it or reported it as spam."),
    (131049, _R, _NONE, None, "Not delivered, to keep the person's inbox healthy."),
    (131050, _R, Consequence.STOP_MARKETING, None, "The person stopped marketing from this business."),
    (131051, _R, _NONE, None, "The type of message is not supported."),
    (131053, _R, _NONE, None, "The media could not be uploaded."),
    (131056, _R, Consequence.HOLD_PAIR, 6.0, "Too many messages from this number to this person."),
    (131057, _R, _SLOW, 300.0, "The account is under maintenance."),
    (131062, _R, _NONE, None, "Business-scoped ids cannot be used for this message."),
    (131063, _R, _NONE, None, "Marketing is off for this number on the Cloud API."),
    (131064, _R, _NONE, None, "The account is over its limit for this category of template."),
    (132000, _R, _NONE, None, "The number of template parameters is wrong."),
    (132001, _R, _NONE, None, "The template does not exist in this language."),
    (132005, _R, _NONE, None, "The filled template is too long."),
    (132007, _R, _NONE, None, "The template breaks a policy."),
    (132008, _R, _NONE, None, "A template parameter does not fit."),
    (132012, _R, _NONE, None, "A template parameter has the wrong format."),
    (132015, _R, _NONE, None, "The template is paused for low quality."),
    (132016, _R, _NONE, None, "The template is disabled for low quality."),
    (132018, _R, _NONE, None, "The template's parameters are not valid."),
    (132068, _R, _NONE, None, "The flow is blocked."),
    (132069, _R, _NONE, None, "The flow is throttled."),
    (133004, _U, _NONE, None, "The server is unavailable for a while."),
    (133010, _R, _PAUSE, None, "The number is not registered."),
    (133016, _R, _PAUSE, None, "The number was registered too often and is locked."),
    (134011, _R, _NONE, None, "The terms of payments have not been accepted."),
    (135000, _R, _NONE, None, "The message's parameters caused a general failure."),
    (137000, _R, Consequence.HOLD_PAIR, None, "The person's identity has changed and must be accepted anew."),
)

GRAPH: Mapping[int, Row] = {
    code: Row(f"cloud_{code}", outcome, meaning, _PAGE, consequence, wait)
    for code, outcome, consequence, wait, meaning in _TABLE
}
"""Every code that can come at send time. 200 stands for 200 to 299."""
