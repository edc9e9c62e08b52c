"""Pictures that are drawn from the tree: the map of a chapter's files, and the states of a backend.

All are SVG that is put into the page itself, so that the colours of the theme reach them: the style sheet
(docs/theme/harbor.css) gives the classes their colours, and the text its font.
"""
import html
import re

from book_source import Broken

INCLUDE = re.compile(r'\s*#include "([\w/]+)\.hpp"')
BOX_HEIGHT, GAP_X, GAP_Y, CHARACTER = 44, 18, 46, 8.2


def natural(width):
    """The size a picture likes to have: not larger, and on a phone no smaller than can be read (it scrolls instead)."""
    return f"max-width:{width:.0f}px;min-width:{min(width, 460):.0f}px"


def modules_of(chapter):
    """Module (file name without extension): its files' names, and the modules that it includes."""
    files, includes = {}, {}
    for name, file in chapter.files.items():
        if not name.endswith((".cpp", ".hpp")):
            continue
        module = name.rsplit(".", 1)[0]
        files.setdefault(module, []).append(name)
        for line in file.lines:
            found = INCLUDE.match(line)
            if found and found[1] != module:
                includes.setdefault(module, set()).add(found[1])
    return files, {module: includes.get(module, set()) & set(files) for module in files}


def header_includes(chapter, module):
    file = chapter.files.get(f"{module}.hpp")
    return {found[1] for line in file.lines if (found := INCLUDE.match(line))} if file else set()


def layers_of(includes):
    """Modules by their distance from those that nobody includes, the longest way; cycles are cut."""
    depth = {}

    def visit(module, level, above):
        if module in above or depth.get(module, -1) >= level:
            return
        depth[module] = level
        for other in includes[module]:
            visit(other, level + 1, above | {module})

    included = set().union(*includes.values()) if includes else set()
    for module in sorted(includes):
        if module not in included:
            visit(module, 0, frozenset())
    for module in sorted(includes):
        if module not in depth:
            visit(module, 0, frozenset())
    return depth


def reduced(includes):
    """Without the arrows that follow from others: what A reaches through B it need not point to itself."""
    def reach(module, seen):
        for other in includes[module]:
            if other not in seen:
                seen.add(other)
                reach(other, seen)
        return seen

    result = {}
    for module, others in includes.items():
        result[module] = {other for other in others
                          if not any(other in reach(between, {module}) for between in others if between != other)}
    return result


def chapter_map(book, number):
    chapter, step = book.chapters[number], book.steps[number]
    files, includes = modules_of(chapter)
    depth = layers_of(includes)
    layers = {}
    for module, level in depth.items():
        layers.setdefault(level, []).append(module)

    def size(module):
        return max(74, CHARACTER * len(module) + 22)

    # Boxes of a layer in the order of those that include them; long layers go over two rows.
    rows, place = [], {}
    for level in sorted(layers):
        above = place

        def weight(module, above=above):
            users = [above[user] for user in includes if module in includes[user] and user in above]
            return sum(users) / len(users) if users else 0

        row, width = [], 0
        for module in sorted(layers[level], key=lambda module: (weight(module), module)):
            if row and width + size(module) > 680:
                rows.append(row)
                row, width = [], 0
            row.append(module)
            width += size(module) + GAP_X
        rows.append(row)
        x = 0
        for module in [module for row in rows for module in row if depth[module] == level]:
            place[module] = x
            x += 1

    total = max(sum(size(module) for module in row) + GAP_X * (len(row) - 1) for row in rows)
    boxes = {}
    for index, row in enumerate(rows):
        x = (total - sum(size(module) for module in row) - GAP_X * (len(row) - 1)) / 2
        for module in row:
            boxes[module] = (x, index * (BOX_HEIGHT + GAP_Y), size(module))
            x += size(module) + GAP_X

    out = []
    for module, others in sorted(reduced(includes).items()):
        for other in sorted(others):
            x1, y1, w1 = boxes[module]
            x2, y2, w2 = boxes[other]
            start, end = (x1 + w1 / 2, y1 + BOX_HEIGHT), (x2 + w2 / 2, y2)
            middle = (start[1] + end[1]) / 2
            out.append(f'<path class="edge" d="M{start[0]:.0f} {start[1]:.0f} C{start[0]:.0f} {middle:.0f} {end[0]:.0f}'
                       f' {middle:.0f} {end[0]:.0f} {end[1]:.0f}"/>')
    for module, (x, y, width) in sorted(boxes.items()):
        plus = sum(row.op == "+" for name in files[module] for row in step.rows.get(name, []))
        minus = sum(row.op == "-" for name in files[module] for row in step.rows.get(name, []))
        fresh = all(step.is_new(name) for name in files[module])
        kind = "new" if fresh else "changed" if plus or minus else "same"
        count = f"+{plus}" + (f" −{minus}" if minus else "") if kind != "same" else "as it was"
        first = next(name for name in (f"{module}.cpp", f"{module}.hpp") if name in files[module])
        out.append(f'<a href="{book.file_url(number, first)}"><g class="box {kind}"><rect x="{x:.0f}" y="{y}" rx="6"'
                   f' width="{width:.0f}" height="{BOX_HEIGHT}"/><text x="{x + width / 2:.0f}" y="{y + 18}">{module}</text>'
                   f'<text class="small" x="{x + width / 2:.0f}" y="{y + 35}">{count}</text></g></a>')
    height = len(rows) * (BOX_HEIGHT + GAP_Y) - GAP_Y
    return (f'<svg xmlns="http://www.w3.org/2000/svg" class="map" role="img" viewBox="-4 -4 {total + 8:.0f} {height + 8}"'
            f' style="{natural(total + 8)}"><title>Map of the files of chapter {number}</title>{"".join(out)}</svg>')


