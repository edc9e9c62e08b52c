"""Draws a recorded test as a sequence diagram: as SVG for a page, and with characters for a terminal.

Time runs downwards, one row for each thing that happened, and not to scale: between two rows may lie a microsecond or ten
seconds, and only pauses worth mentioning are shown. The program under test is a bar and everybody else a line, because it
is the one whose inside nobody sees.

The SVG needs nothing beside it. Its colours are those of the page it is put into (the custom properties of the book's
theme) where there are any, and otherwise its own, for a light and for a dark screen. It is 720 wide with letters that can
be read on a phone, where it is shown at about half that size.
"""
import html
import math
import re
import textwrap

import story as stories
from story import Step

# --- what both drawings share --------------------------------------------------------------------------------------

# The states in which a backend is not there: its lifeline is only dotted.
AWAY = ("does not listen", "does not answer", "stops listening")


def shorten(steps, most):
    """At most so many steps: the beginning, and more of the end, where the trouble is."""
    if len(steps) <= most:
        return steps
    head = most // 3
    tail = most - head - 1
    left_out = len(steps) - head - tail
    return steps[:head] + [Step("pause", lines=[f"{left_out} steps left out"])] + steps[-tail:]


def caption(arrow, fits):
    """The longest of the arrow's captions that fits, or else the shortest."""
    times = f" ×{arrow.times}" if arrow.times > 1 else ""
    for text in arrow.captions:
        if fits(text + times):
            return text + times
    return min(arrow.captions, key=len) + times


def wrap(line, width):
    """A line as several. What the harness aligns, two excerpts and a caret under the first difference, is only cut."""
    if len(line) <= width:
        return [line]
    if re.match(r" +(expected:|got:|\^)", line):
        return [line[at:at + width] for at in range(0, len(line), width)]
    indent = re.match(r" *", line).group()
    return textwrap.wrap(line, width, subsequent_indent=indent, break_on_hyphens=False)


def named_lanes(story, lines):
    """The lanes that a failure speaks of by name: `backend A #1: after 0 bytes it has seen …`."""
    text = "\n".join(line for line in lines if not line.startswith("expected: "))
    return [number for number, lane in enumerate(story.lanes) if re.search(rf"\b{re.escape(lane.title)}\b", text)]


def in_words(story):
    """The story as sentences, for those who cannot see the picture."""
    sentences = [f"From left to right: {', '.join(lane.title for lane in story.lanes)}."] if story.lanes else []
    for step in story.steps:
        if step.kind == "arrows":
            for arrow in step.arrows:
                text = caption(arrow, lambda _: True)
                sentences.append(f"{story.lanes[arrow.source].title} to {story.lanes[arrow.target].title}: {text}.")
        elif step.kind == "mark":
            sentences.append(f"{story.lanes[step.lane].title}: {' '.join(step.lines)}.")
        elif step.kind == "wrong":
            sentences.append(f"Wrong here: {' '.join(step.lines)}.")
        else:
            sentences.append(f"{' '.join(step.lines)}.")
    return " ".join(sentences)


# --- SVG -----------------------------------------------------------------------------------------------------------

WIDTH = 720
HEAD_HEIGHT = 40
CAPTION, SMALL, CODE = 17, 15, 14  # sizes of letters
BAR = 6  # half the width of the program's bar

