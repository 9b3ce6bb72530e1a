"""Owns the verdict on one inbound text: an opt-out, a START, a question to ask back, or nothing.

Pure. The ladder, first step that holds:

1. the whole message is a START word, letter for letter: OPT_IN; "yes" never is;
2. the whole message is a listed word, alone or among politeness: OPT_OUT;
3. a revocation phrase stands in it, not negated, with no order, appointment or time limit beside it: OPT_OUT;
4. an ambiguous word alone, a phrase limited by such a noun, or a listed word as one sentence among others:
   AMBIGUOUS. An ambiguous word alone is an OPT_OUT if the last message to the person was promotional.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from policycore.optout.fold import HARD_BREAK, fold_keeping_hamza, tokens
from policycore.optout.patterns import Span
from policycore.optout.words import Rule, Strength, WordLists

_WHOLE_MESSAGE_WORDS = 14
"""Longer messages are not a word with politeness around it; they can only hold a phrase."""

_NEARBY_WORDS = 20
"""How far from a phrase a noun may disarm it; a bound, so that endless unpunctuated texts stay linear."""


class MatchKind(StrEnum):
    """What a message asks of the suppression list."""

    NONE = "none"
    OPT_OUT = "opt_out"
    AMBIGUOUS = "ambiguous"
    OPT_IN = "opt_in"


@dataclass(frozen=True, slots=True)
class Match:
    """The verdict. `rule` is a stable id, kept as evidence; it and `language` are empty for NONE."""

    kind: MatchKind
    rule: str = ""
    language: str = ""


NO_MATCH = Match(MatchKind.NONE)


def match(
    text: str, words: WordLists, last_outbound_was_promotional: bool = False, language_hint: str | None = None
) -> Match:
    """Return what `text`, one whole inbound message, asks for. Never raises; linear in its length.

    `language_hint` is a BCP 47 tag of the person's language ("ar", "ar-SA"), if known: it settles which
    language a word that several share belongs to, hence the language of the answer, and makes words count
    that mean something else elsewhere.
    """
    hint = (language_hint or "")[:2].lower()
    found = tokens(text)
    if len(found) > 4 * _WHOLE_MESSAGE_WORDS:
        return _phrase(found, words, hint)
    plain = _joined_letters([token for token in found if token not in ".,"])
    started = words.start.get(fold_keeping_hamza(text)) if len(plain) <= 3 else None
    if started:
        rule = _preferred(started, hint)
        return Match(MatchKind.OPT_IN, rule.name, rule.language)
    whole = _whole(plain, words, last_outbound_was_promotional, hint)
    if whole is not NO_MATCH:
        return whole
    phrase = _phrase(found, words, hint)
    return phrase if phrase is not NO_MATCH else _sentence(found, words, hint)


def _joined_letters(plain: list[str]) -> list[str]:
    """Join "s t o p", a message of single letters, to one word."""
    if len(plain) > 2 and all(len(word) == 1 for word in plain):
        return ["".join(plain)]
    return plain


def _preferred(rules: Sequence[Rule], hint: str) -> Rule:
    """The rule of the person's language, else of the first language in the order of the lists."""
    return next((rule for rule in rules if rule.language == hint), rules[0])


def _consumed(plain: Sequence[str], words: WordLists) -> list[tuple[Rule, ...]] | None:
    """Split a message into listed entries, longest first; return their rules, None if a word is left over."""
    if not plain or len(plain) > _WHOLE_MESSAGE_WORDS or not words.vocabulary.issuperset(plain):
        return None
    found: list[tuple[Rule, ...]] = []
    position = 0
    while position < len(plain):
        for length in range(min(words.longest.get(plain[position], 0), len(plain) - position), 0, -1):
            rules = words.entries.get(tuple(plain[position : position + length]))
            if rules is not None:
                found.append(rules)
                position += length
                break
        else:
            return None
    return found


def _whole(plain: Sequence[str], words: WordLists, promotional: bool, hint: str) -> Match:
    """Steps 1, 2 and 4 of the ladder: messages that are nothing but listed words and politeness."""
    entries = _consumed(plain, words) or ()
    rules = [rule for entry in entries for rule in entry]
    if not rules:
        return NO_MATCH
    out = [rule for rule in rules if _is_opt_out(rule, promotional, hint)]
    rule = _preferred(out or rules, hint)
    if not out:
        return Match(MatchKind.AMBIGUOUS, rule.name, rule.language)
    name = rule.name if all(entries) else rule.name.replace(".word.", ".polite.", 1)
    return Match(MatchKind.OPT_OUT, name, rule.language)


def _is_opt_out(rule: Rule, promotional: bool, hint: str) -> bool:
    if rule.strength is Strength.OPT_OUT_IN_ITS_LANGUAGE:
        return promotional or rule.language == hint
    return rule.strength is Strength.OPT_OUT or promotional


def _phrase(found: Sequence[str], words: WordLists, hint: str) -> Match:
    """Step 3: the strongest phrase that no negation takes back."""
    spans = words.machine.spans(found)
    if not spans:
        return NO_MATCH
    negated = _negated(spans, words)
    out: list[Rule] = []
    ask: list[Rule] = []
    for span in spans:
        rule = words.rules[span.pattern]
        if rule.strength is Strength.NEGATION or (rule.language, span.start) in negated:
            continue
        limited = _is_limited(span, found, words.disarming[rule.language])
        (out if rule.strength is Strength.OPT_OUT and not limited else ask).append(rule)
    if not out and not ask:
        return NO_MATCH
    rule = _preferred(out or ask, hint)
    return Match(MatchKind.OPT_OUT if out else MatchKind.AMBIGUOUS, rule.name, rule.language)


def _negated(spans: Iterable[Span], words: WordLists) -> set[tuple[str, int]]:
    """The places inside a negation: a phrase that begins there is taken back."""
    rules = words.rules
    return {
        (rules[span.pattern].language, place)
        for span in spans
        if rules[span.pattern].strength is Strength.NEGATION
        for place in range(span.start, span.end)
    }


def _is_limited(span: Span, found: Sequence[str], disarming: frozenset[str]) -> bool:
    """Whether a noun or limit stands in the same part of the sentence: "no more messages about my order"."""
    start, end = span.start, span.end
    first, last = max(0, start - _NEARBY_WORDS), min(len(found), end + _NEARBY_WORDS)
    while start > first and found[start - 1] not in ".,":
        start -= 1
    while end < last and found[end] not in ".,":
        end += 1
    return not disarming.isdisjoint(found[start:end])


def _sentence(found: Sequence[str], words: WordLists, hint: str) -> Match:
    """Step 4, last part: a sentence that is only a listed word, in a message that says more."""
    if HARD_BREAK not in found:
        return NO_MATCH
    sentence: list[str] = []
    for token in (*found, HARD_BREAK):
        if token not in ".,":
            sentence.append(token)
        if token == HARD_BREAK:
            entries = _consumed(sentence, words) or ()
            rules = [rule for entry in entries for rule in entry if rule.name in words.sentence_rules]
            if rules:
                rule = _preferred(rules, hint)
                return Match(MatchKind.AMBIGUOUS, rule.name.replace(".word.", ".sentence.", 1), rule.language)
            sentence = []
    return NO_MATCH
