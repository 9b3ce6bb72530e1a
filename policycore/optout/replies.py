"""Owns the texts that answer an opt-out, an ambiguous word and a START, one of each per language.

Pure. Each says only what happened and which word to write next: a confirmation that also advertises would be
a message the person has just refused (47 CFR 64.1200(a)(12),
https://www.ecfr.gov/current/title-47/section-64.1200). Awaiting sign-off by native speakers.
"""

from collections.abc import Mapping

from policycore.optout.match import MatchKind

FALLBACK_LANGUAGE = "en"

_OPT_OUT: Mapping[str, str] = {
    "en": "Done: you will get no more messages from us on this number. To start again, write START.",
    "ar": "تم: لن تصلك أي رسالة منا على هذا الرقم. للعودة اكتب START أو ابدأ.",
    "ur": "ہو گیا: اب اس نمبر پر ہماری طرف سے کوئی پیغام نہیں آئے گا۔ دوبارہ شروع کرنے کے لیے START لکھیں۔",
    "hi": "हो गया: अब इस नंबर पर हमारी ओर से कोई संदेश नहीं आएगा। फिर से शुरू करने के लिए START लिखें।",
    "fr": "C'est fait : vous ne recevrez plus de message de notre part sur ce numéro. "
    "Pour reprendre, écrivez START.",
    "es": "Hecho: ya no recibirá mensajes nuestros en este número. Para volver a recibirlos, escriba START.",
    "pt": "Feito: você não receberá mais mensagens nossas neste número. "
    "Para voltar a receber, escreva START.",
    "tr": "Tamam: bu numaraya bizden artık mesaj gelmeyecek. Yeniden başlamak için START yazın.",
    "de": "Erledigt: Sie erhalten von uns keine Nachrichten mehr auf dieser Nummer. "
    "Zum Fortsetzen schreiben Sie START.",
}

_AMBIGUOUS: Mapping[str, str] = {
    "en": "Would you like to receive no messages from us at all? Then write STOP. "
    "If you meant something else, just tell us.",
    "ar": "هل تقصد ألا تصلك منا أي رسالة؟ إذا نعم فاكتب STOP. وإن كنت تقصد شيئا آخر فأخبرنا به.",
    "ur": "کیا آپ چاہتے ہیں کہ ہم آپ کو بالکل نہ لکھیں؟ اگر ہاں تو STOP لکھیں۔ "
    "اگر کچھ اور مراد ہے تو ہمیں بتائیں۔",
    "hi": "क्या आप चाहते हैं कि हम आपको बिल्कुल न लिखें? अगर हाँ, तो STOP लिखें। अगर कुछ और मतलब है, तो हमें बताएँ।",
    "fr": "Souhaitez-vous que nous ne vous écrivions plus du tout ? Alors écrivez STOP. "
    "Sinon, dites-nous ce qu'il en est.",
    "es": "¿Quiere que no le escribamos en absoluto? Entonces escriba STOP. "
    "Si se refería a otra cosa, díganoslo.",
    "pt": "Quer que não lhe escrevamos de todo? Então escreva STOP. Se quis dizer outra coisa, diga-nos.",
    "tr": "Size hiç yazmamamızı mı istiyorsunuz? O zaman STOP yazın. "
    "Başka bir şey demek istediyseniz bize söyleyin.",
    "de": "Möchten Sie gar nichts mehr von uns lesen? Dann schreiben Sie STOP. "
    "Meinten Sie etwas anderes, sagen Sie es uns.",
}

_OPT_IN: Mapping[str, str] = {
    "en": "You are receiving our messages again. Write STOP at any time to end them.",
    "ar": "عادت رسائلنا تصلك. لإنهائها اكتب STOP في أي وقت.",
    "ur": "ہمارے پیغامات آپ کو دوبارہ ملیں گے۔ ختم کرنے کے لیے کسی بھی وقت STOP لکھیں۔",
    "hi": "हमारे संदेश आपको फिर से मिलेंगे। समाप्त करने के लिए कभी भी STOP लिखें।",
    "fr": "Vous recevez de nouveau nos messages. Pour y mettre fin, écrivez STOP à tout moment.",
    "es": "Vuelve a recibir nuestros mensajes. Para terminar, escriba STOP en cualquier momento.",
    "pt": "Você volta a receber as nossas mensagens. Para terminar, escreva STOP a qualquer momento.",
    "tr": "Mesajlarımızı yeniden alıyorsunuz. Bitirmek için istediğiniz zaman STOP yazın.",
    "de": "Sie erhalten unsere Nachrichten wieder. Zum Beenden schreiben Sie jederzeit STOP.",
}

_REPLIES: Mapping[MatchKind, Mapping[str, str]] = {
    MatchKind.OPT_OUT: _OPT_OUT,
    MatchKind.AMBIGUOUS: _AMBIGUOUS,
    MatchKind.OPT_IN: _OPT_IN,
}


def reply(kind: MatchKind, language: str) -> str:
    """Return the text that answers a match of `kind` in `language` (two letters), English where we have none.

    Raises ValueError for `MatchKind.NONE`, which nothing answers.
    """
    if kind not in _REPLIES:
        raise ValueError(f"a match of kind {kind.value!r} has no reply")
    texts = _REPLIES[kind]
    return texts.get(language, texts[FALLBACK_LANGUAGE])
