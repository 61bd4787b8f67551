"""Readings: how cells of text become values, learnt from training rows and kept."""

import datetime as dt

import polars as pl
import pytest

from lamina.data.readings import DateReading, NumberReading, learn, reading_from_json
from lamina.errors import ModelFileError, SchemaError

D, T = dt.date, dt.datetime


def read(cells, **options):
    column = pl.Series("c", cells)
    readings, table = learn(column.to_frame(), **options)
    reading = readings["c"]
    assert reading_from_json(reading.to_json()) == reading
    values, failed = reading(column)
    assert values.alias("c").equals(table["c"], null_equal=True)
    return reading, values.to_list(), [] if failed is None else column.filter(failed).to_list()


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        (["1", "2", "-3"], [1, 2, -3]),
        (["1.5", "2", "1e5"], [1.5, 2, 1e5]),
        ([" 39", "40 "], [39, 40]),
        (["+5", "\N{MINUS SIGN}6.5", "7-"], [5, -6.5, -7]),
        (["1,234.5", "2,000", "17"], [1234.5, 2000, 17]),
        (["1.234,56", "2,5"], [1234.56, 2.5]),
        (["1'234.50", "17.00"], [1234.5, 17]),
        (["1 234,50", "2\u00a0345,1"], [1234.5, 2345.1]),
        (["1,23,456", "12,34,567"], [123456, 1234567]),
        (["(1,234.50)", "12.0"], [-1234.5, 12]),
        (["1,234", "2,345"], [1234, 2345]),
        (["1,234", "0,345"], [1.234, 0.345]),
        (["1.234", "2.345"], [1.234, 2.345]),
        (["$5", "-$1,200", "$ 12", "7"], [5, -1200, 12, 7]),
        (["12,345.67 €", "1.00 €"], [12345.67, 1]),
        (["USD 5", "USD 7"], [5, 7]),
        (["1234 kg", "5 kg"], [1234, 5]),
        (["1234 sq ft", "2 sq ft"], [1234, 2]),
        (["12 %", "3%"], [12, 3]),
        (["1.2K", "3M", "500"], [1200, 3e6, 500]),
        (["01:23:45", "00:10:00.5"], [5025, 600.5]),
        (["12:30", "-08:15"], [45000, -29700]),
        (["0 days 01:23:45.500000", "-1 days +23:59:00", "1 day, 0:00:01"], [5025.5, -60, 86401]),
        (["PT1H23M45S", "-PT61.5S", "P1DT2H", "P-1DT23H59M"], [5025, -61.5, 93600, -60]),
        (["nan", "1", "inf"], [None, 1, float("inf")]),
        (["1,234", "5.5", "-inf"], [1234, 5.5, float("-inf")]),
        (["n/a", "1.5", "#DIV/0!", "-", "<NA>", "Missing", "."] + ["2"] * 9, [None, 1.5] + [None] * 5 + [2] * 9),
        (["True", "FALSE", "true"], [True, False, True]),
        (["2017-12-31", "2018-01-01"], [D(2017, 12, 31), D(2018, 1, 1)]),
        (["2017/12/31", "2018/1/1"], [D(2017, 12, 31), D(2018, 1, 1)]),
        (["12/31/2017", "01/02/2018"], [D(2017, 12, 31), D(2018, 1, 2)]),
        (["31/12/2017", "01/02/2018"], [D(2017, 12, 31), D(2018, 2, 1)]),
        (["31.12.2017", "1.2.2018"], [D(2017, 12, 31), D(2018, 2, 1)]),
        (["1.2.2018", "2.3.2018"], [D(2018, 2, 1), D(2018, 3, 2)]),
        (["01/31/22", "02/01/69"], [D(2022, 1, 31), D(1969, 2, 1)]),
        (["31-Jan-2017", "1-Feb-2018"], [D(2017, 1, 31), D(2018, 2, 1)]),
        (["Jan 31, 2017", "September 1, 2018"], [D(2017, 1, 31), D(2018, 9, 1)]),
        (["Mon, 20 May 2019", "3 June 2020"], [D(2019, 5, 20), D(2020, 6, 3)]),
        (["12/31/2017 1:05 PM", "01/02/2018 12:10 AM"], [T(2017, 12, 31, 13, 5), T(2018, 1, 2, 0, 10)]),
        (["2017-12-31 10:00:00 UTC", "2017-12-31"], [T(2017, 12, 31, 10), T(2017, 12, 31)]),
        (["2017-12-31T10:00:00+02:00", "2017-12-31T10:00:00.5Z"], [T(2017, 12, 31, 8), T(2017, 12, 31, 10, 0, 0, 500_000)]),
        (["01/01/2024", "02/02/2024"], [D(2024, 1, 1), D(2024, 2, 2)]),
        (["12. Januar 2022", "3. März 2022"], [D(2022, 1, 12), D(2022, 3, 3)]),
        (["3 mars 2021", "1er avril 2022", "4 déc. 2020"], [D(2021, 3, 3), D(2022, 4, 1), D(2020, 12, 4)]),
        (["3 de marzo de 2021", "12 de agosto de 2020"], [D(2021, 3, 3), D(2020, 8, 12)]),
        (["lunedì 3 maggio 2021", "12 luglio 2020"], [D(2021, 5, 3), D(2020, 7, 12)]),
        (["3 maart 2021", "12 mei 2020"], [D(2021, 3, 3), D(2020, 5, 12)]),
        (["3 de março de 2021", "9 de outubro de 2020"], [D(2021, 3, 3), D(2020, 10, 9)]),
        (["January 3rd, 2022", "March 22nd 2022"], [D(2022, 1, 3), D(2022, 3, 22)]),
        (["2022年1月5日", "2022年12月31日"], [D(2022, 1, 5), D(2022, 12, 31)]),
        (["03JAN2022", "14FEB2022"], [D(2022, 1, 3), D(2022, 2, 14)]),
        (["Mon Jan  3 10:00:00 2022", "Tue Jan 04 11:00:00 +0100 2022"], [T(2022, 1, 3, 10), T(2022, 1, 4, 10)]),
        (["2022:01:03 10:00:00", "2022:01:04 11:00:00"], [T(2022, 1, 3, 10), T(2022, 1, 4, 11)]),
        (["20220103T100000Z", "20220104T110000Z"], [T(2022, 1, 3, 10), T(2022, 1, 4, 11)]),
        (["2022-01-01 24:00", "2022-01-02 00:30"], [T(2022, 1, 2), T(2022, 1, 2, 0, 30)]),
        (["2022-01-01 10:00 CET", "2022-07-01 10:00 CEST"], [T(2022, 1, 1, 9), T(2022, 7, 1, 8)]),
        (["2022-01-01T10:00+01:00[Europe/Zurich]", "2022-07-01 10:00 GMT+2"], [T(2022, 1, 1, 9), T(2022, 7, 1, 8)]),
        (["2022-01", "2021-12"], [D(2022, 1, 1), D(2021, 12, 1)]),
        (["01/2022", "12/2021"], [D(2022, 1, 1), D(2021, 12, 1)]),
        (["01.2022", "12.2021"], [D(2022, 1, 1), D(2021, 12, 1)]),
        (["Jan 2022", "déc. 2021"], [D(2022, 1, 1), D(2021, 12, 1)]),
        (["Jan-22", "Dec-99"], [D(2022, 1, 1), D(1999, 12, 1)]),
        (["2022-Q1", "2021 Q4"], [D(2022, 1, 1), D(2021, 10, 1)]),
        (["Q1 2022", "Q4/2021"], [D(2022, 1, 1), D(2021, 10, 1)]),
        (["2022-W01", "2021-W52"], [D(2022, 1, 3), D(2021, 12, 27)]),
        ([f"22-01-{day}" for day in (13, 14, 15, 31)], [D(2022, 1, day) for day in (13, 14, 15, 31)]),
        (["13-01-22", "14-01-22", "15-01-22"], [D(2022, 1, 13), D(2022, 1, 14), D(2022, 1, 15)]),
        (["8:30 AM", "12:15 p.m.", "12:00 am"], [30600, 44100, 0]),
        (["01:23.5", "02:10"], [83.5, 130]),
        (["5 PM", "6 a.m.", "12 AM"], [61200, 21600, 0]),
        (["2h30", "1h15"], [9000, 4500]),
        (["3 января 2022 г.", "14 февраля 2022"], [D(2022, 1, 3), D(2022, 2, 14)]),
        (["2022-01-01 10:00:00 +0200 CEST", "2022-01-02 10:00:00 +0000 UTC"], [T(2022, 1, 1, 8), T(2022, 1, 2, 10)]),
        (["0000-00-00", "2022-01-01"], [None, D(2022, 1, 1)]),
        (["1h 30min", "45 min", "2 hours"], [5400, 2700, 7200]),
        (["5.-", "7.50", "12.--"], [5, 7.5, 12]),
        (["'1234", "'77"], [1234, 77]),
        (["\N{EN DASH}5.5", "3.2"], [-5.5, 3.2]),
        (["1\u2007234", "12"], [1234, 12]),
        (["٣٫٥", "۱۲"], [3.5, 12]),
        (["R$ 1.234,50", "R$ 99,00"], [1234.5, 99]),
        (["1 234,50 zł", "99,00 zł"], [1234.5, 99]),
        (["Rs. 1,234", "Rs 99"], [1234, 99]),
        (["$ (5.00)", "$(1,234.50)", "$-7.00", "$12"], [-5, -1234.5, -7, 12]),
        (["€1.5M", "€500K", "€12"], [1.5e6, 5e5, 12]),
        (["1,2 Mio. €", "500 Tsd. €", "0,5 Mrd. €"], [1.2e6, 5e5, 5e8]),
        (["5 years", "1 year"], [5, 1]),
        (["30 m2", "12 m2"], [30, 12]),
    ],
)
def test_values(cells, values):
    assert read(cells)[1:] == (values, [])


