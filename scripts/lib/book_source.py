"""The chapters as the book sees them: their sources without markers, the regions between markers, and what is new.

A marker is a line of its own, `//! [ch03:pick]` (in CMakeLists.txt `#! [ch03:pick]`), once before and once after a region
that page 03 shows as one piece. Markers are no part of the code: two chapters are compared without them.

A step, from chapter N-1 to N, is a diff of each file, in rows. Every row that adds or removes a line has an owner, a
region or none; those without are the chapter's housekeeping. What the page shows, what the check counts and what the
assembly puts together are the same rows.
"""
import bisect
import difflib
import re
from pathlib import Path

import project

MARKER = re.compile(r"^\s*(?://|#)! \[ch(\d\d):([A-Za-z0-9_]+)\]$")
ALMOST_MARKER = re.compile(r"^\s*(?://|#)!")


class Broken(Exception):
    """Something in the book or in the chapters' markers is wrong; the text says where."""


class Region:
    """Lines `start` to `end` (half-open, counted from 0 without markers) of a file, under a name."""

    def __init__(self, number, name, file, start, line):
        self.number, self.name, self.file, self.start, self.end = number, name, file, start, None
        self.line = line  # of the opening marker in the real file, from 1

    @property
    def key(self):
        return f"ch{self.number}:{self.name}"

    @property
    def where(self):
        return f"{self.file.path}:{self.line}"


class SourceFile:
    def __init__(self, path, name, text):
        self.path, self.name = path, name
        self.lines, self.real, self.regions = [], [], []
        self.read(text)

    def read(self, text):
        if text and not text.endswith("\n"):
            raise Broken(f"{self.path}: no newline at the end")
        open_region = None
        for line_number, line in enumerate(text.split("\n")[:-1], 1):
            found = MARKER.match(line)
            if not found:
                if ALMOST_MARKER.match(line) and not (line_number == 1 and line.startswith("#!/")):
                    raise Broken(f"{self.path}:{line_number}: '{line.strip()}' looks like a marker but is none:"
                                 " expected //! [chNN:name]")
                self.lines.append(line)
                self.real.append(line_number)
                continue
            number, name = found.groups()
            if open_region is None:
                open_region = Region(number, name, self, len(self.lines), line_number)
            elif (open_region.number, open_region.name) == (number, name):
                open_region.end = len(self.lines)
                if open_region.end == open_region.start:
                    raise Broken(f"{self.path}:{line_number}: region {open_region.key} is empty")
                self.regions.append(open_region)
                open_region = None
            else:
                raise Broken(f"{self.path}:{line_number}: marker [ch{number}:{name}] inside region {open_region.key}, which"
                             f" was opened in line {open_region.line} and not closed (a marker of it is missing)")
        if open_region is not None:
            raise Broken(f"{self.path}:{open_region.line}: marker [{open_region.key}] has no second one to close the region")


def strip(text):
    """The text without its marker lines."""
    return "".join(line for line in text.splitlines(keepends=True) if not MARKER.match(line.rstrip("\n")))


def source_paths(folder):
    """What a chapter consists of, in the book's eyes: no tests, no README."""
    return sorted(path for path in folder.glob("*") if path.suffix in (".cpp", ".hpp") or path.name == "CMakeLists.txt")


class Chapter:
    def __init__(self, number, folder):
        self.number, self.folder = number, folder
        self.files = {}
        self.regions = {}
        for path in source_paths(folder):
            shown = path.relative_to(project.ROOT) if path.is_relative_to(project.ROOT) else path
            file = SourceFile(shown, path.name, path.read_text(encoding="utf-8"))
            self.files[path.name] = file
            for region in file.regions:
                if region.number != number:
                    raise Broken(f"{region.where}: chapter {number} may only have markers of its own, this is {region.key}")
                if region.name in self.regions:
                    raise Broken(f"{region.where}: marker {region.key} is already at {self.regions[region.name].where}")
                self.regions[region.name] = region


def load_chapters():
    return {number: Chapter(number, folder) for number, folder in project.chapters().items()}


# --- diff ----------------------------------------------------------------------------------------------------------


