"""Names of months in several languages, and offsets of time zones by name."""

from __future__ import annotations

_NAMES = """
jan january janvier januari januar jänner enero ene gennaio gen janeiro janv stycznia styczeń января январь янв
feb february février févr fév fevrier februari februar feber febrero febbraio fevereiro fev lutego luty февраля февраль фев
mar march mars märz mrz maerz maart mrt marzo março marco marca marzec marts марта март мар
apr april avril avr abril abr aprile kwietnia kwiecień апреля апрель апр
may mai mei mayo maggio mag maio maj maja мая май
jun june juin juni junio giugno giu junho czerwca czerwiec июня июнь июн
jul july juillet juil juli julio luglio lug julho lipca lipiec июля июль июл
aug august août aout augustus agosto ago augusti sierpnia sierpień августа август авг
sep sept september septembre septiembre setiembre settembre setembro set września wrzesień сентября сентябрь сен
oct october octobre okt oktober octubre ottobre ott outubro out października październik октября октябрь окт
nov november novembre noviembre novembro listopada listopad ноября ноябрь ноя
dec december décembre déc decembre dez dezember diciembre dic dicembre dezembro grudnia grudzień декабря декабрь дек
"""
MONTHS: dict[str, str] = {
    word: f"{number:02}" for number, words in enumerate(_NAMES.strip().splitlines(), 1) for word in words.split()
}
"""Numbers of months, 01 to 12, by name or abbreviation in lower case: English, German, French, Spanish, Italian, Portuguese,
Dutch, Scandinavian, Polish, Russian."""

_HOURS = {
    **dict.fromkeys(("z", "utc", "gmt", "wet", "wez"), 0),
    **dict.fromkeys(("cet", "mez", "west", "bst"), 1),
    **dict.fromkeys(("cest", "mesz", "eet"), 2),
    **{"eest": 3, "msk": 3, "hkt": 8, "sgt": 8, "jst": 9, "kst": 9, "aest": 10, "aedt": 11, "nzst": 12, "nzdt": 13},
    **{"edt": -4, "est": -5, "cdt": -5, "cst": -6, "mdt": -6, "mst": -7, "pdt": -7, "pst": -8},
}
ZONES: dict[str, int] = {name: hours * 60 for name, hours in _HOURS.items()}
"""Minutes from UTC by the name of a time zone in lower case; those of America as RFC 2822 has them."""