@pytest.mark.parametrize(
    "cells",
    [
        ["00123", "123"],
        ["1.2.3", "1.2.4"],
        ["Room 5", "Room 7"],
        ["555 123 4567", "555 123 4568"],
        ["12345678901234567890", "12345678901234567891"],
        ["10.0.0.1", "10.0.0.2"],
        ["-5 kg", "5 lb"],
        ["$12", "12 €"],
        ["1-2", "3-4"],
        ["1st", "2nd"],
        ["2017-13-01", "2017-01-02"],
        ["31/12/2017", "12/31/2017"] * 30,
        ["2009-10", "2010-11", "2011-12"],
        ["1-Mar", "2-Sep", "1-Dec"],
        ["MARCH1", "SEPT2", "DEC1"],
        ["4711-01", "4712-02"],
        ["2022-13", "2022-14"],
        ["+41441234567", "+41792223344"],
        ["12A", "13B", "14C"],
        ["5 m", "3 km"],
        ["NO", "SE", "DK"],
        ["True", "False", "Unknown"],
        ["1.5"] * 94 + ["x"] * 6,
        ["NA", "DE", "CH"],
        ["None", "Apnea"],
    ],
)
def test_texts_stay_as_they_are(cells):
    assert read(cells, separator=",")[1:] == (cells, [])