class Row:
    """One line of a diff. op is ' ', '+' or '-'; old and new are line numbers from 1, None where there is none."""

    __slots__ = ("new", "old", "op", "owner", "text")

    def __init__(self, op, text, old, new):
        self.op, self.text, self.old, self.new, self.owner = op, text, old, new, None

    def __repr__(self):
        return f"{self.op}{self.text}"


def matches(old, new, old_start=0, new_start=0):
    """Pairs of equal lines, by patience: lines that occur once in both anchor the rest, so that a moved brace does not."""
    pairs = []
    head = 0
    while head < len(old) and head < len(new) and old[head] == new[head]:
        pairs.append((old_start + head, new_start + head))
        head += 1
    old, new, old_start, new_start = old[head:], new[head:], old_start + head, new_start + head
    tail = 0
    while tail < len(old) and tail < len(new) and old[-1 - tail] == new[-1 - tail]:
        tail += 1
    after = [(old_start + len(old) - tail + i, new_start + len(new) - tail + i) for i in range(tail)]
    old, new = old[:len(old) - tail], new[:len(new) - tail]

    anchors = unique_anchors(old, new)
    if anchors:
        last_old = last_new = 0
        for i, j in [*anchors, (len(old), len(new))]:
            pairs += matches(old[last_old:i], new[last_new:j], old_start + last_old, new_start + last_new)
            if i < len(old):
                pairs.append((old_start + i, new_start + j))
            last_old, last_new = i + 1, j + 1
    elif old and new:
        # Blank lines and lone braces are alike everywhere: to keep one of them in the middle of a rewrite helps nobody.
        for i, j, size in difflib.SequenceMatcher(None, old, new, autojunk=False).get_matching_blocks():
            if any(len(line.strip()) > 2 for line in old[i:i + size]):
                pairs += [(old_start + i + k, new_start + j + k) for k in range(size)]
    return pairs + after


def unique_anchors(old, new):
    """Lines that occur exactly once on each side, as the longest sequence that is in order on both."""
    def once(lines):
        seen = {}
        for index, line in enumerate(lines):
            seen[line] = None if line in seen else index
        return {line: index for line, index in seen.items() if index is not None and len(line.strip()) > 2}

    in_old, in_new = once(old), once(new)
    pairs = [(in_old[line], j) for line, j in in_new.items() if line in in_old]
    tops, chains = [], []
    for i, j in sorted(pairs, key=lambda pair: pair[1]):
        place = bisect.bisect_left(tops, i)
        chain = ((i, j), chains[place - 1] if place else None)
        if place == len(tops):
            tops.append(i)
            chains.append(chain)
        else:
            tops[place], chains[place] = i, chain
    result, chain = [], chains[-1] if chains else None
    while chain:
        result.append(chain[0])
        chain = chain[1]
    return result[::-1]


def diff(old, new):
    """All rows of a file; within a hunk what is removed comes first."""
    rows = []
    i = j = 0
    for next_i, next_j in [*slide(old, new, matches(old, new)), (len(old), len(new))]:
        rows += [Row("-", old[k], k + 1, None) for k in range(i, next_i)]
        rows += [Row("+", new[k], None, k + 1) for k in range(j, next_j)]
        if next_i < len(old):
            rows.append(Row(" ", old[next_i], next_i + 1, next_j + 1))
        i, j = next_i + 1, next_j + 1
    return rows


def slide(old, new, pairs):
    """Moves insertions and deletions that could as well begin a little earlier to where a reader sees them begin.

    An added function may be shown as `}` of the one before, blank line, head and body: the same lines, shifted by two.
    The best place is the one where the run begins after a blank line, or else with the least indentation.
    """
    pairs = list(pairs)

    def better(lines, start, end):
        """Scores a run of lines [start, end) that was added (or removed)."""
        first = lines[start]
        before = lines[start - 1] if start else ""
        indent = len(first) - len(first.lstrip()) if first.strip() else 99
        return (first.strip() != "" and before.strip() == "", first.strip() not in ("}", "};", ""), -indent)

    index = 0
    while index <= len(pairs):
        i0, j0 = pairs[index - 1] if index else (-1, -1)
        i1, j1 = pairs[index] if index < len(pairs) else (len(old), len(new))
        gap_old, gap_new = i1 - i0 - 1, j1 - j0 - 1
        if (gap_old == 0) != (gap_new == 0):
            lines = new if gap_old == 0 else old
            start, size = (j0 + 1, gap_new) if gap_old == 0 else (i0 + 1, gap_old)
            best = (better(lines, start, start + size), 0)
            up = 0
            while up < 12 and index - 1 - up >= 0 and start - 1 - up >= 0:
                # The pairs above have to be in one unbroken run for the gap to move through it.
                if pairs[index - 1 - up] != (i0 - up, j0 - up) or lines[start - 1 - up] != lines[start - 1 - up + size]:
                    break
                up += 1
                best = max(best, (better(lines, start - up, start - up + size), -up))
            shift = -best[1]
            for k in range(1, shift + 1):
                i, j = pairs[index - k]
                pairs[index - k] = (i, j + size) if gap_old == 0 else (i + size, j)
        index += 1
    return pairs


