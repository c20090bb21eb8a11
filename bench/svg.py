"""Two kinds of plots as SVG text: bars, and lines over a logarithmic or named axis. Pure; no library."""

from collections.abc import Mapping, Sequence
from html import escape
from math import isnan, log10

COLOURS = ("#2563eb", "#ea580c", "#16a34a", "#9333ea", "#64748b", "#db2777", "#0891b2")
WIDTH = 760
FONT = 'font-family="system-ui, sans-serif" font-size="13" fill="#1f2937"'


def bars(title: str, values: Mapping[str, float], *, unit: str = "") -> str:
    """Return horizontal bars, one for each name; the longest is the whole width."""
    shown = {name: value for name, value in values.items() if not isnan(value)}
    most = max(shown.values(), default=1) or 1
    parts = [_text(16, 26, title, weight="600")]
    for row, (name, value) in enumerate(shown.items()):
        y = 46 + 44 * row
        length = max(1.0, (WIDTH - 130) * value / most)
        parts.append(_text(16, y + 10, name))
        parts.append(f'<rect x="16" y="{y + 16}" width="{length:.1f}" height="14" rx="2" fill="{_colour(row)}"/>')
        parts.append(_text(22 + length, y + 28, f"{value:,.0f}{unit}" if value >= 100 else f"{value:,.2f}{unit}"))
    return _page(56 + 44 * len(shown), parts)


def lines(
    title: str, across: Sequence[str], series: Mapping[str, Sequence[float]], *, unit: str = "", height: int = 320
) -> str:
    """Return one line for each series over the named points of the x axis; the y axis is logarithmic."""
    known = [value for values in series.values() for value in values if value > 0]
    low, high = _decades(known)
    left, top, bottom, right = 84, 46, height - 40, WIDTH - 30
    step = (right - left) / max(1, len(across) - 1)
    scale = (bottom - top) / (high - low)
    parts = [_text(16, 26, title, weight="600")]
    for decade in range(low, high + 1):
        y = bottom - (decade - low) * scale
        parts.append(f'<line x1="{left}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}" stroke="#e5e7eb"/>')
        parts.append(_text(16, y + 4, f"{10.0**decade:g}{unit}"))
    for index, name in enumerate(across):
        parts.append(_text(left + index * step - 4 * len(name) * (index > 0), height - 18, name))
    for row, (name, values) in enumerate(series.items()):
        points = [
            (left + index * step, bottom - (log10(value) - low) * scale)
            for index, value in enumerate(values)
            if value > 0
        ]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{_colour(row)}" stroke-width="2"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{_colour(row)}"/>' for x, y in points]
        parts.append(f'<rect x="16" y="{height + 18 * row}" width="12" height="12" fill="{_colour(row)}"/>')
        parts.append(_text(34, height + 11 + 18 * row, name))
    return _page(height + 18 * len(series) + 8, parts)


def _decades(values: Sequence[float]) -> tuple[int, int]:
    if not values:
        return 0, 1
    low = int(log10(min(values)) // 1)
    return low, max(low + 1, int(-(-log10(max(values)) // 1)))


def _colour(row: int) -> str:
    return COLOURS[row % len(COLOURS)]


def _text(x: float, y: float, text: str, *, weight: str = "400") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" font-weight="{weight}" {FONT}>{escape(text)}</text>'


def _page(height: int, parts: Sequence[str]) -> str:
    opening = f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}">'
    return "\n".join([opening, '<rect width="100%" height="100%" fill="#ffffff"/>', *parts, "</svg>"]) + "\n"