def test_a_few_odd_cells_do_not_make_a_number_a_text():
    reading, values, failed = read(["1.5"] * 96 + ["lost", "3 or 4"])
    assert (values[-3:], failed, reading.invalid) == ([1.5, None, None], ["lost", "3 or 4"], 2)
    assert reading.remark() == "2 invalid, such as '3 or 4', treated as missing"


def test_words_for_missing_values_among_texts():
    rare = ["NA"] + ["Apnea", "Insomnia"] * 30
    assert read(rare, separator=",")[1][0] is None
    assert read(rare, separator=",")[0].remark() == "missing where 'NA' (1)"
    assert read(rare)[1] == rare  # a frame has missing values of its own
    table = pl.DataFrame({"country": ["NA", "DE", "CH", "DE"] * 9, "x": ["1", "NA", "2", "3"] * 9})
    reading = learn(table, separator=",")[0]["country"]
    assert reading.missing == {"NA": 9}  # as in the column of numbers
    table = pl.DataFrame({"state": ["missing", "on", "off", "on"] * 9, "x": ["1", "missing", "2", "3"] * 9})
    assert learn(table, separator=",")[0]["state"].missing == {"missing": 9}
    flags = table.with_columns(state=pl.Series(["-", "True", "False", "True"] * 9), x=pl.Series(["1", "-", "2", "3"] * 9))
    assert learn(flags, separator=",")[1]["state"].to_list()[:3] == [None, True, False]
    assert not learn(table[["state"]], separator=",")[0]["state"].missing


def test_other_columns_decide_where_two_readings_fit():
    table = pl.DataFrame(
        {"a": ["01/02/2018", "03/04/2018"], "b": ["12/31/2018", "01/01/2019"], "c": ["1.234", "5.678"], "d": ["1,5", "2,5"]}
    )
    readings, rows = learn(table)
    assert rows["a"].to_list() == [D(2018, 1, 2), D(2018, 3, 4)]
    assert rows["c"].to_list() == [1234, 5678]
    assert readings["c"](pl.Series(["1.5"]))[1].to_list() == [True]
    with pytest.raises(SchemaError, match=r"'01/02/2018', which may be 1 February 2018 or 2 January 2018; say which: kinds="):
        learn(table[["a"]])


