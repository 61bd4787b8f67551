"""The public face: names, what an import costs, options that carry their bounds."""

import dataclasses
import subprocess
import sys

import pytest

import lamina
from lamina.errors import OptionError
from lamina.families import FAMILIES
from lamina.options import Options, bounds, find, option, parse

OPTIONS = [lamina.Recipe, *FAMILIES.values()]


def test_public_names_are_there():
    assert all(getattr(lamina, name) is not None for name in lamina.__all__)
    assert set(lamina.__all__) <= set(dir(lamina))
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        _ = lamina.nonsense


@pytest.mark.tiny
def test_importing_lamina_loads_no_heavy_library():
    heavy = "torch numpy polars sklearn scipy pandas"
    code = f"import sys, lamina; sys.exit(', '.join(set('{heavy}'.split()) & set(sys.modules)) or 0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.tiny
def test_importing_the_families_loads_no_torch():
    """So the command line says what is wrong with an option at once."""
    code = "import sys, lamina.families as f; f.FeedForward().check(); sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("cls", OPTIONS)
def test_defaults_are_within_their_bounds(cls):
    assert cls().check() == cls()
    assert cls.from_json(cls().to_json()) == cls()


@pytest.mark.parametrize(("cls", "field"), [(cls, field) for cls in OPTIONS for field in dataclasses.fields(cls)])
def test_each_bound_is_kept(cls, field):
    beyond = []
    if field.metadata["low"] is not None:
        beyond.append(field.metadata["low"] - 1)
    if field.metadata["high"] is not None:
        beyond.append(field.metadata["high"] * 2)
    if field.metadata["items"]:
        beyond = [(value,) for value in beyond]
    for value in [*beyond, "nonsense", float("nan"), object()]:
        with pytest.raises(OptionError, match=rf"{cls.__name__}\.{field.name} is .*, expected"):
            cls(**{field.name: value}).check()
    assert bounds(field)
    assert field.metadata["help"]


@dataclasses.dataclass
class Oven(Options):
    heat: float = option(180.0, "degrees", low=50, high=250)
    trays: tuple[int, ...] = option((1, 2), "which", low=1, high=4, items=int)
    fan: bool = option(False, "turn")
    mode: str | None = option(None, "what", choices=("bake", "grill", None))
    count: int | str = option("auto", "how many", low=1, choices=("auto",), kind=int)


def test_parse_reads_words_as_values():
    assert parse(Oven, "heat", "200") == 200
    assert parse(Oven, "trays", "1,3") == (1, 3)
    assert parse(Oven, "trays", "(4)") == (4,)
    assert parse(Oven, "fan", "true") is True
    assert parse(Oven, "mode", "none") is None
    assert parse(Oven, "count", "auto") == "auto"
    with pytest.raises(OptionError, match=r"Oven.heat is 300, expected a number between 50 and 250"):
        parse(Oven, "heat", "300")
    with pytest.raises(OptionError, match=r"Oven.trays is \(9,\), expected a list of whole numbers between 1 and 4"):
        parse(Oven, "trays", "9")
    with pytest.raises(OptionError, match=r"Oven has no option 'heet'; did you mean 'heat'\?"):
        parse(Oven, "heet", "1")
    with pytest.raises(OptionError, match=r"Oven.fan is 1, expected true or false"):
        Oven(fan=1).check()
    with pytest.raises(OptionError, match=r"Oven.heat is True"):
        Oven(heat=True).check()


def test_options_follow_sklearn():
    oven = Oven().set_params(heat=90.0)
    assert oven.get_params() == {"heat": 90.0, "trays": (1, 2), "fan": False, "mode": None, "count": "auto"}
    with pytest.raises(OptionError, match="it has heat, trays, fan, mode, count"):
        oven.set_params(zzz=1)
    assert find(Oven, "heat").default == 180.0
