"""The kinds of columns, and the guess of a column's kind.

The rules, in order; the first that fits decides. Text was read before as numbers or dates where it holds these
(:mod:`lamina.data.readings`).

=========  ===============================================================================================================
kind       a column that
=========  ===============================================================================================================
image      holds arrays, bytes or paths of pictures; see :mod:`lamina.data.columns.image`
series     holds lists or arrays of numbers; see :mod:`lamina.data.columns.series`
other      holds other lists, structs, bytes or Python objects (ignored)
constant   has one value everywhere, or none at all (ignored)
date       is a date or date-time
flag       is boolean, or whole numbers that are 0/1 or -1/1, or has two different texts (yes/no)
text       is text that mostly differs from row to row and has at least 6 words on average, or is a molecule (SMILES) or a
           sequence of letters (DNA, proteins)
id         is whole numbers, 95 % of them different or mostly one more than the row before, named like an identifier
           (``id key uuid index rownames ...``) or without a name in the first column (a saved index);
           or whole numbers that all differ and run through at least 20 rows without large gaps (unless named like a
           time); or text, different in 95 % of at least 20 rows (ignored).
           Numbers with decimals are never an id
category   has one value and is missing elsewhere; or is whole numbers named like a code (``zip postcode code
           id type sku ...``), of a categorical dtype, text of digits with leading zeros, or any other text, whatever
           its cardinality
number     is any other number, a duration or a time of day (in seconds). Few distinct whole numbers (a month, a grade, a
           count) stay numbers: this keeps their order, and an embedding of numbers can still separate them
=========  ===============================================================================================================
"""

from __future__ import annotations

import polars as pl

from lamina.data.columns.category import Category
from lamina.data.columns.column import Block, ColumnKind, Guess, Values
from lamina.data.columns.date import Date
from lamina.data.columns.flag import Flag
from lamina.data.columns.ignored import Constant, Id, Other
from lamina.data.columns.image import Image
from lamina.data.columns.number import Number
from lamina.data.columns.series import Series
from lamina.data.columns.text import Text

#: The kinds in the order of the rules.
_ORDER = (Image(), Series(), Other(), Constant(), Date(), Flag(), Text(), Id(), Category(), Number())
_BY_NAME: dict[str, ColumnKind] = {kind.name: kind for kind in _ORDER}
#: The kinds by name, in the order in which they are shown and encoded.
KINDS: dict[str, ColumnKind] = {
    name: _BY_NAME[name]
    for name in ("number", "flag", "category", "date", "image", "text", "series", "id", "constant", "other")
}
FEATURE_KINDS = tuple(name for name, kind in KINDS.items() if kind.can_be_feature)
"""The kinds of features."""
OPTION_KINDS = tuple(name for name in KINDS if name != Other.name)
"""The kinds that the option ``kinds`` accepts."""
BLOCKS: dict[str, type[Block]] = {block.kind: block for kind in KINDS.values() for block in kind.blocks}
"""The encodings of single columns, by their name in files."""


def guess(column: pl.Series, *, plain: bool = False, nameless: bool = False) -> Guess:
    """Guess the kind of a column.

    Args:
        column: All of its values.
        plain: Guess a plain kind only (no id, text or constant).
        nameless: It is the first column and has no name of its own.

    Example:
        >>> guess(pl.Series("smoker", ["no", "yes", "no"])).reason
        "two values: 'no' and 'yes'"
    """
    return _first(Values(column, plain, nameless))


def _first(values: Values) -> Guess:
    return next(result for kind in _ORDER if (result := kind.guess(values)) is not None)
