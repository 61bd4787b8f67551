"""Numbers with marks of decimals and thousands, currencies, units and percent."""

from __future__ import annotations

import re
from dataclasses import dataclass

import polars as pl

from lamina.data.readings.date import MONTH_OF_YEAR
from lamina.data.readings.reading import MINUS, SAMPLE, SHARE, SIGN, SPACES, Cells, Clues, Learnt, Reading
from lamina.data.readings.text import TextReading

_CODE = r"^\s*['’]?[+-]?0\d"
_LONG = r"^\s*[+-]?\d{19}"
_VERSION_WORDS = frozenset("version versions release firmware".split())  # 1.10 is not 1.1
_DIALLED = r"^\+\d{8,15}$"
_INFINITE = r"(?i)^[+-]?inf(inity)?$"

_CODES = "USD EUR GBP CHF JPY CNY INR RUB KRW TRY BRL AUD CAD NZD SEK NOK DKK PLN CZK HUF MXN ZAR"
_SYMBOLS = "$€£¥₹₽₩₺₫₴₪฿"
_CURRENCY = rf"(?:US|A|C|NZ|HK|S|R|MX)?[{_SYMBOLS}]|Rs[.]?|Fr[.]?|kr[.]?|{_CODES.replace(' ', '|')}"
_WORD = rf"[\p{{L}}°µμΩ{_SYMBOLS}²³/\"″'′.]"
_UNIT = rf"%|‰|{_WORD}{{1,12}}(?:\^?[23]|[ ]{_WORD}{{1,12}})?"
_BODY = rf"\d(?:[\d.,'’{SPACES}]*\d)?(?:[.,][-–—]{{0,2}})?|[.,]\d+"
_NUMBER = (
    rf"^['’]?(?<lead>{_CURRENCY})?\s*(?<open>\()?\s*(?<sign>{SIGN})?\s*(?<before>{_CURRENCY})?\s*(?<inner>{SIGN})?\s*"
    rf"(?<body>{_BODY})(?<power>[eE][+-]?\d+)?[{SPACES}]*(?<after>{_UNIT})?\s*(?<behind>-)?\s*(?<close>\))?$"
)
_SCALES = {
    **dict.fromkeys(("K", "k", "Tsd", "thousand"), "e3"),
    **dict.fromkeys(("Lakh", "lakh", "Lac", "lac"), "e5"),
    **dict.fromkeys(("M", "m", "Mn", "mn", "Mio", "mio", "million"), "e6"),
    **dict.fromkeys(("Crore", "crore", "Cr"), "e7"),
    **dict.fromkeys(("B", "b", "Bn", "bn", "Mrd", "billion"), "e9"),
    **dict.fromkeys(("T", "Bio", "trillion"), "e12"),
}
"""Words for powers of ten behind a number; German billions are Bio."""
_SCALE = "|".join(sorted(_SCALES, key=lambda word: (-len(word), word)))
_SHORT = frozenset("mbT")  # more likely metres, bytes or bits, and tesla or tonnes, where no other word scales
_MARKS = ((".", ""), (".", ","), (",", "."), (",", ""), (".", " "), (",", " "), (".", "'"), (",", "'"))
"""Decimal mark and mark of thousands, the more usual first."""
_OTHER_DIGITS = {chr(zero + digit): str(digit) for zero in (0x660, 0x6F0, 0x966, 0xFF10) for digit in range(10)}
_OTHER_DIGITS |= {"٫": ".", "٬": ",", "．": ".", "，": ",", "￥": "¥", "＋": "+", "－": "-"}
"""Digits and marks of other scripts: Arabic, Persian, Devanagari, full width."""
_IS_OTHER = f"[{''.join(_OTHER_DIGITS)}]"


