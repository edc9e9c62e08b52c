"""Draws the medians as one SVG file that needs nothing else: bars with their quartiles, one panel for each question.

The panels have scales of their own; what is to be compared is inside a panel. Colours follow the reader's light or dark
setting, and each bar has its figure beside it, so that nothing depends on them.
"""
from html import escape

import bench_report

# Panel title, case, key of the sample
PANELS = [
    ("CPU a request, 64 connections (µs)", "pingpong-64", "main"),
    ("p99 at 64 connections (µs)", "pingpong-64", "p99_us"),
    ("CPU a request, one connection (µs)", "pingpong-1", "main"),
    ("CPU a connection, churn (µs)", "churn-32", "main"),
    ("CPU a gigabyte, 1 connection (s)", "bulk-1", "main"),
    ("CPU a gigabyte, 8 connections (s)", "bulk-8", "main"),
    ("Resident memory an idle pair (KiB)", "idle", "main"),
    ("System calls a request", "syscalls", "main"),
]

WIDTH, MARGIN, GAP = 860, 24, 36  # a picture as wide as a page of the book
PANEL = (WIDTH - 2 * MARGIN - GAP) // 2
LABEL, FIGURE = 112, 60  # beside the bars: the proxy's name, and its figure
BAR, STEP, TITLE = 16, 24, 30

STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #24292f }
  .heading { font-size: 17px; font-weight: 600 }
  .title { font-weight: 600 }
  .note { font-size: 11.5px; fill: #57606a }
  .ground { fill: #ffffff }
  .bar { fill: #a9b4c0 }
  .ours { fill: #0f6fc6 }
  .spread { stroke: #24292f; stroke-width: 1.5; fill: none }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 }
    .note { fill: #9da7b3 }
    .ground { fill: #0d1117 }
    .bar { fill: #57606a }
    .ours { fill: #4aa3ff }
    .spread { stroke: #e6edf3 }
  }
"""


def panel(title, bars, left, top):
    """One question: `bars` are pairs of a proxy's name and its spread."""
    parts = [f'<g transform="translate({left} {top})">', f'<text class="title" y="12">{escape(title)}</text>']
    scale = (PANEL - LABEL - FIGURE) / max(spread.high for _, spread in bars)
    for row, (name, spread) in enumerate(bars):
        y = TITLE - 6 + row * STEP
        middle = y + BAR / 2
        length = max(1.0, spread.median * scale)
        ours = " ours" if name == "harbor" else ""
        parts.append(f'<text x="{LABEL - 8}" y="{middle + 4.5:.1f}" text-anchor="end">{escape(name)}</text>')
        parts.append(f'<rect class="bar{ours}" x="{LABEL}" y="{y}" width="{length:.1f}" height="{BAR}" rx="2"/>')
        if spread.high > spread.low:
            low, high = (f"{LABEL + end * scale:.1f}" for end in (spread.low, spread.high))
            line = f"M{low} {middle - 4}v8M{low} {middle}H{high}M{high} {middle - 4}v8"
            parts.append(f'<path class="spread" d="{line}"/>')
        end = LABEL + max(length, spread.high * scale) + 6
        parts.append(f'<text x="{end:.1f}" y="{middle + 4.5:.1f}">{bench_report.number(spread.median)}</text>')
    return parts + ["</g>"]


def draw(summary, about):
    panels = []
    for title, case, key in PANELS:
        bars = [(name, summary.spread(case, name, key)) for name in summary.proxies if name != "direct"]
        bars = [(name, spread) for name, spread in bars if spread and spread.high > 0]
        if bars:
            panels.append((title, bars))

    body, top = [], 78
    for first in range(0, len(panels), 2):
        pair = panels[first:first + 2]
        for column, (title, bars) in enumerate(pair):
            body += panel(title, bars, MARGIN + column * (PANEL + GAP), top)
        top += TITLE + STEP * max(len(bars) for _, bars in pair) + 14
    height = top + 8

    threads = "one thread each" if about["threads"] == 1 else f"{about['threads']} threads each"
    heading = f"What a proxy costs: {threads}; less is better"
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    notes = [f"{about['machine']}; {about['cores']}; {about['date']}",
             f"{versions}; rounds: {about['rounds']}; bars are medians, lines run from quartile to quartile"]
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img"',
        'aria-labelledby="heading about">',
        f"<style>{STYLE}</style>",
        f'<title id="heading">{escape(heading)}</title>',
        f'<desc id="about">{escape("; ".join(notes))}</desc>',
        f'<rect class="ground" width="{WIDTH}" height="{height}" rx="6"/>',
        f'<text class="heading" x="{MARGIN}" y="28">{escape(heading)}</text>',
        *(f'<text class="note" x="{MARGIN}" y="{45 + 15 * row}">{escape(note)}</text>' for row, note in enumerate(notes)),
        *body,
        "</svg>",
    ]) + "\n"