# Custom properties first of the book's theme, then of doxygen-awesome, then colours of our own.
STYLE = """
svg.sequence { --ink: var(--page-foreground-color, #24292f); --paper: var(--page-background-color, #ffffff);
  --faint: var(--book-faint, #6b7480); --rule: var(--book-line, #c9d0d8); --soft: var(--book-code, #f4f6f8);
  --accent: var(--book-accent, #1c6fb8); --accent-soft: var(--book-accent-soft, #e3eef8);
  --warm: var(--book-warm, #b26a00); --warm-soft: var(--book-warm-soft, #fdf1dc); --wrong: var(--book-remove-edge, #c8404a);
  color: var(--ink); }
@media (prefers-color-scheme: dark) { svg.sequence { --ink: var(--page-foreground-color, #d6dce3);
  --paper: var(--page-background-color, #16191d); --faint: var(--book-faint, #98a1ad); --rule: var(--book-line, #454d58);
  --soft: var(--book-code, #22272e); --accent: var(--book-accent, #6cb2f0); --accent-soft: var(--book-accent-soft, #1c2f42);
  --warm: var(--book-warm, #e3a84a); --warm-soft: var(--book-warm-soft, #3a2e18); --wrong: var(--book-remove-edge, #e0707a); } }
svg.sequence text.t { fill: currentColor; font: 17px/1 var(--font-family, system-ui, -apple-system, "Segoe UI", sans-serif); }
svg.sequence text.middle { text-anchor: middle; }
svg.sequence text.end { text-anchor: end; }
svg.sequence text.halo { paint-order: stroke; stroke: var(--paper); stroke-width: 5px; stroke-linejoin: round; }
svg.sequence text.bold { font-weight: 600; }
svg.sequence text.small { font-size: 15px; }
svg.sequence text.time { font-size: 14px; fill: var(--faint); }
svg.sequence text.code { font-size: 14px; white-space: pre;
  font-family: var(--font-family-monospace, ui-monospace, "DejaVu Sans Mono", Consolas, monospace); }
svg.sequence text.faint { fill: var(--faint); }
svg.sequence text.note { font-style: italic; font-size: 16px; }
svg.sequence text.rst { fill: var(--warm); }
svg.sequence text.signal { fill: var(--warm); font-weight: 600; font-size: 15px; }
svg.sequence text.wrong { fill: var(--wrong); font-weight: 600; }
svg.sequence .paper { fill: var(--paper); }
svg.sequence .life { stroke: var(--rule); stroke-width: 2; }
svg.sequence .life.away { stroke-dasharray: 2 6; }
svg.sequence .bar { fill: var(--accent-soft); stroke: var(--accent); stroke-width: 1.5; }
svg.sequence .head { fill: var(--soft); stroke: var(--rule); stroke-width: 1.5; }
svg.sequence .head.program { fill: var(--accent-soft); stroke: var(--accent); }
svg.sequence .line { fill: none; stroke: currentColor; stroke-width: 1.6; }
svg.sequence .tip { fill: currentColor; stroke: none; }
svg.sequence .bytes .line { stroke: var(--accent); }
svg.sequence .bytes .tip { fill: var(--accent); }
svg.sequence .connect .line { stroke: var(--faint); }
svg.sequence .ask .line { stroke: var(--faint); stroke-dasharray: 6 4; }
svg.sequence .refused .line { stroke: var(--faint); stroke-dasharray: 6 4; }
svg.sequence .refused .line.cross { stroke: var(--warm); stroke-width: 2.4; stroke-dasharray: none; }
svg.sequence .rst .line { stroke: var(--warm); stroke-width: 2.2; }
svg.sequence .box { fill: var(--soft); stroke: var(--rule); stroke-width: 1; }
svg.sequence .box.signal { fill: var(--warm-soft); stroke: var(--warm); stroke-width: 1.5; }
svg.sequence .stop { stroke: var(--accent); stroke-width: 2.5; }
svg.sequence .wrong-box { fill: var(--wrong); fill-opacity: 0.08; stroke: var(--wrong); stroke-width: 1.5; }
svg.sequence .wrong-ring { fill: var(--paper); stroke: var(--wrong); stroke-width: 2.5; }
svg.sequence .wrong-cross { fill: none; stroke: var(--wrong); stroke-width: 2.5; stroke-linecap: round; }
"""

NARROW, BROAD = frozenset("iIjlft.,:;'|!()[]\" "), frozenset("mwMW@%—→…")


def text_width(text, size=CAPTION):
    """About how wide a text is in a font without serifs; a little more rather than less."""
    return size * sum(0.32 if c in NARROW else 0.9 if c in BROAD else 0.68 if c.isupper() else 0.57 for c in text)