@dataclass(frozen=True)
class NumberReading(Reading):
    """Numbers: Int64 where all are written without a decimal mark, else Float64.

    Attributes:
        decimal: The decimal mark.
        thousands: The mark of thousands; "" for none. " " is any space.
        unit: Currency or unit; cells without it fit too.
        scaled: Whether K, M and B behind a number stand for thousands, millions and billions, and the like.
    """

    decimal: str = "."
    thousands: str = ""
    unit: str = ""
    scaled: bool = False

    name = "number"

    def read(self, cells: pl.Series) -> pl.Series:
        if self.decimal == "." and (values := parsed(cells)) is not None:
            return values.fill_nan(None) if values.dtype == pl.Float64 else values
        cells = _in_ascii(cells)
        parts = cells.str.extract_groups(self._pattern).struct
        body = parts.field("body")
        digits = body.str.replace_all(_group(self.thousands), "") if self.thousands else body
        fraction = parts.field("fraction").fill_null("")
        power = parts.field("power").fill_null("")
        if self.scaled:
            power = parts.field("scale").replace(_SCALES).fill_null("") + power
        minus = pl.select(
            pl.any_horizontal(
                parts.field("open").is_not_null() & parts.field("close").is_not_null(),
                *(parts.field(name).is_in([*MINUS]).fill_null(False) for name in ("sign", "inner", "behind")),
            )
        ).to_series()
        whole = not self.scaled and (fraction == "").all() and (power == "").all()
        text = digits.fill_null("") if whole else digits.fill_null("0") + "." + fraction + power
        values = text.set(body.is_null() & (fraction == ""), None).cast(pl.Int64 if whole else pl.Float64, strict=False)
        values = values.zip_with(~minus, -values)
        infinite = cells.str.contains(_INFINITE).fill_null(False)
        return values.zip_with(~infinite, cells.cast(pl.Float64, strict=False)) if infinite.any() else values

    @property
    def _pattern(self) -> str:
        unit = f"(?:{_spellings(self.unit)})?" if self.unit else ""
        group = _group(self.thousands)
        body = rf"[1-9]\d{{0,2}}(?:{group}\d{{3}})+|[1-9]\d?(?:{group}\d{{2}})*{group}\d{{3}}|\d+" if self.thousands else r"\d+"
        scale = rf"[{SPACES}]?(?:(?<scale>{_SCALE})[.]?)?" if self.scaled else ""
        return (
            rf"^['’]?{unit}\s*(?<open>\()?\s*(?<sign>{SIGN})?\s*{unit}\s*(?<inner>{SIGN})?\s*(?<body>{body})?"
            rf"(?:{re.escape(self.decimal)}(?:[-–—]{{1,2}}|(?<fraction>\d*)))?(?<power>[eE][+-]?\d+)?{scale}\s*{unit}\s*"
            r"(?<behind>-)?\s*(?<close>\))?$"
        )

    def written(self) -> str:
        example = f"1{self.thousands}234{self.decimal}5" if self.thousands or self.decimal != "." else ""
        scaled = "with K, M and the like" if self.scaled else ""
        return " ".join(filter(None, [example and f"written {example}", self.unit and f"in {self.unit}", scaled]))


def _group(thousands: str) -> str:
    return f"[{SPACES}]" if thousands == " " else "['’]" if thousands == "'" else re.escape(thousands)


def _stem(unit: str) -> str:
    """A unit without a full stop and the s of a plural.

    Example:
        >>> _stem("Rs."), _stem("years"), _stem("ms")
        ('Rs', 'year', 'ms')
    """
    unit = unit.rstrip(".")
    return unit[:-1] if len(unit) > 2 and unit.isalpha() and unit.endswith("s") else unit


def _spellings(unit: str) -> str:
    """The pattern of a unit, with and without a full stop and the s of a plural."""
    stem = _stem(unit)
    return re.escape(stem) + ("s?" if len(stem) > 1 and stem.isalpha() else "") + "[.]?"


def _in_ascii(cells: pl.Series) -> pl.Series:
    """Cells with the digits and marks of other scripts as those of ASCII."""
    return cells.str.replace_many(_OTHER_DIGITS) if cells.str.contains(_IS_OTHER).any() else cells


def learn_plain_numbers(cells: pl.Series, clues: Clues) -> Learnt | None:
    """The reading of numbers that polars parses, and of codes with leading zeros or more than 18 digits; else None."""
    values = parsed(cells)
    if values is None:
        return None
    zeros = cells.filter(cells.str.starts_with("0"))
    if zeros.str.contains(_CODE).any():
        return None if cells.str.contains(MONTH_OF_YEAR).all() else Learnt(TextReading(zeros=True))
    long = values.dtype == pl.Float64 and bool((values.abs() >= 1e18).any()) and cells.str.contains(_LONG).any()
    dialled = cells.drop_nulls()[0].startswith("+") and cells.str.contains(_DIALLED).all()
    if long or dialled or (values.dtype == pl.Float64 and _VERSION_WORDS & {*re.findall("[a-z]+", cells.name.lower())}):
        return Learnt(TextReading())
    pointed = r"^[+-]?([1-9]\d{0,2}([.]\d{3})+|\d+)$"  # perhaps points of thousands
    sure = values.dtype == pl.Int64 or not (
        cells.head(SAMPLE).str.contains(pointed).all() and cells.str.contains(pointed).all()
    )
    if clues.decimal == "," and not sure:
        return None
    decimal = "." if sure and values.dtype == pl.Float64 else None
    return Learnt(NumberReading(), decimal, sure=sure, values=values.fill_nan(None) if values.dtype == pl.Float64 else values)


