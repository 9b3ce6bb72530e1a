"""The sentences of a walk through a 3CX connection, in English and Arabic: what was found, and what to do about it.

Pure. Every key has both languages; a test compares their variables.
"""

from collections.abc import Mapping
from string import Formatter
from types import MappingProxyType

LANGUAGES = ("en", "ar")

_PLACE = {
    "name_ok": ("The name of {place} resolves.", "اسم {place} معروف."),
    "name_failed": (
        "The name of {place} cannot be resolved: correct the address, or its DNS entry.",
        "تعذر معرفة عنوان الاسم في {place}: صحح العنوان أو سجل DNS.",
    ),
    "address_refused": (
        (
            "{place} leads to a private address, which is refused: use a public one, or allow its range with"
            " HUBGATE_ALLOWED_PRIVATE_RANGES."
        ),
        "{place} يشير إلى عنوان خاص مرفوض: استعمل عنوانًا عامًا أو اسمح بنطاقه في HUBGATE_ALLOWED_PRIVATE_RANGES.",
    ),
    "bad_request": (
        "{place} is no address that can be asked: correct it.",
        "{place} ليس عنوانًا صالحًا: صححه.",
    ),
    "tls_ok": ("The connection to {place} is made.", "تم الاتصال بـ {place}."),
    "tls_plain": ("{place} is reached, without TLS.", "تم الوصول إلى {place} دون TLS."),
    "tls_failed": (
        (
            "The certificate of {place} is not valid for its name, has expired, or lacks its chain: renew it with the"
            " whole chain."
        ),
        "شهادة {place} لا توافق الاسم أو انتهت أو تنقصها السلسلة: جددها مع السلسلة كاملة.",
    ),
    "connect_failed": (
        "Nothing takes connections at {place} ({why}): check that it runs, its port, and the firewall.",
        "لا شيء يقبل الاتصال عند {place} ({why}): تحقق من تشغيله ومن المنفذ وجدار الحماية.",
    ),
    "no_sender": (
        "No sender is connected, so that {place} could not be tried: see hubgate doctor.",
        "لا مُرسِل متصلًا، فلم يمكن فحص {place}: انظر hubgate doctor.",
    ),
    "before": ("Not tried, because the step before failed.", "لم يُجرَّب لأن الخطوة السابقة فشلت."),
    "answer_ok": ("{place} answers (HTTP {status}).", "{place} يجيب (HTTP {status})."),
    "answer_failed": (
        "{place} takes the connection and gives no proper answer ({why}): look at its log.",
        "{place} يقبل الاتصال ولا يعطي جوابًا سليمًا ({why}): انظر في سجله.",
    ),
    "not_gateway": (
        (
            "Something else than this gateway answers at {place} (HTTP {status}): correct the address, or let the proxy"
            " pass it on."
        ),
        "ما يجيب عند {place} ليس هذه البوابة (HTTP {status}): صحح العنوان أو إعداد الوسيط.",
    ),
    "public_not_named": (
        "The public address was not named; name it with --public-url to have it tried.",
        "لم يُذكر العنوان العام؛ اذكره بـ --public-url ليُفحص.",
    ),
    "destination_none": (
        "Customers' messages go nowhere: give the integration a destination if agents are to see them.",
        "رسائل العملاء لا تذهب إلى مكان: حدد وجهة للربط إن أردت أن يراها الموظفون.",
    ),
    "destination_missing": (
        "Customers' messages have no address to go to: give the connector the webhook address that 3CX shows.",
        "لا عنوان تذهب إليه رسائل العملاء: أعطِ الموصل عنوان الويبهوك الذي يعرضه 3CX.",
    ),
    "destination_inside": (
        "Customers' messages stay in the built-in inbox, which needs no connection.",
        "رسائل العملاء تبقى في الصندوق الداخلي الذي لا يحتاج إلى اتصال.",
    ),
}

_ACCESS = {
    "integration_ok": ("The integration and the 3CX module are on.", "الربط ووحدة 3CX مفعّلان."),
    "integration_off": (
        "The integration is disabled: hubgate integration update {id} --enabled.",
        "الربط معطل: hubgate integration update {id} --enabled.",
    ),
    "module_off": (
        "The 3CX module is off for the account: hubgate account update {account} --threecx.",
        "وحدة 3CX مغلقة للحساب: hubgate account update {account} --threecx.",
    ),
    "secret_none": (
        "There is no webhook secret that counts: hubgate integration rotate-secret {id}.",
        "لا يوجد سر ويبهوك ساري المفعول: hubgate integration rotate-secret {id}.",
    ),
    "secret_unused": (
        "Nobody has called with the webhook secret yet: check address and secret in 3CX, and post a test event.",
        "لم يتصل أحد بسر الويبهوك بعد: راجع العنوان والسر في 3CX وأرسل حدث تجربة.",
    ),
    "secret_used": ("The webhook secret was last used at {when}.", "آخر استعمال لسر الويبهوك في {when}."),
    "turned_away_none": (
        "Nobody was turned away within the last day.",
        "لم يُرفض أحد خلال اليوم الماضي.",
    ),
    "turned_away": (
        "{count} requests from {source} were turned away within the last day ({reason}): {remedy}",
        "رُفض {count} طلبًا من {source} خلال اليوم الماضي ({reason}): {remedy}",
    ),
}

