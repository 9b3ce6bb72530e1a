"""Owns the opt-out word lists: what a data file may hold, how it is read, and the form that `match` uses.

Pure but for `load`, which reads the files; the composition root calls it once. Each `data/<language>.toml`
holds, with a source beside every list: stand-alone words, words that count only in that language, ambiguous
words, START words, revocation phrases, phrases to ask about, negations, classes, politeness, and the nouns
and limits that disarm a phrase. `patterns.py` says how phrases are written.
"""

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from importlib.resources import files
from importlib.resources.abc import Traversable

from policycore.optout.fold import fold, fold_keeping_hamza
from policycore.optout.patterns import Compiled, Element, PatternError, PhraseMachine, expand, parse

LANGUAGES = ("en", "ar", "ur", "hi", "fr", "es", "pt", "tr", "de")
"""Every language with a list. Where a word belongs to several and no hint decides, the earlier one wins."""


class Strength(Enum):
    """What a rule says about a message that it matches."""

    OPT_OUT = "opt_out"
    OPT_OUT_IN_ITS_LANGUAGE = "opt_out_in_its_language"
    """A common word of another language ("red"): an opt-out only if the person's language is this one."""
    ASK = "ask"
    NEGATION = "negation"


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of evidence. `name` is stable: it stays when words are added to the rule's list."""

    name: str
    language: str
    strength: Strength


class WordListError(ValueError):
    """A data file is unusable; the message names the file and the key."""


_RULE_TABLES = ("words", "hinted_words", "ambiguous", "start", "phrases", "asks")
_LISTS = ("negations", "politeness", "nouns", "limits", "sentence_words")
_KEYS = frozenset({*_RULE_TABLES, *_LISTS, "language", "classes"})


@dataclass(frozen=True, slots=True)
class LanguageList:
    """One data file, parsed: pattern lists by rule name, and plain lists."""

    language: str
    tables: Mapping[str, Mapping[str, tuple[str, ...]]]
    classes: Mapping[str, tuple[str, ...]]
    negations: tuple[str, ...]
    politeness: tuple[str, ...]
    nouns: frozenset[str]
    limits: frozenset[str]
    sentence_words: frozenset[str]


@dataclass(frozen=True, slots=True)
class WordLists:
    """Everything `match` needs, compiled; immutable in use and safe to share between threads."""

    entries: Mapping[tuple[str, ...], tuple[Rule, ...]]
    """Sequences of words that may make up a whole message, with their rules; mere politeness has none."""
    longest: Mapping[str, int]
    """The length of the longest entry that begins with a word."""
    vocabulary: frozenset[str]
    """Every word of every entry: a message with another word cannot be made of entries."""
    start: Mapping[str, tuple[Rule, ...]]
    """START words, spelled with hamza."""
    machine: PhraseMachine
    rules: tuple[Rule, ...]
    """The rule of each pattern in `machine`."""
    disarming: Mapping[str, frozenset[str]]
    """By language: order and appointment nouns, and words that limit a wish to a time."""
    sentence_rules: frozenset[str]
    """Names of rules that are asked about when they make up one sentence among others."""


def packaged_folder() -> Traversable:
    """Return the folder of the lists that come with the product, also when it is installed as a package."""
    return files("policycore.optout").joinpath("data")


def load(folder: Traversable) -> WordLists:
    """Read `<language>.toml` for every language and compile them. Takes 0.1 s or so; call it once.

    `folder` is a `pathlib.Path` or `packaged_folder()`. Raises OSError if a file is missing, WordListError if
    one is unusable.
    """
    return build([parse_list(language, _text(folder, language)) for language in LANGUAGES])


def _text(folder: Traversable, language: str) -> str:
    return folder.joinpath(f"{language}.toml").read_text(encoding="utf-8")


def parse_list(language: str, text: str) -> LanguageList:
    """Parse the text of one data file. Raises WordListError for bad TOML, unknown keys or wrong shapes."""
    try:
        read = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise WordListError(f"{language}.toml: {error}") from error
    unknown = set(read) - _KEYS
    if unknown or read.get("language") != language:
        raise WordListError(f"{language}.toml: unknown keys {sorted(unknown)}, or another language")
    tables = {name: _table(language, name, read.get(name, {})) for name in _RULE_TABLES}
    listed = LanguageList(
        language=language,
        tables=tables,
        classes=_table(language, "classes", read.get("classes", {})),
        negations=_strings(language, "negations", read.get("negations", [])),
        politeness=_strings(language, "politeness", read.get("politeness", [])),
        nouns=frozenset(map(fold, _strings(language, "nouns", read.get("nouns", [])))),
        limits=frozenset(map(fold, _strings(language, "limits", read.get("limits", [])))),
        sentence_words=frozenset(_strings(language, "sentence_words", read.get("sentence_words", []))),
    )
    if not listed.sentence_words <= tables["words"].keys():
        raise WordListError(f"{language}.toml: sentence_words names a word that is not in [words]")
    return listed