class Svg:
    """The picture while it is being drawn: what has been drawn so far, and how far down it reaches."""

    def __init__(self, story, name, most):
        self.story = story
        self.name = name
        self.steps = shorten(story.steps, most)
        self.out = []
        self.y = 0.0
        self.gutter = 62 if any(step.time is not None for step in self.steps) else 0
        self.shown_time = None
        self.lines = {}  # lane → where its present piece of lifeline begins, and its class
        self.below = []  # the pieces of lifelines that are complete: they are drawn under everything else
        widths = [max(96, 1.08 * text_width(lane.title) + 26) for lane in story.lanes] or [96]
        left, right = self.gutter + widths[0] / 2 + 3, WIDTH - widths[-1] / 2 - 3
        count = max(len(story.lanes), 1)
        self.x = [(left + right) / 2 if count == 1 else left + (right - left) * k / (count - 1) for k in range(count)]
        room = min((b - a for a, b in zip(self.x, self.x[1:])), default=WIDTH) - 8
        self.widths = [min(width, room) for width in widths]

    def put(self, markup):
        self.out.append(markup)

    def text(self, x, y, text, *classes):
        self.put(f'<text class="{" ".join(("t", *classes))}" x="{x:.1f}" y="{y:.1f}">{html.escape(text, quote=False)}</text>')

    # lifelines

    def end_line(self, lane, y):
        start, kind = self.lines.pop(lane, (None, None))
        if start is None or y <= start:
            return
        x = self.x[lane]
        if kind == "bar":
            self.below.append(f'<rect class="bar" x="{x - BAR:.1f}" y="{start:.1f}" width="{2 * BAR}" height="{y - start:.1f}" rx="2"/>')
        else:
            self.below.append(f'<path class="life {kind}" d="M{x:.1f} {start:.1f}V{y:.1f}"/>')

    def edge(self, lane, towards):
        """Where an arrow touches a lane: at the edge of a bar, in the middle of a line."""
        if self.story.lanes[lane].kind != "program":
            return self.x[lane]
        return self.x[lane] + math.copysign(BAR, towards - self.x[lane])

    # rows

    def heads(self):
        self.y = 4.0
        notes = 0
        above = self.story.settings()
        for title, settings in above:
            for line in wrap(f"{title}: {settings}" if title else settings, 78):
                self.text(WIDTH / 2, self.y + 16, line, "middle", "small")
                self.y += 20
        self.y += 8 if above else 0
        for lane, x, width in zip(self.story.lanes, self.x, self.widths):
            kind = " program" if lane.kind == "program" else ""
            self.put(f'<rect class="head{kind}" x="{x - width / 2:.1f}" y="{self.y:.1f}" width="{width:.1f}"'
                     f' height="{HEAD_HEIGHT}" rx="7"/>')
            title, size = lane.title, CAPTION
            if 1.08 * text_width(title) > width - 8:
                size = SMALL
            while 1.08 * text_width(title, size) > width - 6 and len(title) > 4:
                title = title[:-2] + "…"
            self.text(x, self.y + HEAD_HEIGHT / 2 + 6, title, "middle", "bold", *(("small",) if size == SMALL else ()))
        self.y += HEAD_HEIGHT
        for number, lane in enumerate(self.story.lanes):
            settings = [] if above else lane.note.split()
            for line, setting in enumerate(settings):
                width = text_width(setting, SMALL) + 12
                x = min(max(self.x[number], width / 2 + 2), WIDTH - width / 2 - 2)
                self.text(x, self.y + 21 + 18 * line, setting, "middle", "small", "halo")
            self.lines[number] = (self.y + (12 + 18 * len(settings) if settings else 0), "bar" if lane.kind == "program" else "")
            notes = max(notes, len(settings))
        self.y += 10 + 18 * notes

    def time(self, step, y):
        if step.time is None or not self.gutter:
            return
        text = stories.time_text(step.time)
        if text != self.shown_time:
            self.text(self.gutter - 8, y, text, "time", "end")
            self.shown_time = text

    def arrows(self, step):
        self.y += 40
        self.time(step, self.y + 4)
        for arrow in step.arrows:
            self.arrow(arrow, self.y)

    def arrow(self, arrow, y):
        x1, x2 = self.edge(arrow.source, self.x[arrow.target]), self.edge(arrow.target, self.x[arrow.source])
        way = 1 if x2 > x1 else -1
        text = caption(arrow, lambda text: text_width(text) <= abs(x2 - x1) - 16)
        # What carries more is drawn broader: a byte and a mebibyte are not the same thing.
        breadth = min(7.0, 1.8 + 0.55 * math.log2(1 + arrow.size / 1024)) if arrow.kind == "bytes" else None
        style = f' style="stroke-width:{breadth:.1f}"' if breadth else ""
        self.put(f'<g class="{arrow.kind}">')
        if arrow.kind in ("rst", "refused"):
            stop = x2 - way * (14 if arrow.kind == "refused" else 4)
            self.put(f'<path class="line" d="M{x1:.1f} {y:.1f}H{stop:.1f}"/>'
                     f'<path class="line cross" d="M{stop - 6:.1f} {y - 6:.1f}l12 12m0 -12l-12 12"/>')
        elif arrow.kind in ("connect", "ask"):
            self.put(f'<path class="line"{style} d="M{x1:.1f} {y:.1f}H{x2 - way:.1f}"/>'
                     f'<path class="line" style="stroke-dasharray:none" d="M{x2 - way * 9:.1f} {y - 5.5:.1f}'
                     f'L{x2 - way:.1f} {y:.1f}L{x2 - way * 9:.1f} {y + 5.5:.1f}"/>')
        else:
            tip = 6 + (breadth or 0) / 2
            base = x2 - way * (tip * 2)
            bar = f'<path class="line" style="stroke-width:2.4" d="M{x2 - way * 2:.1f} {y - 7:.1f}v14"/>' if arrow.kind == "fin" else ""
            point = x2 - way * (3 if arrow.kind == "fin" else 1)
            self.put(f'<path class="line"{style} d="M{x1:.1f} {y:.1f}H{base + way:.1f}"/>'
                     f'<path class="tip" d="M{base:.1f} {y - tip:.1f}L{point:.1f} {y:.1f}L{base:.1f} {y + tip:.1f}z"/>{bar}')
        self.put("</g>")
        lift = 8 + (breadth or 0) / 2
        self.text((x1 + x2) / 2, y - lift, text, "middle", "halo", arrow.kind)

    def mark(self, step):
        style, x = step.style, self.x[step.lane]
        code = style == "print"
        lines = [piece for line in step.lines for piece in wrap(line, 52)]
        width = 22 + max(len(line) * CODE * 0.61 if code else text_width(line, SMALL) for line in lines)
        height = 20 * len(lines) + 10
        left = min(max(x - width / 2, self.gutter + 2), WIDTH - width - 2)
        top = self.y + 14
        self.time(step, top + height / 2 + 5)
        if style == "state":
            self.end_line(step.lane, top)
            self.lines[step.lane] = (top + height, "away" if step.lines[0].endswith(AWAY) else "")
        self.put(f'<rect class="box {style}" x="{left:.1f}" y="{top:.1f}" width="{width:.1f}" height="{height}"'
                 f' rx="{4 if code else height / 2 if len(lines) == 1 else 8}"/>')
        for number, line in enumerate(lines):
            if code:
                self.text(left + 11, top + 20 + 20 * number, line, "code")
            else:
                self.text(left + width / 2, top + 21 + 20 * number, line, "signal" if style == "signal" else "small", "middle")
        self.y = top + height
        if style == "end":
            self.end_line(step.lane, self.y + 8)
            self.put(f'<path class="stop" d="M{x - 12:.1f} {self.y + 8:.1f}h24"/>')
            self.y += 8

    def note(self, step):
        lines = [piece for line in step.lines for piece in wrap(line, 80 if not self.gutter else 72)]
        height = 21 * len(lines) + 13
        top = self.y + 16
        left = self.gutter + 2
        self.time(step, top + height / 2 + 5)
        self.put(f'<rect class="box" x="{left}" y="{top:.1f}" width="{WIDTH - left - 2}" height="{height}" rx="6"/>')
        for number, line in enumerate(lines):
            self.text((left + WIDTH - 2) / 2, top + 22 + 21 * number, line.strip(), "middle", "note")
        self.y = top + height

    def pause(self, step):
        top = self.y + 12
        text = step.lines[0] if step.lines[0].endswith("left out") else f"{step.lines[0]} later"
        # Open the lifelines, and close them again below.
        for lane in list(self.lines):
            _, kind = self.lines[lane]
            self.end_line(lane, top)
            self.put(f'<path class="life" style="stroke-dasharray:2 5" d="M{self.x[lane]:.1f} {top + 4:.1f}v20"/>')
            self.lines[lane] = (top + 28, kind)
        middle = (self.x[0] + self.x[1]) / 2 if len(self.x) > 1 else self.x[0]
        self.text(middle, top + 19, text, "middle", "halo", "small", "faint")
        self.y = top + 28

    def wrong(self, step):
        width = 73 if self.gutter else 80
        first = len(wrap(step.lines[0], width))
        lines = [piece for line in step.lines for piece in wrap(line, width)]
        if len(lines) > 14:
            lines = lines[:13] + ["…"]
        lanes = named_lanes(self.story, step.lines)
        top = self.y + (26 if lanes else 16)
        height = 19 * len(lines) + 17
        left = self.gutter + 2
        self.time(step, top + 22)
        self.put(f'<rect class="paper" x="{left}" y="{top:.1f}" width="{WIDTH - left - 2}" height="{height}" rx="6"/>'
                 f'<rect class="wrong-box" x="{left}" y="{top:.1f}" width="{WIDTH - left - 2}" height="{height}" rx="6"/>')
        for lane in lanes:
            x = self.x[lane]
            self.put(f'<circle class="wrong-ring" cx="{x:.1f}" cy="{top:.1f}" r="11"/>'
                     f'<path class="wrong-cross" d="M{x - 4:.1f} {top - 4:.1f}l8 8m0 -8l-8 8"/>')
        for number, line in enumerate(lines):
            self.text(left + 12, top + 24 + 19 * number, line, "code", *(("wrong",) if number < first else ()))
        self.y = top + height

    def draw(self):
        self.heads()
        for step in self.steps:
            getattr(self, step.kind)(step)
        self.y += 3 if self.steps and self.steps[-1].kind == "wrong" else 18
        for lane in list(self.lines):
            self.end_line(lane, self.y)
        height = math.ceil(self.y + 6)
        title = html.escape(self.story.test or self.name, quote=False)
        words = html.escape(in_words(self.story), quote=False)
        return (f'<svg xmlns="http://www.w3.org/2000/svg" class="sequence" role="img" aria-labelledby="{self.name}-title'
                f' {self.name}-desc" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
                f' style="max-width:{WIDTH}px">\n<title id="{self.name}-title">{title}</title>\n'
                f'<desc id="{self.name}-desc">{words}</desc>\n<style>{STYLE}</style>\n'
                f'<rect class="paper" width="{WIDTH}" height="{height}"/>\n' + "\n".join(self.below + self.out) + "\n</svg>\n")


