"""Owns the lines that tell agents why a reply did not go out: which reasons there are, and their words.

Pure. 3CX shows an agent no more than a failed tick, whatever its provider answers. So the reason comes as one more
message into the same chat, marked as the gateway's own.
"""

from collections.abc import Mapping
from enum import StrEnum

from policycore.ledger import MessageState
from policycore.model import Decision
from policycore.reasons import ReasonCode, Verdict

MARK = "[Gateway]"
"""How every line begins, in every language: agents look for it, and rules of a phone system can."""

FALLBACK_LANGUAGE = "en"
_QUOTED_CHARACTERS = 40


class Why(StrEnum):
    """The reasons agents are told apart by what they can do about them."""

    WINDOW_CLOSED = "conversation_window_closed"
    SUPPRESSED = "recipient_suppressed"
    PAUSED = "sending_paused"
    CONTENT = "policy_violation"
    QUOTA = "quota_exceeded"
    THROTTLED = "sending_throttled"
    NOT_CONNECTED = "instance_not_connected"
    UNKNOWN_NUMBER = "unknown_business_number"
    PHONE = "invalid_phone"
    EMPTY = "missing_message_text"
    TOO_LONG = "message_too_long"
    FILES = "attachments_not_supported"
    PURPOSE = "message_purpose_not_allowed"
    SWITCHED_OFF = "outbound_disabled"
    UNAVAILABLE = "service_unavailable"
    REFUSED = "gateway_send_failed"
    TOO_LATE = "not_sent_in_time"


_OF_REASON: Mapping[ReasonCode, Why] = {
    ReasonCode.MODULE_NOT_ENABLED: Why.SWITCHED_OFF,
    ReasonCode.OUTBOUND_DISABLED: Why.SWITCHED_OFF,
    ReasonCode.MISSING_PHONE: Why.PHONE,
    ReasonCode.INVALID_PHONE: Why.PHONE,
    ReasonCode.MISSING_MESSAGE_TEXT: Why.EMPTY,
    ReasonCode.MESSAGE_TOO_LONG: Why.TOO_LONG,
    ReasonCode.ATTACHMENTS_NOT_SUPPORTED: Why.FILES,
    ReasonCode.PURPOSE_NOT_ALLOWED: Why.PURPOSE,
    ReasonCode.PURPOSE_MISSING: Why.PURPOSE,
    ReasonCode.RECIPIENT_SUPPRESSED: Why.SUPPRESSED,
    ReasonCode.WINDOW_NEVER_OPENED: Why.WINDOW_CLOSED,
    ReasonCode.WINDOW_EXPIRED: Why.WINDOW_CLOSED,
    ReasonCode.PLATFORM_PAUSED: Why.PAUSED,
    ReasonCode.ACCOUNT_PAUSED: Why.PAUSED,
    ReasonCode.INSTANCE_PAUSED: Why.PAUSED,
    ReasonCode.INTEGRATION_PAUSED: Why.PAUSED,
    ReasonCode.PERSON_PAUSED: Why.PAUSED,
    ReasonCode.CONTENT_MARKETING: Why.CONTENT,
    ReasonCode.COOL_DOWN_ACTIVE: Why.THROTTLED,
    ReasonCode.DAILY_QUOTA_SPENT: Why.QUOTA,
    ReasonCode.MONTHLY_QUOTA_SPENT: Why.QUOTA,
    ReasonCode.INSTANCE_NOT_CONNECTED: Why.NOT_CONNECTED,
    ReasonCode.INSTANCE_UNKNOWN: Why.UNKNOWN_NUMBER,
    ReasonCode.INSTANCE_RATE_LIMITED: Why.THROTTLED,
    ReasonCode.PAIR_RATE_LIMITED: Why.THROTTLED,
    ReasonCode.WEBHOOK_RATE_LIMITED: Why.THROTTLED,
}

_OF_STATE: Mapping[MessageState, Why] = {
    MessageState.REJECTED: Why.REFUSED,
    MessageState.FAILED: Why.REFUSED,
    MessageState.LAPSED: Why.TOO_LATE,
}