# --- the ladder -----------------------------------------------------------------------------------------------------

LADDER = (
    ("01_echo", "echo", "coroutines, partial writes, end of stream"),
    ("02_tcp_proxy", "TCP proxy", "half-closes, resets, backpressure"),
    ("03_round_robin", "round-robin", "a pool, an atomic, threads"),
    ("04_strategies", "strategies", "least connections, two choices, leases"),
    ("05_timeouts_retry", "timeouts, retry", "cooldown, idle deadlines, limits"),
    ("06_shutdown_metrics", "shutdown, metrics", "drain, grace, counters"),
    ("harbor", "harbor", "the fast data plane, flags, checks"),
)
STEP, RISE, RUN = 46, 46, 62


def ladder(book):
    """One step a chapter, from the bottom to the top; a step whose page is there leads to it."""
    folders = [chapter.folder.name for chapter in book.chapters.values()]
    if [name for name, *_ in LADDER][:-1] != folders:
        raise Broken(f"scripts/lib/book_pictures.py: the ladder has other chapters than the tree: {', '.join(folders)}")
    out = []
    for index, (name, title, ideas) in enumerate(LADDER):
        x, y = index * RUN, (len(LADDER) - 1 - index) * RISE
        page = book.chapter_page(name[:2])
        label = f"{name[:2]} · {title}" if name != "harbor" else title
        step = (f'<g class="box {"state" if page else "same"}"><rect x="{x}" y="{y}" width="300" height="{STEP - 4}" rx="4"/>'
                f'<text x="{x + 150}" y="{y + 17}">{html.escape(label)}</text>'
                f'<text class="small" x="{x + 150}" y="{y + 34}">{html.escape(ideas)}</text></g>')
        out.append(f'<a href="{page.url}">{step}</a>' if page else step)
    width, height = (len(LADDER) - 1) * RUN + 300, len(LADDER) * RISE
    return (f'<svg xmlns="http://www.w3.org/2000/svg" class="ladder" role="img" viewBox="-2 -2 {width + 4} {height + 4}"'
            f' style="{natural(width + 4)}"><title>The ladder of chapters</title>{"".join(out)}</svg>')


# --- the states of a backend ----------------------------------------------------------------------------------------

STATES = {"up": (60, 40, "up"), "cooling": (460, 40, "cooling down"), "due": (460, 190, "due")}
# From, to, the path of the arrow, where the words go and how they are aligned, the function, and the words.
MOVES = (
    ("up", "cooling", "M160 52 H452", (306, 30, "middle"), "failed", "a dial fails"),
    ("cooling", "due", "M520 88 V182", (530, 140, "start"), "cooling", "the cooldown is over"),
    ("due", "cooling", "M490 190 V96", (482, 140, "end"), "claim", "one client has the try"),
    ("cooling", "up", "M460 78 H168", (306, 98, "middle"), "succeeded", "the dial succeeds"),
)


def backend_states(book):
    """From the functions of Cooldown, which must be there: a renamed one would make the picture wrong."""
    header = book.chapters["05"].files["cooldown.hpp"]
    text = "\n".join(header.lines)
    out = []
    for _, _, path, (x, y, anchor), function, words in MOVES:
        if not re.search(rf"\b{function}\(", text):
            raise Broken(f"scripts/lib/book_pictures.py: the states of a backend name {function}(), which"
                         f" {header.path} does not have")
        out.append(f'<path class="edge" marker-end="url(#arrow)" d="{path}"/>'
                   f'<text class="small" x="{x}" y="{y}" text-anchor="{anchor}">{html.escape(words)}</text>'
                   f'<text class="code" x="{x}" y="{y + 15}" text-anchor="{anchor}">{function}()</text>')
    for x, y, name in STATES.values():
        out.append(f'<g class="box state"><rect x="{x}" y="{y}" width="100" height="48" rx="24"/>'
                   f'<text x="{x + 50}" y="{y + 29}">{name}</text></g>')
    return ('<svg xmlns="http://www.w3.org/2000/svg" class="states" role="img" viewBox="40 10 640 240"'
            f' style="{natural(640)}">'
            "<title>The states of a backend</title><defs>"
            '<marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
            f'<path class="head" d="M0 0L8 4L0 8z"/></marker></defs>{"".join(out)}</svg>')
