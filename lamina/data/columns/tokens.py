"""Texts as rows of token codes.

Texts are normalised first (Unicode NFKC, lower case, one kind of apostrophe), so that "Good" and "good" are the same word;
but for characters, whose case carries meaning in codes ("c" is an aromatic carbon in SMILES).

=========  ===========================================================================================================
tokens     a text is split into
=========  ===========================================================================================================
words      words, numbers ("3.14" stays whole) and single punctuation marks; contractions as in the Penn Treebank and
           GloVe ("don't" is "do", "n't"); in scripts without spaces between words, single characters. A word that
           training texts did not have is unknown
pieces     frequent words and pieces of rare ones, down to single bytes, so that nothing is unknown: byte-pair encoding
           (Sennrich et al. 2016, arXiv 1508.07909) on bytes, as in GPT-2
characters single characters with their case, for codes such as molecules (SMILES), sequences of DNA and names
=========  ===========================================================================================================
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import chain
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self

import numpy as np
import polars as pl

from lamina.data.columns.column import Block
from lamina.data.encoding import Encoding, Input
from lamina.errors import ModelFileError, OptionError
from lamina.wording import count

if TYPE_CHECKING:
    from tokenizers import Tokenizer

TOKENS = ("words", "pieces", "characters")
TOKENS_HELP = "what a text is cut into; auto: characters for codes without spaces, such as SMILES, else words"
MOST_TOKENS = 512
"""Largest length in tokens where it follows the training rows."""
MOST_PLACES = 16_384
"""The same with ``sentence``, where much is padding."""
LONGEST = 2**20
"""Most tokens of a text in a file."""
UNKNOWN = "[unknown]"

_FEW_TEXTS = 200  # below, a word that occurs once gets a code
_CHARACTERS = 32  # more than a token has, so that of a huge text only the part that is read is tokenised
_TEXTS, _PLACES = 4096, 2**21  # of a chunk, which needs little memory

UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
_LETTER = rf"[[\p{{L}}\p{{M}}\p{{N}}_]&&[^{UNSPACED}]]"
_WORD = "|".join(
    (
        r"\p{N}+(?:[.,]\p{N}+)+",
        rf"{_LETTER}+?(?=n't(?!\w))",
        r"n't(?!\w)",
        r"'(?:s|re|ve|ll|d|m)(?!\w)",
        rf"{_LETTER}+",
        r"[^\s\p{Cc}\p{Cf}]\p{M}*",
    )
)
_CHARACTER = r"[\s\S]"
_SENTENCE_END = re.compile(r"""([.!?]["'’”)\]]*\s|[。！？])|[\n\r\v\f\x85\u2028\u2029]""")


@dataclass(frozen=True)
class TextBlock(Block):
    """The encoding of a column of texts as codes, fitted on training rows.

    Code 0 is padding, 1 an unknown token, and from 2 on the vocabulary, the most frequent tokens first, equally frequent ones
    in alphabetical order. With 200 training texts or more, a word needs two occurrences to get a code.

    With ``sentence``, each sentence begins at a multiple of it, so that the block can be seen as sentences of words (Yang et
    al. 2016, hierarchical attention networks). A sentence ends where ``.``, ``!`` or ``?`` is followed by space, and at the
    end of a line; a longer one continues at the next multiple.

    Of a huge text only the first 32 characters per token of the length are tokenised.

    Args:
        length: Tokens of a row: a multiple of ``encoding.sentence`` and ``encoding.chunk``.
        sentence: Tokens from the start of a sentence to the next, 0 for running text.
        tokenizer: Tokenizer and vocabulary, as JSON of Hugging Face's ``tokenizers``.

    Example:
        >>> block = TextBlock.fit(pl.Series("review", ["Good!", "Not good."]), Encoding(), "text")
        >>> words_of(block)
        ('', '[unknown]', 'good', '!', '.', 'not')
        >>> block.transform(pl.Series("review", ["Good film!", None]))["text"].tolist()
        [[2, 1, 3], [0, 0, 0]]
        >>> block.tokens("Good film")
        ['good', '[unknown]', '']
    """

    kind: ClassVar[str] = "text"

    name: str
    block: str
    length: int
    sentence: int
    tokenizer: str
    notes: tuple[str, ...] = ()

    @classmethod
    def fit(cls, values: pl.Series, encoding: Encoding, block: str) -> Self:
        """Fit the vocabulary and the length to training rows.

        The length is the 99 % quantile of the training texts, at most 512 tokens (16,384 with ``sentence``); with
        ``encoding.length`` it is the longest training text, at most that length.

        Raises:
            OptionError: ``encoding.tokens`` is unknown.
        """
        if encoding.tokens not in ("auto", *TOKENS):
            raise OptionError(f"tokens is {encoding.tokens!r}, expected {', '.join(map(repr, TOKENS))} or 'auto'")
        most = encoding.length or (MOST_PLACES if encoding.sentence else MOST_TOKENS)
        tokenizer = _trained([text for text in _beginnings(values, most) if text], encoding)
        parts = _tokenised(tokenizer, values, most, encoding.sentence)
        lengths = np.concatenate([part.lengths for part in parts] or [np.zeros(0, np.int64)])
        share = 1.0 if encoding.length else 0.99
        quantile = min(int(np.quantile(lengths, share, method="higher")), most) if len(lengths) else 1
        multiple = math.lcm(encoding.sentence or 1, encoding.chunk)
        length = multiple * max(1, math.ceil(quantile / multiple))
        notes = empty_texts(values, int((lengths == 0).sum()))
        if cut := int((lengths > length).sum()):
            notes.append(f"{values.name}: {cut:,} of {len(lengths):,} texts are {_truncated(length, encoding.sentence)}")
        if tokenizer.get_vocab_size() == 2:
            notes.append(f"{values.name}: no text has a word")
        return cls(values.name, block, length, encoding.sentence, tokenizer.to_str(), tuple(notes))

    @property
    def extent(self) -> str:
        return f"at most {self.length:,} tokens, vocabulary of {self.inputs[self.block].cardinalities[0] - 2:,}"

    @cached_property
    def inputs(self) -> dict[str, Input]:
        return {self.block: Input((self.length,), (self.name,), (self._tokenizer.get_vocab_size(),), "text")}

    def transform(self, values: pl.Series) -> dict[str, np.ndarray]:
        """The codes, int32 (N, ``length``); a missing text is all zeros."""
        codes = np.zeros((len(values), self.length), dtype=np.int32)
        for part in _tokenised(self._tokenizer, values, self.length, self.sentence):
            read = part.places < self.length
            codes[part.rows[read], part.places[read]] = part.codes[read]
        return {self.block: codes}

    def remarks(self, values: pl.Series) -> list[str]:
        unseen = longer = 0
        for part in _tokenised(self._tokenizer, values, self.length, self.sentence):
            seen = np.bincount(part.rows - part.start, self._is_word[part.codes], len(part.lengths)) > 0
            unknown = np.bincount(part.rows - part.start, part.codes == 1, len(part.lengths)) > 0
            unseen += int((unknown if self._by_characters else unknown & ~seen).sum())
            longer += int((part.lengths > self.length).sum())
        remarks = unknown_texts(self.name, unseen, characters=self._by_characters)
        if longer:
            are = "is" if longer == 1 else "are"
            remarks.append(f"{self.name}: {count(longer, 'text')} {are} {_truncated(self.length, self.sentence)}")
        return remarks

    def tokens(self, text: str) -> list[str]:
        """The tokens of one text, "" for padding; a piece that begins a word begins with a space."""
        clean = text.encode("utf-8", "replace").decode()  # half of a surrogate pair is not valid
        return [words_of(self)[code] for code in self.transform(pl.Series(self.name, [clean]))[self.block][0]]

    def verify(self) -> None:
        if not (1 <= self.length <= LONGEST and 0 <= self.sentence <= self.length):
            raise ModelFileError(
                f"texts of column {self.name!r} have {self.length} tokens in sentences of {self.sentence}, "
                f"expected 1 to {LONGEST:,} tokens"
            )
        check_tokenizer(self.name, self.tokenizer)

    @cached_property
    def _tokenizer(self) -> Tokenizer:
        from tokenizers import Tokenizer

        return Tokenizer.from_str(self.tokenizer)

    @cached_property
    def _words(self) -> tuple[str, ...]:
        vocabulary = self._tokenizer.get_vocab()
        words = sorted(vocabulary, key=vocabulary.__getitem__)
        if (decoder := self._tokenizer.decoder) is not None:
            words[2:] = [decoder.decode([word]) for word in words[2:]]
        return tuple(words)

    @cached_property
    def _by_characters(self) -> bool:
        return by_characters(self.tokenizer)

    @cached_property
    def _is_word(self) -> np.ndarray:
        is_word = np.array([has_word(word) for word in words_of(self)])
        is_word[:2] = False
        return is_word


def check_tokenizer(column: str, tokenizer: str) -> None:
    """Raise ModelFileError unless a tokenizer is one of a fit, apart from its vocabulary: others may take for ever."""
    from tokenizers import Tokenizer

    try:
        content = json.loads(tokenizer)
        vocabulary = content["model"]["vocab"]
        known = vocabulary.get("") == 0 and sorted(vocabulary.values()) == list(range(len(vocabulary)))
        known = known and (not vocabulary.keys() - {""} or vocabulary.get(UNKNOWN) == 1)
        reason = "" if known and _frame(content) in map(_frame, _frames()) else "it has other steps, or codes"
        _ = reason or Tokenizer.from_str(tokenizer)
    except Exception as error:  # tokenizers raises no other class
        reason = str(error) or type(error).__name__
    if reason:
        raise ModelFileError(
            f"the tokenizer of column {column!r} cannot be read ({reason}), expected one that TextBlock.fit made; fit again"
        )


def by_characters(tokenizer: str) -> bool:
    """Whether the tokens of a tokenizer are characters."""
    return json.loads(tokenizer)["pre_tokenizer"].get("pattern") == {"Regex": _CHARACTER}


def _frame(content: Any) -> Any:
    """A tokenizer's JSON without its words, and without options that are off, which not every version writes."""
    if isinstance(content, dict):
        items = {name: _frame(value) for name, value in content.items() if name not in ("vocab", "merges", "version")}
        return {name: value for name, value in items.items() if value not in (None, False, [])}
    return [_frame(item) for item in content] if isinstance(content, list) else content


@cache
def _frames() -> list[Any]:
    """The JSON of a tokenizer of each kind."""
    return [json.loads(_trained([], Encoding(tokens=tokens)).to_str()) for tokens in TOKENS]


def words_of(block: TextBlock) -> tuple[str, ...]:
    """The token of each code, to initialise an embedding with pretrained vectors or to name what was attended to.

    Code 0 is "", code 1 is "[unknown]". A piece that begins a word begins with a space; a piece of a character is "�".
    """
    return block._words


def has_word(text: str) -> bool:
    """Whether a text has a letter or a digit."""
    return any(map(str.isalnum, text))


def empty_texts(values: pl.Series, empty: int) -> list[str]:
    """A sentence if training texts are empty."""
    return [f"{values.name}: {empty:,} of {len(values):,} texts {'is' if empty == 1 else 'are'} empty"] if empty else []


def unknown_texts(name: str, unknown: int, *, characters: bool = False) -> list[str]:
    """A sentence if texts have no word of the vocabulary, or characters that are not in it."""
    have = "has" if unknown == 1 else "have"
    what = "a character that is not in the vocabulary" if characters else "no word of the vocabulary"
    return [f"{name}: {count(unknown, 'text')} {have} {what}"] if unknown else []


def _truncated(length: int, sentence: int) -> str:
    return f"longer than {length:,} tokens{' with padding' if sentence else ''} and truncated"


# Tokens


class _Tokens(NamedTuple):
    """Concatenated tokens of some rows, and the length of each row."""

    start: int
    codes: np.ndarray
    rows: np.ndarray
    places: np.ndarray
    lengths: np.ndarray


def _beginnings(values: pl.Series, length: int) -> list[str]:
    """The part of each text that is tokenised, "" for a missing one.

    Plain Python, because polars deadlocks in a forked worker.
    """
    return [(text or "")[: length * _CHARACTERS] for text in values.to_list()]


def _tokenised(tokenizer: Tokenizer, values: pl.Series, length: int, sentence: int) -> Iterator[_Tokens]:
    """The row and position of each token, in chunks of texts."""
    size = max(1, min(_TEXTS, _PLACES // length))
    for start in range(0, len(values), size):
        texts = _beginnings(values.slice(start, size), length)
        rows = np.arange(len(texts))
        if sentence:
            split = [_SENTENCE_END.sub(r"\1\n", text).split("\n") for text in texts]
            rows, texts = np.repeat(rows, [len(sentences) for sentences in split]), list(chain.from_iterable(split))
        ids = [encoding.ids for encoding in tokenizer.encode_batch_fast(texts)]
        sizes = np.array([len(text_ids) for text_ids in ids])
        codes = np.concatenate([np.array(text_ids, dtype=np.int32) for text_ids in ids])
        room = -(-sizes // sentence) * sentence if sentence else sizes
        before = np.cumsum(room) - room
        first = before - before[np.searchsorted(rows, rows)]  # from the beginning of the row
        within = np.arange(len(codes)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        lengths = np.bincount(rows, room).astype(np.int64)
        yield _Tokens(start, codes, start + np.repeat(rows, sizes), np.repeat(first, sizes) + within, lengths)


def _trained(values: Sequence[str], encoding: Encoding) -> Tokenizer:
    """A trained tokenizer, its codes shifted by 2; 0 is padding and 1 is unknown.

    No text has these tokens: "" is no token, and brackets are always split off.
    """
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    options = {"min_frequency": 1 if len(values) < _FEW_TEXTS else 2, "show_progress": False}
    form = [normalizers.NFKC(), normalizers.Lowercase(), normalizers.Replace("’", "'")]
    if encoding.tokens == "pieces":
        tokenizer = Tokenizer(models.BPE(unk_token=UNKNOWN))
        form += [normalizers.Replace(Regex(r"\s+"), " "), normalizers.Strip()]
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
        tokenizer.decoder = decoders.ByteLevel()
        every_byte = sorted(pre_tokenizers.ByteLevel.alphabet())
        trainer = trainers.BpeTrainer(vocab_size=encoding.vocabulary, initial_alphabet=every_byte, **options)
    else:
        characters = encoding.tokens == "characters"
        tokenizer = Tokenizer(models.WordLevel(unk_token=UNKNOWN))
        tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(_CHARACTER if characters else _WORD), "removed", invert=True)
        trainer = trainers.WordLevelTrainer(vocab_size=encoding.vocabulary, special_tokens=[], **options)
        form = [normalizers.NFC(), normalizers.Strip()] if characters else form
    tokenizer.normalizer = normalizers.Sequence(form)
    tokenizer.train_from_iterator(values, trainer)
    content = json.loads(tokenizer.to_str())
    words = sorted(content["model"]["vocab"], key=content["model"]["vocab"].__getitem__)
    content["model"]["vocab"] = {word: code for code, word in enumerate(["", UNKNOWN, *words])}
    return Tokenizer.from_str(json.dumps(content))
