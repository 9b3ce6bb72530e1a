"""Call-event templates: their variables, their validation, their rendering, and the texts every integration
starts with.

Pure: text in, text out.
"""

import re
from collections.abc import Mapping
from types import MappingProxyType

from policycore.model import EventType, TemplateFact

VARIABLES = ("customer_phone", "agent_extension", "queue", "call_time", "business_name")
"""What may stand between `{{` and `}}`."""

MAX_TEMPLATE_CHARACTERS = 4096

_PLACEHOLDER = re.compile(r"\{\{[ \t]{0,8}([A-Za-z0-9_]{1,64})[ \t]{0,8}\}\}")


def validate_template(text: str) -> list[str]:
    """Say what is wrong with a template, one plain sentence each; an empty list means it may be saved."""
    if not text.strip():
        return ["The template is empty."]
    if len(text) > MAX_TEMPLATE_CHARACTERS:
        return [f"The template has {len(text)} characters; at most {MAX_TEMPLATE_CHARACTERS} are allowed."]
    names = dict.fromkeys(_PLACEHOLDER.findall(text))
    allowed = ", ".join("{{" + name + "}}" for name in VARIABLES)
    problems = [
        "The variable {{" + name + "}} does not exist; there are " + allowed + "."
        for name in names
        if name not in VARIABLES
    ]
    rest = _PLACEHOLDER.sub("", text)
    if "{" in rest or "}" in rest:
        problems.append(
            "A brace is left over: variables are written {{like_this}}, and braces have no other use."
        )
    return problems


def render(text: str, values: Mapping[str, str]) -> str:
    """Put values in the place of variables, in one pass: braces inside a value stay what they are.

    A variable without a value renders empty.
    """
    return _PLACEHOLDER.sub(lambda match: values.get(match.group(1), ""), text)


# Variables that a phone system may leave out stand where the sentence survives without them.
_SIGNATURE = "\n{{business_name}}"
_DEFAULT_TEXTS: dict[EventType, dict[str, str]] = {
    EventType.MISSED_CALL: {
        "en": "Sorry, we missed your call. Reply here with what you need and our team will get back to you.",
        "ar": "نعتذر، لم نتمكن من الرد على مكالمتك. اكتب لنا هنا ما تحتاجه وسيتواصل معك فريقنا.",
    },
    EventType.VOICEMAIL: {
        "en": "We received your voice message and will listen to it shortly. You can add details here.",
        "ar": "وصلتنا رسالتك الصوتية وسنستمع إليها قريبًا. يمكنك إضافة أي تفاصيل هنا.",
    },
    EventType.CALL_ENDED: {
        "en": "Thank you for your call. If anything is still open, reply here and we will continue.",
        "ar": "شكرًا لاتصالك. إذا بقي أي استفسار فاكتب لنا هنا وسنكمل معك.",
    },
    EventType.QUEUE_CALLBACK: {
        "en": "We noted your request for a call back on {{customer_phone}} and will call you soon.",
        "ar": "سجلنا طلبك معاودة الاتصال على الرقم {{customer_phone}}. سنتصل بك في أقرب وقت ممكن.",
    },
    EventType.AFTER_HOURS: {
        "en": "You reached us outside our working hours. Write to us here and we will answer when we are back.",
        "ar": "تواصلت معنا خارج أوقات العمل. اكتب لنا هنا وسنرد عليك عند بدء الدوام.",
    },
    EventType.QUEUE_EVENT: {
        "en": "Your call is waiting in our support queue. You can also write to us here.",
        "ar": "مكالمتك في قائمة انتظار الدعم. يمكنك أيضًا الكتابة لنا هنا.",
    },
}

DEFAULT_TEMPLATES: Mapping[tuple[EventType, str], TemplateFact] = MappingProxyType(
    {
        (event_type, language): TemplateFact(
            enabled=False, language=language, text=text + _SIGNATURE, purpose="support"
        )
        for event_type, texts in _DEFAULT_TEXTS.items()
        for language, text in texts.items()
    }
)
"""The template a new integration starts with, by event type and language."""