_TEXTS: Mapping[Why, Mapping[str, str]] = {
    Why.WINDOW_CLOSED: {
        "en": "Not sent: the customer has not written here recently, and WhatsApp replies are only possible for a"
        " limited time after their message. The customer must write first.",
        "ar": "لم تُرسَل: لم يكتب العميل هنا مؤخرًا، والرد على واتساب متاح لمدة محدودة بعد رسالته."
        " يجب أن يكتب العميل أولًا.",
    },
    Why.SUPPRESSED: {
        "en": "Not sent: this customer opted out of messages, or was blocked from them. They can write START to lift"
        " their own opt-out.",
        "ar": "لم تُرسَل: طلب هذا العميل عدم مراسلته، أو حُظرت مراسلته. يمكنه كتابة «ابدأ» لإلغاء طلبه.",
    },
    Why.PAUSED: {
        "en": "Not sent: sending is paused. Please ask your administrator.",
        "ar": "لم تُرسَل: الإرسال متوقف مؤقتًا. يرجى سؤال المسؤول.",
    },
    Why.CONTENT: {
        "en": "Not sent: the text reads as advertising, which is not allowed here. Please write it otherwise.",
        "ar": "لم تُرسَل: يبدو النص دعائيًا، وهذا غير مسموح هنا. يرجى كتابته بطريقة أخرى.",
    },
    Why.QUOTA: {
        "en": "Not sent: the messages of this day or month are used up. Please ask your administrator.",
        "ar": "لم تُرسَل: استُنفد رصيد رسائل هذا اليوم أو الشهر. يرجى سؤال المسؤول.",
    },
    Why.THROTTLED: {
        "en": "Not sent: too many messages at once. Please wait a minute and send it again.",
        "ar": "لم تُرسَل: رسائل كثيرة في وقت واحد. يرجى الانتظار دقيقة ثم إعادة الإرسال.",
    },
    Why.NOT_CONNECTED: {
        "en": "Not sent: WhatsApp is not connected at present. Please try again later, or tell your administrator.",
        "ar": "لم تُرسَل: واتساب غير متصل حاليًا. يرجى المحاولة لاحقًا أو إبلاغ المسؤول.",
    },
    Why.UNKNOWN_NUMBER: {
        "en": "Not sent: the number you write from is not connected to WhatsApp. Please tell your administrator.",
        "ar": "لم تُرسَل: الرقم الذي تكتب منه غير مربوط بواتساب. يرجى إبلاغ المسؤول.",
    },
    Why.PHONE: {
        "en": "Not sent: the customer's number cannot be read. Please write it in full, with the country code.",
        "ar": "لم تُرسَل: تعذرت قراءة رقم العميل. يرجى كتابته كاملًا مع رمز الدولة.",
    },
    Why.EMPTY: {
        "en": "Not sent: the message has no text.",
        "ar": "لم تُرسَل: الرسالة بلا نص.",
    },
    Why.TOO_LONG: {
        "en": "Not sent: the message is too long. Please send it in shorter parts.",
        "ar": "لم تُرسَل: الرسالة طويلة جدًا. يرجى إرسالها على أجزاء أقصر.",
    },
    Why.FILES: {
        "en": "Not sent: files and pictures cannot be sent from here. Please send the text alone.",
        "ar": "لم تُرسَل: لا يمكن إرسال الملفات والصور من هنا. يرجى إرسال النص وحده.",
    },
    Why.PURPOSE: {
        "en": "Not sent: the connection states no purpose that is allowed. Please tell your administrator.",
        "ar": "لم تُرسَل: لا يحدد الربط غرضًا مسموحًا به. يرجى إبلاغ المسؤول.",
    },
    Why.SWITCHED_OFF: {
        "en": "Not sent: replies are switched off. Please ask your administrator.",
        "ar": "لم تُرسَل: الردود موقوفة. يرجى سؤال المسؤول.",
    },
    Why.UNAVAILABLE: {
        "en": "Not sent: the gateway cannot decide safely at present. Please send it again in a minute.",
        "ar": "لم تُرسَل: لا تستطيع البوابة اتخاذ قرار آمن حاليًا. يرجى إعادة الإرسال بعد دقيقة.",
    },
    Why.REFUSED: {
        "en": "Not delivered: WhatsApp did not accept or could not deliver the message.",
        "ar": "لم تصل: لم يقبل واتساب الرسالة أو تعذر عليه توصيلها.",
    },
    Why.TOO_LATE: {
        "en": "Not sent: the message could not be sent in time, and will not be. Please send it again if it is still"
        " needed.",
        "ar": "لم تُرسَل: تعذر إرسال الرسالة في وقتها ولن تُرسَل. يرجى إعادة إرسالها إن بقيت لازمة.",
    },
}


def why_refused(decision: Decision) -> Why:
    """The reason for a decision that refused. What is wrong with the connection itself goes before all else."""
    if any(each.reason is ReasonCode.INSTANCE_UNKNOWN and not each.shadow for each in decision.findings):
        return Why.UNKNOWN_NUMBER
    known = _OF_REASON.get(decision.reason)
    if known is not None:
        return known
    return Why.UNAVAILABLE if decision.verdict is Verdict.DEFER else Why.CONTENT


def why_failed(state: MessageState, error_code: str) -> Why | None:
    """The reason for a message that was allowed and came to nothing; None if it has not."""
    known = _OF_STATE.get(state)
    return Why.SUPPRESSED if known is not None and error_code == Why.SUPPRESSED.value else known


def line(why: Why, language: str, about: str = "") -> str:
    """The line in the language (`en` or `ar`; else English). Of `about`, the text of a message that failed later, the
    beginning is quoted.
    """
    texts = _TEXTS[why]
    written = f"{MARK} {texts.get(language) or texts[FALLBACK_LANGUAGE]}"
    quoted = " ".join(about.split())
    if not quoted:
        return written
    if len(quoted) > _QUOTED_CHARACTERS:
        quoted = quoted[:_QUOTED_CHARACTERS].rstrip() + "\u2026"
    return f"{written} «{quoted}»"