def svg(story, name="sequence", most=50):
    """The story as SVG. `name` makes the ids of its title and description unique on a page."""
    return Svg(story, re.sub(r"[^A-Za-z0-9_-]+", "-", name), most).draw()


# --- terminal ------------------------------------------------------------------------------------------------------

# What each kind of arrow is drawn with: its line, its tip to the right and to the left.
UNICODE = {"connect": "┄▷◁", "bytes": "━▶◀", "fin": "─▶◀", "rst": "─✕✕", "refused": "┄✕✕", "ask": "┄▷◁",
           "life": "│", "bar": "┃", "away": "┆", "pause": "⋮", "rule": "─", "cross": "✗",
           "box": "┌┐└┘─│┬", "stop": "┸"}
ASCII = {"connect": ".><", "bytes": "=><", "fin": "-><", "rst": "-xx", "refused": ".xx", "ask": ".><",
         "life": "|", "bar": "#", "away": ":", "pause": ":", "rule": "-", "cross": "x",
         "box": "++++-|+", "stop": "^"}
COLOURS = {"bytes": "36", "connect": "2", "ask": "2", "refused": "33", "rst": "33", "fin": "", "wrong": "1;31", "note": "3",
           "signal": "1;33", "print": "2", "state": "2", "end": "1", "time": "2", "pause": "2", "program": "1;34", "head": "1"}
