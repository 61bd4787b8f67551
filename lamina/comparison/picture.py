"""A plot of a board as SVG: scores against fit times, with the Pareto front."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from pathlib import Path

from lamina.comparison.results import Line
from lamina.tasks.metrics import Metric
from lamina.train.run import replacing

WIDTH, HEIGHT = 760, 440
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 150, 40, 60
_INK, _FAINT, _TAKEN = "#222", "#bbb", "#c0392b"


def draw(lines: Sequence[Line], *, metric: Metric, how: str, taken: str, path: Path) -> Path:
    """Write the plot as an SVG file: fit times on a logarithmic scale, scores with their intervals, the recommended one red."""
    lines = [line for line in lines if line.folds]
    with replacing(path) as temporary:
        temporary.write_text(_svg(lines, metric, how, taken), encoding="utf-8")
    return path


def front(lines: Sequence[Line], metric: Metric) -> list[Line]:
    """The Pareto front, from the fastest on: the lines for which no other is both faster and better."""
    sign = 1 if metric.greater else -1
    best: list[Line] = []
    for line in sorted(lines, key=lambda line: (line.candidate.fit_seconds, -sign * line.score)):
        if not best or sign * line.score > sign * best[-1].score:
            best.append(line)
    return best


def _svg(lines: list[Line], metric: Metric, how: str, taken: str) -> str:
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        f'font-family="sans-serif" font-size="13" fill="{_INK}">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        _text(_LEFT, 22, f"{metric.title}, {how}", size=15),
    ]
    if not lines:
        return "\n".join([*parts, _text(_LEFT, HEIGHT / 2, "no candidate has a score"), "</svg>"])
    seconds = [max(line.candidate.fit_seconds, 1e-4) for line in lines]
    first, last = math.floor(math.log10(min(seconds))), math.ceil(math.log10(max(seconds)))
    last += first == last
    values = [value for line in lines for value in (line.score, line.low, line.high) if math.isfinite(value)]
    low, high = min(values), max(values)
    low, high = low - 0.05 * (high - low or 1), high + 0.05 * (high - low or 1)

    def x(value: float) -> float:
        return _LEFT + (math.log10(max(value, 1e-4)) - first) / (last - first) * (WIDTH - _LEFT - _RIGHT)

    def y(value: float) -> float:
        return HEIGHT - _BOTTOM - (value - low) / (high - low) * (HEIGHT - _TOP - _BOTTOM)

    for power in range(first, last + 1):
        at = x(10.0**power)
        parts.append(_line(at, _TOP, at, HEIGHT - _BOTTOM, _FAINT))
        parts.append(_text(at, HEIGHT - _BOTTOM + 20, f"{10.0**power:g} s", anchor="middle"))
    step = _step(high - low)
    for number in range(math.ceil(low / step), math.floor(high / step) + 1):
        at = y(number * step)
        parts.append(_line(_LEFT, at, WIDTH - _RIGHT, at, _FAINT))
        parts.append(_text(_LEFT - 8, at + 4, f"{number * step:.6g}", anchor="end"))
    parts.append(_text((_LEFT + WIDTH - _RIGHT) / 2, HEIGHT - 16, "fit time of one fold", anchor="middle"))
    points = " ".join(f"{x(line.candidate.fit_seconds):.1f},{y(line.score):.1f}" for line in front(lines, metric))
    parts.append(f'<polyline points="{points}" fill="none" stroke="{_FAINT}" stroke-width="3"/>')
    places: list[float] = []
    for line in sorted(lines, key=lambda line: y(line.score)):
        across, up, ink = x(line.candidate.fit_seconds), y(line.score), _TAKEN if line.name == taken else _INK
        if math.isfinite(line.low):
            parts.append(_line(across, y(line.low), across, y(line.high), ink))
        parts.append(f'<circle cx="{across:.1f}" cy="{up:.1f}" r="5" fill="{ink}"><title>{escape(line.name)}</title></circle>')
        label = max(up + 4, places[-1] + 15) if places and abs(places[-1] - up) < 15 else up + 4
        places.append(label)
        parts.append(_text(across + 9, label, line.name, ink=ink))
    return "\n".join([*parts, "</svg>"])


def _line(x1: float, y1: float, x2: float, y2: float, ink: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{ink}"/>'


def _text(x: float, y: float, text: str, *, anchor: str = "start", size: int = 13, ink: str = _INK) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" fill="{ink}">{escape(text)}</text>'


def _step(span: float) -> float:
    """A round distance between ticks, for four to eight of them."""
    power = 10.0 ** math.floor(math.log10(span / 4))
    return next(power * factor for factor in (5, 2, 1) if span / (power * factor) >= 4)