# --- a step --------------------------------------------------------------------------------------------------------


class Step:
    """What chapter `new` changes against `old` (None before the first): rows for each file, with owners."""

    def __init__(self, old, new):
        self.old, self.new, self.number = old, new, new.number
        self.rows = {}
        old_files = old.files if old else {}
        for name in sorted({*old_files, *new.files}, key=file_order):
            before = old_files[name].lines if name in old_files else []
            file = new.files.get(name)
            rows = diff(before, file.lines if file else [])
            if file:
                assign(rows, file.regions)
            if any(row.op != " " for row in rows):
                self.rows[name] = rows

    def is_new(self, name):
        return self.old is None or name not in self.old.files

    def is_gone(self, name):
        return name not in self.new.files

    def piece(self, region):
        """The rows that a region shows: its lines, and what was removed there, in order."""
        name = region.file.name
        rows = self.rows.get(name) or [Row(" ", text, i, i) for i, text in enumerate(region.file.lines, 1)]
        return [row for row in rows
                if row.owner is region or (row.op == " " and region.start < row.new <= region.end)]

    def housekeeping(self):
        """The rows without an owner, by file."""
        left = {name: [row for row in rows if row.op != " " and row.owner is None] for name, rows in self.rows.items()}
        return {name: rows for name, rows in left.items() if rows}

    def counts(self):
        """Lines added, lines removed, and of the added ones those that are housekeeping; blank lines are not counted."""
        added = removed = left = 0
        for rows in self.rows.values():
            for row in rows:
                if row.text.strip():
                    added += row.op == "+"
                    removed += row.op == "-"
                    left += row.op == "+" and row.owner is None
        return added, removed, left


def file_order(name):
    return (name == "CMakeLists.txt", Path(name).stem != "main", Path(name).stem, Path(name).suffix != ".hpp")


def assign(rows, regions):
    """Gives each added and removed row its owner.

    An added line belongs to the region it stands in. Blank lines that were added right before or after a region go with
    it. Removed lines go where the lines stand that replace them; where nothing does, to the region around or beside.
    """
    for row in rows:
        if row.op == "+":
            row.owner = next((region for region in regions if region.start < row.new <= region.end), None)

    for order in (rows, rows[::-1]):  # blank lines: first downwards, then upwards
        last = None
        for row in order:
            if row.op == "+":
                if row.owner is None and not row.text.strip() and last is not None:
                    row.owner = last
                last = row.owner
            elif row.op == " ":
                last = next((region for region in regions if region.start < row.new <= region.end), None)

    index = 0
    position = 0  # how many lines of the new file come before
    while index < len(rows):
        if rows[index].op == " ":
            position = rows[index].new
            index += 1
            continue
        end = index
        while end < len(rows) and rows[end].op != " ":
            end += 1
        added = [row for row in rows[index:end] if row.op == "+"]
        removed = [row for row in rows[index:end] if row.op == "-"]
        if added:
            owner = next((row.owner for row in added if row.owner), None)
        else:
            around = [region for region in regions if region.start < position < region.end]
            beside = [region for region in regions if position in (region.start, region.end)]
            owner = (around + beside + [None])[0]
        for row in removed:
            row.owner = owner
        position += len(added)
        index = end


def steps(chapters):
    result, before = {}, None
    for number, chapter in chapters.items():
        result[number] = Step(before, chapter)
        before = chapter
    return result