def _table(language: str, key: str, value: object) -> dict[str, tuple[str, ...]]:
    if not isinstance(value, dict):
        raise WordListError(f"{language}.toml: {key} must be a table")
    return {name: _strings(language, f"{key}.{name}", listed) for name, listed in value.items()}


def _strings(language: str, key: str, value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) and fold(item) for item in value):
        raise WordListError(f"{language}.toml: {key} must be a list of words")
    return tuple(value)


def build(lists: Sequence[LanguageList]) -> WordLists:
    """Compile parsed lists. Raises WordListError if a pattern is malformed."""
    entries = _entries(lists)
    patterns = [found for listed in lists for found in _phrases(listed)]
    longest: dict[str, int] = {}
    for entry in entries:
        longest[entry[0]] = max(longest.get(entry[0], 0), len(entry))
    return WordLists(
        entries=entries,
        longest=longest,
        vocabulary=frozenset(word for entry in entries for word in entry),
        start=_start(lists),
        machine=PhraseMachine(compiled for _, compiled in patterns),
        rules=tuple(rule for rule, _ in patterns),
        disarming={listed.language: listed.nouns | listed.limits for listed in lists},
        sentence_rules=frozenset(
            f"{listed.language}.word.{name}" for listed in lists for name in listed.sentence_words
        ),
    )


def _parsed(listed: LanguageList, patterns: Sequence[str]) -> Iterator[tuple[Element, ...]]:
    for pattern in patterns:
        try:
            yield parse(pattern, listed.classes)
        except PatternError as error:
            raise WordListError(f"{listed.language}.toml: {error}") from error


_ENTRY_TABLES = (
    ("words", "word", Strength.OPT_OUT),
    ("hinted_words", "word", Strength.OPT_OUT_IN_ITS_LANGUAGE),
    ("ambiguous", "ambiguous", Strength.ASK),
)


def _entries(lists: Sequence[LanguageList]) -> dict[tuple[str, ...], tuple[Rule, ...]]:
    """Collect what may make up a whole message. Politeness is shared: "STOP por favor" is polite anywhere."""
    rules: dict[tuple[str, ...], list[Rule]] = {}
    for listed in lists:
        for elements in _parsed(listed, listed.politeness):
            for words in expand(elements):
                rules.setdefault(words, [])
        for table, kind, strength in _ENTRY_TABLES:
            for name, patterns in listed.tables[table].items():
                rule = Rule(f"{listed.language}.{kind}.{name}", listed.language, strength)
                for elements in _parsed(listed, patterns):
                    for words in expand(elements):
                        rules.setdefault(words, []).append(rule)
    return {words: tuple(dict.fromkeys(found)) for words, found in rules.items()}


_PHRASE_TABLES = (("phrases", "phrase", Strength.OPT_OUT), ("asks", "ask", Strength.ASK))


def _phrases(listed: LanguageList) -> Iterator[tuple[Rule, Compiled]]:
    """Yield phrases and negations. A gap in a phrase must not pass over the first word of a negation."""
    negations = list(_parsed(listed, listed.negations))
    avoid = frozenset(word for elements in negations for word in elements[0].words)
    for elements in negations:
        rule = Rule(f"{listed.language}.negation", listed.language, Strength.NEGATION)
        yield rule, Compiled(elements, counts_alone=False)
    for table, kind, strength in _PHRASE_TABLES:
        for name, patterns in listed.tables[table].items():
            rule = Rule(f"{listed.language}.{kind}.{name}", listed.language, strength)
            for elements in _parsed(listed, patterns):
                yield rule, Compiled(elements, avoid)


def _start(lists: Sequence[LanguageList]) -> dict[str, tuple[Rule, ...]]:
    start: dict[str, tuple[Rule, ...]] = {}
    for listed in lists:
        for name, patterns in listed.tables["start"].items():
            rule = Rule(f"{listed.language}.start.{name}", listed.language, Strength.OPT_OUT)
            for written in patterns:
                spelled = fold_keeping_hamza(written)
                start[spelled] = (*start.get(spelled, ()), rule)
    return start
