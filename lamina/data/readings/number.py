"""Numbers with marks of decimals and thousands, currencies, units and percent."""

from __future__ import annotations

import re
from dataclasses import dataclass

import polars as pl

from lamina.data.readings.reading import SAMPLE, SIGN, SPACES, Cells, Clues, Learnt, Reading
from lamina.data.readings.text import TextReading

_CODE = r"^\s*[+-]?0\d"
_LONG = r"^\s*[+-]?\d{19}"
_INFINITE = r"(?i)^[+-]?inf(inity)?$"

_CODES = "USD EUR GBP CHF JPY CNY INR RUB KRW TRY BRL AUD CAD NZD SEK NOK DKK PLN CZK HUF MXN ZAR"
_CURRENCY = rf"(?:US|A|C|NZ|HK|S)?[$€£¥₹₽₩₺₫₴₪฿]|Rs[.]?|{_CODES.replace(' ', '|')}"
_UNIT = r"%|‰|[a-zA-Z°µμΩ€$£¥₹₽₩₺₫₴₪฿²³/\"″'′.]{1,9}(?: [a-zA-Z²³/.]{1,9})?"
_BODY = rf"\d(?:[\d.,'’{SPACES}]*\d)?[.,]?|[.,]\d+"
_NUMBER = (
    rf"^(?<open>\()?\s*(?<sign>{SIGN})?\s*(?<before>{_CURRENCY})?\s*(?<inner>{SIGN})?\s*(?<body>{_BODY})(?<power>[eE][+-]?\d+)?"
    rf"[{SPACES}]*(?<after>{_UNIT})?\s*(?<behind>-)?\s*(?<close>\))?$"
)
_SCALES = {"K": "e3", "k": "e3", "M": "e6", "B": "e9"}
_MARKS = ((".", ""), (".", ","), (",", "."), (",", ""), (".", " "), (",", " "), (".", "'"), (",", "'"))
"""Decimal mark and mark of thousands, the more usual first."""


@dataclass(frozen=True)
class NumberReading(Reading):
    """Numbers: Int64 where all are written without a decimal mark, else Float64.

    Attributes:
        decimal: The decimal mark.
        thousands: The mark of thousands; "" for none. " " is any space.
        unit: Currency or unit; cells without it fit too.
        scaled: Whether K, M and B behind a number stand for thousands, millions and billions.
    """

    decimal: str = "."
    thousands: str = ""
    unit: str = ""
    scaled: bool = False

    name = "number"

    def read(self, cells: pl.Series) -> pl.Series:
        if self.decimal == "." and (values := parsed(cells)) is not None:
            return values.fill_nan(None) if values.dtype == pl.Float64 else values
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
                *(parts.field(name).is_in(["-", "\N{MINUS SIGN}"]).fill_null(False) for name in ("sign", "inner", "behind")),
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
        unit = f"(?:{re.escape(self.unit)})?" if self.unit else ""
        group = _group(self.thousands)
        body = rf"[1-9]\d{{0,2}}(?:{group}\d{{3}})+|[1-9]\d?(?:{group}\d{{2}})*{group}\d{{3}}|\d+" if self.thousands else r"\d+"
        scale = r"[ ]?(?<scale>[KkMB])?" if self.scaled else ""
        return (
            rf"^(?<open>\()?\s*(?<sign>{SIGN})?\s*{unit}\s*(?<inner>{SIGN})?\s*(?<body>{body})?"
            rf"(?:{re.escape(self.decimal)}(?<fraction>\d*))?(?<power>[eE][+-]?\d+)?{scale}\s*{unit}\s*(?<behind>-)?\s*(?<close>\))?$"
        )

    def written(self) -> str:
        example = f"1{self.thousands}234{self.decimal}5" if self.thousands or self.decimal != "." else ""
        return " ".join(filter(None, [example and f"written {example}", self.unit and f"in {self.unit}"]))


def _group(thousands: str) -> str:
    return f"[{SPACES}]" if thousands == " " else "['’]" if thousands == "'" else re.escape(thousands)


def learn_plain_numbers(cells: pl.Series, clues: Clues) -> Learnt | None:
    """The reading of numbers that polars parses, and of codes with leading zeros; else None."""
    values = parsed(cells)
    if values is None:
        return None
    zeros = cells.filter(cells.str.starts_with("0"))
    long = values.dtype == pl.Float64 and bool((values.abs() >= 1e18).any()) and cells.str.contains(_LONG).any()
    if long or zeros.str.contains(_CODE).any():
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
    if not column.look_like(_NUMBER, _INFINITE):
        return None
    cells = column.values["cell"]
    parts = cells.str.extract_groups(_NUMBER).struct.unnest().with_columns(rows=column.values["rows"], cell=cells)
    parts = parts.filter(pl.col("body").is_not_null())
    if not len(parts) or (column.least and (cells.str.contains(_CODE) | cells.str.contains(_LONG)).any()):
        return None
    units = parts.select("rows", unit=pl.coalesce("before", "after").fill_null("")).group_by("unit").agg(pl.col("rows").sum())
    names = units.sort("rows", "unit", descending=[True, False])["unit"].to_list()
    scaled = len(names) > 1 and all(unit in _SCALES or not unit for unit in names)
    unit = "" if scaled else next(filter(None, names), "")
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
