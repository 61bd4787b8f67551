"""Texts: from a column of them to rows of codes, one for each token.

A token is a word, a number or a punctuation mark, or a piece of a word. Texts are brought to one form first (Unicode NFKC,
lower case, one kind of apostrophe), so that "Good" and "good" are the same word.

=========  ===========================================================================================================
tokens     a text is cut into
=========  ===========================================================================================================
words      words, numbers ("3.14" stays whole) and single punctuation marks; contractions as in the Penn Treebank and
           GloVe ("don't" is "do", "n't"); in scripts that put no spaces between words, single signs. What training
           did not have is unknown
pieces     words where they are frequent and pieces of them where they are not, down to single bytes, so that nothing is
           unknown: byte-pair encoding (Sennrich et al. 2016, arXiv 1508.07909) on bytes, as in GPT-2
=========  ===========================================================================================================
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self

import numpy as np
import polars as pl

from lamina.data.columns.column import Block
from lamina.data.encoding import Encoding, Input
from lamina.errors import ModelFileError, OptionError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

TOKENS = ("words", "pieces")
MOST_TOKENS = 512
"""Most tokens of a text that are read where the length follows the training rows."""
MOST_PLACES = 16_384
"""The same where every sentence has its place, much of which stays empty."""
UNKNOWN = "[unknown]"

_FEW_TEXTS = 200  # below, a word that occurs once gets a code, too
_CHARACTERS = 32  # far above what a token has, so that of a huge text only the part that is read is tokenised
_TEXTS, _PLACES = 4096, 2**21  # a piece of so many texts, or of so many tokens, costs little memory

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
_SENTENCE_END = re.compile(r"""([.!?]["'’”)\]]*\s|[。！？])|[\n\r\v\f\x85\u2028\u2029]""")


@dataclass(frozen=True)
class TextBlock(Block):
    """The way from a column of texts to codes, learnt from training rows.

    Code 0 is nothing (the text has ended), 1 is a token that is not known, and from 2 on come the tokens themselves: words from
    the most frequent down, equally frequent ones by the alphabet. Where training has 200 texts or more, a word gets a code
    from its second occurrence on.

    With ``sentence``, each sentence begins at a multiple of it, so that the block can be seen as sentences of words (Yang et
    al. 2016, hierarchical attention networks). A sentence ends where ``.``, ``!`` or ``?`` is followed by space, and at the
    end of a line; one that is longer goes on in the next place.

    Of a text of a megabyte only the first part is looked at: 32 characters for each token that is read.

    Args:
        name: The column.
        block: The block it becomes.
        length: Tokens of a row: a multiple of ``encoding.sentence`` and ``encoding.chunk``.
        sentence: Tokens from the start of a sentence to the next, 0 for running text.
        tokenizer: How texts are cut and which token has which code, as JSON of Hugging Face's ``tokenizers``.
        notes: What a person should know.

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
        """Learn the vocabulary and the length from training rows.

        The length follows the training rows: 99 % of the texts are read to the end, but none beyond 512 tokens (16,384 places
        with ``sentence``); where a length is asked for, all of them are, but none beyond it.

        Args:
            values: Texts of training rows, as :func:`lamina.data.columns.text.check` returns them.
            encoding: What the family asks for.
            block: The name of the block.

        Raises:
            OptionError: ``encoding.tokens`` is unknown.
        """
        if encoding.tokens not in TOKENS:
            raise OptionError(f"tokens is {encoding.tokens!r}, expected 'words' or 'pieces'")
        most = encoding.length or (MOST_PLACES if encoding.sentence else MOST_TOKENS)
        tokenizer = _trained([text for text in _beginnings(values, most) if text], encoding)
        parts = _tokenised(tokenizer, values, most, encoding.sentence)
        lengths = np.concatenate([part.lengths for part in parts] or [np.zeros(0, np.int64)])
        share = 1.0 if encoding.length else 0.99
        wanted = min(int(np.quantile(lengths, share, method="higher")), most) if len(lengths) else 1
        multiple = math.lcm(encoding.sentence or 1, encoding.chunk)
        length = multiple * max(1, math.ceil(wanted / multiple))
        notes = []
        if empty := int((lengths == 0).sum()):
            notes.append(f"{values.name}: {empty:,} of {len(lengths):,} texts {'is' if empty == 1 else 'are'} empty")
        if cut := int((lengths > length).sum()):
            notes.append(f"{values.name}: {cut:,} of {len(lengths):,} texts are {_beyond(length, encoding.sentence)}")
        if tokenizer.get_vocab_size() == 2:
            notes.append(f"{values.name}: no text has a word that could be learnt")
        return cls(values.name, block, length, encoding.sentence, tokenizer.to_str(), tuple(notes))

    @property
    def extent(self) -> str:
        """What every text is brought to, in words."""
        return f"at most {self.length:,} tokens, {self.inputs[self.block].cardinalities[0] - 2:,} different ones known"

    @cached_property
    def inputs(self) -> dict[str, Input]:
        """The block that :meth:`transform` gives."""
        return {self.block: Input((self.length,), (self.name,), (self._tokenizer.get_vocab_size(),), "text")}

    def transform(self, values: pl.Series) -> dict[str, np.ndarray]:
        """Turn texts, as :func:`lamina.data.columns.text.check` returns them, into codes; a missing text is all zeros.

        Shape:
            int32 (N, ``length``).
        """
        codes = np.zeros((len(values), self.length), dtype=np.int32)
        for part in _tokenised(self._tokenizer, values, self.length, self.sentence):
            read = part.places < self.length
            codes[part.rows[read], part.places[read]] = part.codes[read]
        return {self.block: codes}

    def remarks(self, values: pl.Series) -> list[str]:
        """A sentence each if texts have no word known from training, or are longer than what is read."""
        strange = longer = 0
        for part in _tokenised(self._tokenizer, values, self.length, self.sentence):
            known = np.bincount(part.rows - part.start, self._is_word[part.codes], len(part.lengths)) > 0
            unknown = np.bincount(part.rows - part.start, part.codes == 1, len(part.lengths)) > 0
            strange += int((unknown & ~known).sum())
            longer += int((part.lengths > self.length).sum())
        found = []
        if strange:
            has = "1 text has" if strange == 1 else f"{strange:,} texts have"
            found.append(f"{self.name}: {has} no word known from training")
        if longer:
            are = "1 text is" if longer == 1 else f"{longer:,} texts are"
            found.append(f"{self.name}: {are} {_beyond(self.length, self.sentence)}")
        return found

    def tokens(self, text: str) -> list[str]:
        """What is read of one text, place by place: tokens, "" where there is nothing.

        Pieces that begin a word begin with a space.
        """
        clean = text.encode("utf-8", "replace").decode()  # half of a surrogate pair is no text
        return [words_of(self)[code] for code in self.transform(pl.Series(self.name, [clean]))[self.block][0]]

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """The block that :meth:`to_json` wrote.

        Raises:
            ModelFileError: The tokenizer cannot be read.
        """
        block = super().from_json(values)
        try:
            _ = block._tokenizer
        except Exception as error:  # the only class that tokenizers raises
            raise ModelFileError(
                f"the tokenizer of column {block.name!r} cannot be read ({error}), expected one that TextBlock.fit made; "
                "fit again"
            ) from error
        return block

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
    def _is_word(self) -> np.ndarray:
        is_word = np.array([any(map(str.isalnum, word)) for word in words_of(self)])
        is_word[:2] = False
        return is_word


def words_of(block: TextBlock) -> tuple[str, ...]:
    """The token of each code: to lay pretrained vectors such as GloVe's into an embedding, or to say what was attended to.

    Code 0 is "", code 1 is "[unknown]". A piece that begins a word begins with a space; a piece of a character is "�".
    """
    return block._words


def _beyond(length: int, sentence: int) -> str:
    return f"longer than {length:,} {'places' if sentence else 'tokens'}; what is beyond is not read"


# Tokens


class _Tokens(NamedTuple):
    """Tokens of some rows, one behind the other, and how long each row is."""

    start: int
    codes: np.ndarray
    rows: np.ndarray
    places: np.ndarray
    lengths: np.ndarray


def _beginnings(values: pl.Series, length: int) -> list[str]:
    """What may be read of each text, "" for a missing one.

    It is plain Python because polars waits forever in a worker that was forked.
    """
    return [(text or "")[: length * _CHARACTERS] for text in values.to_list()]


def _tokenised(tokenizer: Tokenizer, values: pl.Series, length: int, sentence: int) -> Iterator[_Tokens]:
    """Where each token belongs, for some thousand texts at a time."""
    piece = max(1, min(_TEXTS, _PLACES // length))
    for start in range(0, len(values), piece):
        some = _beginnings(values.slice(start, piece), length)
        rows = np.arange(len(some))
        if sentence:
            parted = [_SENTENCE_END.sub(r"\1\n", text).split("\n") for text in some]
            rows, some = np.repeat(rows, [len(sentences) for sentences in parted]), list(chain.from_iterable(parted))
        found = [one.ids for one in tokenizer.encode_batch_fast(some)]
        sizes = np.array([len(one) for one in found])
        codes = np.concatenate([np.array(one, dtype=np.int32) for one in found])
        room = -(-sizes // sentence) * sentence if sentence else sizes
        before = np.cumsum(room) - room
        first = before - before[np.searchsorted(rows, rows)]  # counted from the row's beginning
        within = np.arange(len(codes)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        lengths = np.bincount(rows, room).astype(np.int64)
        yield _Tokens(start, codes, start + np.repeat(rows, sizes), np.repeat(first, sizes) + within, lengths)


def _trained(values: Sequence[str], encoding: Encoding) -> Tokenizer:
    """A tokenizer whose codes from 2 on are what training gave; 0 is nothing and 1 is unknown.

    Neither can come out of a text: "" is no token, and brackets are always cut off.
    """
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    often = {"min_frequency": 1 if len(values) < _FEW_TEXTS else 2, "show_progress": False}
    form = [normalizers.NFKC(), normalizers.Lowercase(), normalizers.Replace("’", "'")]
    if encoding.tokens == "words":
        tokenizer = Tokenizer(models.WordLevel(unk_token=UNKNOWN))
        tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(_WORD), "removed", invert=True)
        trainer = trainers.WordLevelTrainer(vocab_size=encoding.vocabulary, special_tokens=[], **often)
    else:
        tokenizer = Tokenizer(models.BPE(unk_token=UNKNOWN))
        form += [normalizers.Replace(Regex(r"\s+"), " "), normalizers.Strip()]
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
        tokenizer.decoder = decoders.ByteLevel()
        every_byte = sorted(pre_tokenizers.ByteLevel.alphabet())
        trainer = trainers.BpeTrainer(vocab_size=encoding.vocabulary, initial_alphabet=every_byte, **often)
    tokenizer.normalizer = normalizers.Sequence(form)
    tokenizer.train_from_iterator(values, trainer)
    content = json.loads(tokenizer.to_str())
    words = sorted(content["model"]["vocab"], key=content["model"]["vocab"].__getitem__)
    content["model"]["vocab"] = {word: code for code, word in enumerate(["", UNKNOWN, *words])}
    return Tokenizer.from_str(json.dumps(content))