PLAIN = str.maketrans({"“": '"', "”": '"', "…": "~", "→": ">", "×": "x", "—": "-", "✗": "x"})


class Canvas:
    """Rows of characters, each with the name of its colour."""

    def __init__(self, width):
        self.width = width
        self.rows = []

    def row(self):
        self.rows.append([(" ", "")] * self.width)
        return self.rows[-1]

    def write(self, row, column, text, colour=""):
        for offset, character in enumerate(text):
            if 0 <= column + offset < self.width:
                row[column + offset] = (character, colour)

    def render(self, coloured):
        lines = []
        for row in self.rows:
            line, now = "", ""
            for character, colour in row:
                code = COLOURS.get(colour, "") if coloured else ""
                if code != now:
                    line += "\x1b[0m" if now else ""
                    line += f"\x1b[{code}m" if code else ""
                    now = code
                line += character
            lines.append((line + ("\x1b[0m" if now else "")).rstrip())
        return "\n".join(lines)


class Terminal:
    """The same picture, of characters."""

    def __init__(self, story, width, unicode, most):
        self.story = story
        self.glyphs = UNICODE if unicode else ASCII
        self.unicode = unicode
        self.steps = shorten(story.steps, most)
        timed = any(step.time is not None for step in self.steps)
        self.gutter = 9 if timed else 0
        count = max(len(story.lanes), 1)
        self.canvas = Canvas(min(width, self.gutter + max(72, 36 * count)))
        span = self.canvas.width - self.gutter
        side = min(8, span // (2 * count))
        self.x = [self.gutter + span // 2] if count == 1 else [
            self.gutter + side + round((span - 2 * side - 1) * k / (count - 1)) for k in range(count)]
        self.state = ["bar" if lane.kind == "program" else "life" for lane in story.lanes]
        self.shown_time = None

    def plain(self, text):
        return text if self.unicode else text.translate(PLAIN).encode("ascii", "replace").decode()

    def row(self, glyph=None):
        row = self.canvas.row()
        for x, state in zip(self.x, self.state):
            if state:
                self.canvas.write(row, x, self.glyphs[glyph or state], "program" if state == "bar" else "time")
        return row

    def time(self, row, step):
        if step.time is None or not self.gutter:
            return
        text = stories.time_text(step.time)
        if text != self.shown_time:
            self.canvas.write(row, 0, f"{text:>{self.gutter - 1}}"[:self.gutter - 1], "time")
            self.shown_time = text

    def heads(self):
        corner, write = self.glyphs["box"], self.canvas.write
        above = self.story.settings()
        for title, settings in above:
            for line in wrap(f"{title}: {settings}" if title else settings, self.canvas.width):
                self.over(self.canvas.row(), self.canvas.width // 2, line, "print")
        rows = [self.canvas.row() for _ in range(3)]
        room = min((b - a for a, b in zip(self.x, self.x[1:])), default=30) - 1
        for lane, x in zip(self.story.lanes, self.x):
            # With blanks around it, or without, or without those in it, or as much of it as fits.
            forms = (f" {lane.title} ", lane.title, lane.title.replace(" ", ""))
            title = next((form for form in forms if len(form) + 2 <= room), forms[-1][:max(room - 2, 1)])
            width = len(title) + 2
            left = max(0, min(x - width // 2, self.canvas.width - width))
            write(rows[0], left, corner[0] + corner[4] * (width - 2) + corner[1])
            write(rows[1], left, f"{corner[5]}{title}{corner[5]}")
            write(rows[1], left + 1, title, "program" if lane.kind == "program" else "head")
            write(rows[2], left, corner[2] + corner[4] * (width - 2) + corner[3])
            write(rows[2], x, corner[6])
        for lane, x in zip(self.story.lanes, self.x):
            for setting in [] if above else lane.note.split():
                self.over(self.row(), x, setting, "print")

    def over(self, row, x, text, colour):
        """Writes a text around a column, and inside the picture."""
        text = self.plain(text)
        self.canvas.write(row, max(self.gutter, min(x - len(text) // 2, self.canvas.width - len(text))), text, colour)

    def arrows(self, step):
        above, inside = [], []
        for arrow in step.arrows:
            span = abs(self.x[arrow.source] - self.x[arrow.target]) - 1
            text = self.plain(caption(arrow, lambda text, span=span: len(text) <= span - 6))
            (inside if len(text) <= span - 4 else above).append((arrow, text))
        if above:
            row = self.row()
            for arrow, text in above:
                self.over(row, (self.x[arrow.source] + self.x[arrow.target]) // 2, f" {text} ", arrow.kind)
        row = self.row()
        self.time(row, step)
        for arrow in step.arrows:
            self.arrow(row, arrow)
        for arrow, text in inside:
            self.over(row, (self.x[arrow.source] + self.x[arrow.target] + 1) // 2, f" {text} ", arrow.kind)

    def arrow(self, row, arrow):
        line, right, left = self.glyphs[arrow.kind]
        source, target = self.x[arrow.source], self.x[arrow.target]
        low, high = min(source, target), max(source, target)
        self.canvas.write(row, low + 1, line * (high - low - 1), arrow.kind)
        if target > source:
            self.canvas.write(row, target - 1, right, arrow.kind)
        else:
            self.canvas.write(row, target + 1, left, arrow.kind)

    def mark(self, step):
        lines = [piece for line in step.lines for piece in wrap(line, max(24, self.canvas.width - self.gutter - 6))]
        for number, line in enumerate(lines):
            row = self.row()
            if number == 0:
                self.time(row, step)
            self.over(row, self.x[step.lane], f"[ {line} ]", step.style)
        if step.style == "state":
            self.state[step.lane] = "away" if step.lines[0].endswith(AWAY) else "life"
        if step.style == "end":
            self.state[step.lane] = None

    def note(self, step):
        middle = (self.gutter + self.canvas.width) // 2
        for line in [piece for line in step.lines for piece in wrap(line, self.canvas.width - self.gutter - 8)]:
            row = self.row()
            self.time(row, step)
            self.over(row, middle, f" {self.glyphs['rule'] * 2} {line.strip()} {self.glyphs['rule'] * 2} ", "note")

    def pause(self, step):
        row = self.row("pause")
        text = step.lines[0] if step.lines[0].endswith("left out") else f"{step.lines[0]} later"
        middle = (self.x[0] + self.x[1]) // 2 if len(self.x) > 1 else self.x[0] + 2
        self.over(row, middle, f" {text} ", "pause")

    def wrong(self, step):
        lanes = named_lanes(self.story, step.lines)
        row = self.row()
        self.time(row, step)
        self.canvas.write(row, self.gutter, self.glyphs["rule"] * (self.canvas.width - self.gutter), "wrong")
        for lane in lanes:
            self.canvas.write(row, self.x[lane], self.glyphs["cross"], "wrong")
        width = self.canvas.width - self.gutter - 2
        first = len(wrap(step.lines[0], width))
        for number, line in enumerate([piece for line in step.lines for piece in wrap(line, width)]):
            mark = f"{self.glyphs['cross']} " if number == 0 else "  "
            self.canvas.write(self.canvas.row(), self.gutter, mark + self.plain(line), "wrong" if number < first else "")

    def draw(self, coloured):
        self.heads()
        for step in self.steps:
            getattr(self, step.kind)(step)
        return self.canvas.render(coloured)


def terminal(story, width=80, coloured=False, unicode=True, most=60):
    """The story as lines of text, at most `width` characters wide."""
    return Terminal(story, max(width, 40), unicode, most).draw(coloured) + "\n"