def test_words_for_true_and_false_in_later_files():
    reading = read(["True", "false", "TRUE"])[0]
    values, failed = reading(pl.Series(["yes", "FALSCH", "oui", "0", "perhaps"]))
    assert (values.to_list(), failed.arg_true().to_list()) == ([True, False, True, False, None], [4])


def test_declared_readings():
    table = pl.DataFrame({"day": ["01/02/2018", "03/04/2018"], "serial": ["43831", "43832.5"], "price": ["1.234", "2"]})
    declared = {"day": "date %m/%d/%Y", "serial": "date excel", "price": "number 1.234,5"}
    _, rows = learn(table, declared=declared)
    assert rows["day"].to_list() == [D(2018, 1, 2), D(2018, 3, 4)]
    assert rows["serial"].to_list() == [T(2020, 1, 1), T(2020, 1, 2, 12)]
    assert rows["price"].to_list() == [1234, 2]
    _, third = learn(pl.DataFrame({"serial": ["43831.3333333333"]}), declared={"serial": "date excel"})
    assert third["serial"].to_list() == [T(2020, 1, 1, 8)]
    with pytest.raises(SchemaError, match="kinds: column 'day' is 'date foo'; expected a kind, 'date' with a format such as"):
        learn(table, declared={"day": "date foo"})


def test_a_cell_that_does_not_fit_is_never_read_in_another_way():
    german = NumberReading(decimal=",", thousands=".")
    values, failed = german(pl.Series(["1.234,5", "1,5", "1.5", "1,234.5"]))
    assert (values.to_list(), failed.to_list()) == ([1234.5, 1.5, None, None], [False, False, True, True])
    values, failed = DateReading(order="dmy")(pl.Series(["31/12/2017", "12/31/2017", "2017-12-31", "n/a"]))
    assert values.to_list() == [D(2017, 12, 31), None, D(2017, 12, 31), None]
    assert failed.to_list() == [False, True, False, False]


@pytest.mark.parametrize("values", [None, {}, {"name": "guess"}, {"name": "date", "order": 5}, {"name": "date", "unit": "kg"}])
def test_damaged_readings_are_refused(values):
    with pytest.raises(ModelFileError):
        reading_from_json(values)


def test_the_separator_is_a_clue_for_commas():
    column = pl.DataFrame({"price": ["1,234", "2,345"], "n": ["1", "2"]})
    assert learn(column, separator=";")[1]["price"].to_list() == [1.234, 2.345]
    for separator in (None, ",", "\t"):
        assert learn(column, separator=separator)[1]["price"].to_list() == [1234, 2345]
    pointed = column.with_columns(weight=pl.Series(["1.5", "2.5"]))
    assert learn(pointed, separator=";")[1]["price"].to_list() == [1234, 2345]  # another column has decimal points


def test_years_of_two_digits_first_or_last():
    column = pl.DataFrame({"day": ["22-03-21", "21-04-22"]})
    with pytest.raises(
        SchemaError, match=r"'21-04-22', which may be 22 April 2021 or 21 April 2022; say which: .*'date %y-%m-%d'"
    ):
        learn(column)
    assert learn(pl.DataFrame({"m": ["1.2022"]}), declared={"m": "date %m.%Y"})[1]["m"].to_list() == [D(2022, 1, 1)]
    assert learn(column, declared={"day": "date %y-%m-%d"})[1]["day"].to_list() == [D(2022, 3, 21), D(2021, 4, 22)]


def test_later_cells_of_months_and_of_units():
    months = DateReading(order="months")
    values, failed = months(pl.Series(["2022-03", "2022-03-05", "2022-Q1", "n/a"]))
    assert values.to_list() == [D(2022, 3, 1), D(2022, 3, 5), None, None]
    assert failed.to_list() == [False, False, True, False]
    values, failed = NumberReading(unit="USD")(pl.Series(["USD 5", "5 usd", "5 EUR", "5"]))
    assert (values.to_list(), failed.to_list()) == ([5, None, None, 5], [False, True, True, False])


def test_numbers_of_versions_are_text():
    table = pl.DataFrame({"app_version": ["1.10", "1.9"], "size": ["1.10", "1.9"]})
    assert learn(table)[1].to_dicts() == [{"app_version": "1.10", "size": 1.1}, {"app_version": "1.9", "size": 1.9}]