def parsed(cells: pl.Series) -> pl.Series | None:
    """The values as polars parses them, Int64 or else Float64; None where it cannot. The first cells are tried first."""
    for dtype in (pl.Int64, pl.Float64):
        for part in (cells.head(SAMPLE), cells):
            values = part.cast(dtype, strict=False)
            if values.null_count() > part.null_count():
                break
        else:
            return values
    return None


def learn_number(column: Cells) -> Learnt | None:
    """The reading of numbers, where the cells are such; else None."""
    if not look_like_numbers(column):
        return None
    cells = _in_ascii(column.values["cell"])
    if column.least and cells.str.contains(rf"{_CODE}|{_LONG}").any():
        return None
    parts = in_parts(cells, column.values["rows"])
    if not len(parts):
        return None
    unit, scaled = _unit(parts)
    bodies = parts["body"].str.strip_chars(SPACES)
    fits = {marks: bodies.str.contains(NumberReading(decimal=marks[0], thousands=marks[1])._pattern) for marks in _MARKS}
    rows = {marks: int(parts["rows"].filter(fit).sum()) for marks, fit in fits.items()}
    decimal, thousands, sure = _marks(bodies, [marks for marks in _MARKS if rows[marks] == max(rows.values())], column.clues)
    reading = NumberReading(decimal=decimal, thousands=thousands, unit=unit, scaled=scaled)
    share = column.share(reading.read(cells).is_not_null())
    if share < column.least or not share:
        return None
    shown = sure and bodies.str.contains(re.escape(decimal) + r"\d").any()
    return Learnt(reading, decimal if shown else None, sure=sure)


def look_like_numbers(column: Cells) -> bool:
    """Whether at least half of a sample of the rows are numbers, with any units."""
    return column.look_like(_NUMBER, _INFINITE)


def in_parts(cells: pl.Series, rows: pl.Series) -> pl.DataFrame:
    """The parts of the cells that are numbers: ``body``, ``unit`` (a currency or what is behind the number), ``scale``."""
    parts = cells.str.extract_groups(_NUMBER).struct.unnest().with_columns(rows=rows, cell=cells)
    parts = parts.filter(pl.col("body").is_not_null())
    behind = parts["after"].str.extract_groups(rf"^(?<scale>{_SCALE})[.]?[ ]?(?<currency>{_CURRENCY})?$").struct.unnest()
    return parts.with_columns(behind, unit=pl.coalesce("lead", "before", "after").fill_null(""))


def _unit(parts: pl.DataFrame) -> tuple[str, bool]:
    """The most frequent unit, "" for none, and whether words such as K and M scale the numbers."""
    currency = parts.select(pl.coalesce("lead", "before", "currency")).to_series()
    scales = parts["scale"].drop_nulls().unique().to_list()
    behind, scaling = (int(parts.filter(pl.col(name).is_not_null())["rows"].sum()) for name in ("after", "scale"))
    varies = len(scales) + bool(scaling < parts["rows"].sum()) > 1
    scaled = scaling > 0 and scaling >= SHARE * behind and (currency.count() > 0 or (varies and not _SHORT.issuperset(scales)))
    units = parts.with_columns(unit=currency.fill_null("")) if scaled else parts
    names = units.group_by("unit").agg(pl.col("rows").sum()).sort("rows", "unit", descending=[True, False])["unit"].to_list()
    return next(filter(None, names), ""), scaled


def _marks(bodies: pl.Series, fitting: list[tuple[str, str]], clues: Clues) -> tuple[str, str, bool]:
    """The decimal mark and the mark of thousands, and whether they are sure."""
    usual = fitting[0]
    if usual == (".", ",") and (",", "") in fitting:  # 1,234 everywhere
        comma = clues.decimal == "," or (clues.decimal is None and clues.separator == ";")
        return (",", "", False) if comma else (*usual, False)
    pointed = bodies.filter(bodies.str.contains(".", literal=True))
    if usual == (".", "") and (",", ".") in fitting and len(pointed) and not pointed.str.contains("^0").any():  # 1.234
        return (",", ".", False) if clues.decimal == "," else (*usual, False)
    return (*usual, True)
