"""The words around what agents read, in the languages of an integration. Pure data.

Brackets tell the gateway's words from the customer's. `{…}` are filled in by `policycore.agent_text`.
"""

from collections.abc import Mapping

DEFAULT_LANGUAGE = "en"

EN: Mapping[str, str] = {
    "image": "[Image]",
    "video": "[Video]",
    "audio": "[Audio]",
    "voice": "[Voice note]",
    "voice_seconds": "[Voice note, {length}]",
    "document": "[Document]",
    "document_named": "[Document: {name}]",
    "sticker": "[Sticker]",
    "once": "[View once: open it on the business's phone]",
    "location": "[Location]",
    "contact": "[Contact]",
    "contacts": "[Contacts]",
    "tapped": "[Chose]",
    "form": "[Form]",
    "order": "[Order]",
    "items": "items: {count}",
    "poll": "[Poll]",
    "poll_answer": "[Poll answer]",
    "product": "[Product]",
    "event": "[Event]",
    "invitation": "[Group invitation]",
    "other": "[A message that can only be seen on the business's phone]",
    "empty": "[Empty message]",
    "reply_to": "[Reply to “{quote}”]",
    "reacted": "[Reacted {emoji} to “{quote}”]",
    "reacted_unknown": "[Reacted {emoji}]",
    "unreacted": "[Took back the reaction to “{quote}”]",
    "unreacted_unknown": "[Took back a reaction]",
    "edited": "[Edited “{quote}”]",
    "edited_unknown": "[Edited]",
    "deleted": "[Deleted a message]",
    "on_phone": "[On the business's phone]",
    "cut": "[… cut: {count} characters in all]",
    "window_ends": (
        "[Gateway] {name} waits for an answer. The conversation window closes at {time}, in {minutes} minutes; "
        "after that you can answer only when the customer writes again."
    ),
    "somebody": "The customer",
}

AR: Mapping[str, str] = {
    "image": "[صورة]",
    "video": "[فيديو]",
    "audio": "[ملف صوتي]",
    "voice": "[رسالة صوتية]",
    "voice_seconds": "[رسالة صوتية، {length}]",
    "document": "[مستند]",
    "document_named": "[مستند: {name}]",
    "sticker": "[ملصق]",
    "once": "[للعرض مرة واحدة: افتحها على هاتف الشركة]",
    "location": "[موقع]",
    "contact": "[جهة اتصال]",
    "contacts": "[جهات اتصال]",
    "tapped": "[اختار]",
    "form": "[نموذج]",
    "order": "[طلب]",
    "items": "عدد الأصناف: {count}",
    "poll": "[استطلاع]",
    "poll_answer": "[إجابة استطلاع]",
    "product": "[منتج]",
    "event": "[حدث]",
    "invitation": "[دعوة إلى مجموعة]",
    "other": "[رسالة لا تظهر إلا على هاتف الشركة]",
    "empty": "[رسالة فارغة]",
    "reply_to": "[رد على «{quote}»]",
    "reacted": "[تفاعل بـ {emoji} مع «{quote}»]",
    "reacted_unknown": "[تفاعل بـ {emoji}]",
    "unreacted": "[أزال التفاعل مع «{quote}»]",
    "unreacted_unknown": "[أزال تفاعلاً]",
    "edited": "[عدّل «{quote}»]",
    "edited_unknown": "[عدّل رسالة]",
    "deleted": "[حذف رسالة]",
    "on_phone": "[من هاتف الشركة]",
    "cut": "[… مقتطع: {count} حرفاً في المجموع]",
    "window_ends": (
        "[البوابة] {name} بانتظار الرد. تُغلق نافذة المحادثة الساعة {time}، بعد {minutes} دقيقة؛ "
        "وبعدها لا يمكنك الرد إلا إذا كتب العميل من جديد."
    ),
    "somebody": "العميل",
}

WORDS: Mapping[str, Mapping[str, str]] = {"en": EN, "ar": AR}