_SENDING = {
    "instance_none": (
        "The integration has no default instance: hubgate integration update {id} --default-instance ins_….",
        "لا رقم افتراضيًا للربط: hubgate integration update {id} --default-instance ins_….",
    ),
    "instance_open": ("The default instance {name} is open.", "الرقم الافتراضي {name} متصل."),
    "instance_closed": (
        "The default instance {name} is {state}: connect it at its back end, then hubgate instance probe {instance}.",
        "الرقم الافتراضي {name} حالته {state}: صِله عند مزوّده ثم hubgate instance probe {instance}.",
    ),
    "instance_held": (
        "The default instance {name} is held back for now: {why}",
        "الرقم الافتراضي {name} محتجز مؤقتًا: {why}",
    ),
    "window_open": (
        "At least one person may be written to now: they wrote within the conversation window.",
        "يمكن الكتابة الآن إلى شخص واحد على الأقل: كتب ضمن نافذة المحادثة.",
    ),
    "window_closed": (
        (
            "Nobody has written to this number within the conversation window, so that nobody may be written to:"
            " write to it from a mobile."
        ),
        "لم يكتب أحد إلى هذا الرقم ضمن نافذة المحادثة فلا يجوز الكتابة إلى أحد: اكتب إليه من جوال.",
    ),
    "switches_ok": (
        "Replies, customers' messages and call events are switched as this connection needs them.",
        "الردود ورسائل العملاء وأحداث المكالمات مفعّلة.",
    ),
    "switches_off": (
        "Switched off: {off}. hubgate integration update {id} switches them on.",
        "مغلق: {off}. يفعّله hubgate integration update {id}.",
    ),
    "templates_on": ("Templates that send: {on}.", "القوالب المفعّلة: {on}."),
    "templates_none": (
        (
            "Call events are on, but no template is, so that nothing is sent: hubgate integration set-template {id}"
            " missed_call --enabled."
        ),
        (
            "أحداث المكالمات مفعّلة ولا قالب مفعّلًا فلا يُرسل شيء: hubgate integration set-template {id} missed_call"
            " --enabled."
        ),
    ),
    "templates_unused": (
        "Call events are off; templates do not matter.",
        "أحداث المكالمات مغلقة، فلا أثر للقوالب.",
    ),
}

_TRYING = {
    "phone_not_named": (
        "No number was named to try a message with: --test-phone +9665….",
        "لم يُذكر رقم لتجربة رسالة: --test-phone +9665….",
    ),
    "message_allowed": (
        "A message to the test number would be sent now; --send-test sends it.",
        "رسالة إلى رقم التجربة تُرسل الآن لو طُلب ذلك بـ --send-test.",
    ),
    "message_sent": (
        "The test message was handed to WhatsApp ({state}).",
        "سُلّمت رسالة التجربة إلى واتساب ({state}).",
    ),
    "message_pending": (
        "The test message is under way, and nobody knows yet what became of it ({state}).",
        "رسالة التجربة في الطريق ولا يُعرف بعد مآلها ({state}).",
    ),
    "message_refused": (
        "A message to the test number is refused ({reason}): {why}",
        "تُرفض رسالة إلى رقم التجربة ({reason}): {why}",
    ),
    "message_failed": (
        "The test message was allowed and did not reach WhatsApp ({state}): look at the instance's back end.",
        "سُمح برسالة التجربة ولم تصل إلى واتساب ({state}): انظر في مزوّد الرقم.",
    ),
    "event_not_sent": (
        "No test event was posted; --send-test posts one.",
        "لم يُرسل حدث تجربة؛ يرسله --send-test.",
    ),
    "event_nowhere": (
        "There is no JSON endpoint to post a test event to.",
        "لا عنوان JSON يُرسل إليه حدث تجربة.",
    ),
    "event_taken": ("The destination took the test event.", "قبلت الوجهة حدث التجربة."),
    "event_refused": (
        "The destination did not take the test event (HTTP {status}): {why}",
        "لم تقبل الوجهة حدث التجربة (HTTP {status}): {why}",
    ),
}

_REMEDIES = {
    "remedy_secret": ("correct the secret there.", "صحح السر هناك."),
    "remedy_query": (
        "switch the token on with --query-token, or send the header.",
        "فعّل الـ token بـ --query-token أو أرسل الترويسة.",
    ),
    "remedy_address": (
        "if that is your PBX, allow its address with --allow.",
        "إن كان هذا سنترالك فاسمح بعنوانه بـ --allow.",
    ),
    "remedy_signature": (
        "correct how the request is signed, or its clock.",
        "صحح توقيع الطلب أو ساعته.",
    ),
    "remedy_other": ("see hubgate log security.", "انظر hubgate log security."),
}

_TEST = {
    "test_message": (
        "This is a test message of hubgate. The connection works.",
        "هذه رسالة تجربة من hubgate. الربط يعمل.",
    ),
    "public_place": ("the public address", "العنوان العام"),
    "destination_place": ("the destination", "الوجهة"),
}

SENTENCES: Mapping[str, tuple[str, str]] = MappingProxyType(
    _PLACE | _ACCESS | _SENDING | _TRYING | _REMEDIES | _TEST
)
"""English and Arabic, by key."""


def sentence(language: str, key: str, /, **values: object) -> str:
    """A sentence in a language; English for one that is not spoken here. Raises KeyError for a variable left out."""
    text = SENTENCES[key][LANGUAGES.index(language) if language in LANGUAGES else 0].format(**values)
    return text[:1].upper() + text[1:]


def variables(text: str) -> frozenset[str]:
    """The variables in a sentence."""
    return frozenset(name for _, name, _, _ in Formatter().parse(text) if name)
