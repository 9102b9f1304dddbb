"""A picture of the results: bars of rate and of CPU, ours beside the peer's, as SVG written by hand."""

from collections.abc import Mapping
from xml.sax.saxutils import escape

from bench.load import Measurement

_WIDTH, _LEFT, _BAR, _GAP, _TOP = 860, 170, 16, 14, 56
_COLOURS = {"idp": "#2f6fde", "peer": "#9aa5b1"}
_STYLE = "text{font:13px system-ui,sans-serif;fill:#1f2933}.small{font-size:11px}"


def draw(results: Mapping[str, Mapping[str, Measurement]], *, title: str) -> str:
    """Answer an SVG with two charts side by side."""
    height = _TOP + len(results) * (2 * _BAR + _GAP) + 20
    half = (_WIDTH - _LEFT) // 2
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" role="img">',
        f"<title>{escape(title)}</title><style>{_STYLE}</style>",
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="12" y="22">{escape(title)}</text>',
        f'<text class="small" x="{_LEFT}" y="44">operations per second (more is better)</text>',
        f'<text class="small" x="{_LEFT + half}" y="44">server CPU ms per operation (less is better)</text>',
    ]
    room = half - 70
    for row, (profile, by_server) in enumerate(results.items()):
        top = _TOP + row * (2 * _BAR + _GAP)
        parts.append(f'<text x="12" y="{top + _BAR + 4}">{escape(profile)}</text>')
        # Each profile on a scale of its own: fetching keys is a hundred times a sign-in.
        most_rate = max(found.rate for found in by_server.values()) or 1
        most_cpu = max(found.server_cpu_ms for found in by_server.values()) or 1
        for place, (server, found) in enumerate(by_server.items()):
            y, colour = top + place * _BAR, _COLOURS[server]
            label = f"{found.rate:,.0f}/s {server}"
            parts.append(_bar(_LEFT, y, room * found.rate / most_rate, colour, label))
            cpu_width = room * found.server_cpu_ms / most_cpu
            parts.append(_bar(_LEFT + half, y, cpu_width, colour, f"{found.server_cpu_ms:.2f} ms"))
    return "\n".join([*parts, "</svg>", ""])


def _bar(x: float, y: float, width: float, colour: str, label: str) -> str:
    return (
        f'<rect x="{x}" y="{y}" width="{width:.1f}" height="{_BAR - 2}" fill="{colour}"/>'
        f'<text class="small" x="{x + width + 5:.1f}" y="{y + 11}">{escape(label)}</text>'
    )
