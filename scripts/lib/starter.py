"""Starters: what a learner begins a chapter with, made from the chapters as they are and stored nowhere.

A starter for chapter N is the code of chapter N-1. What N brings is marked in N's code (`//! [ch03:pick]` before and after
a region, the same marks that the book takes its snippets by), so nobody has to say a second time where it is: the two
versions of a file are aligned line by line, and where a region of N begins, the starter gets a comment. A file that is new
in N holds the comment that N's file begins with, and such places. For chapter 01 there is nothing before but a `main` that
does nothing.

What a place says, and which tests ask for it, is in the chapter's exercise.md, under the region's name:

    ## ch03:pick

    The next backend, in turn: …

    Asked for by:

    - two backends are taken in turn and share exactly

Everything a starter adds to the code begins with `//?`, so that it can be found, and taken away again.
"""
import collections
import difflib
import re
import textwrap

import project

MARKER = re.compile(r"\s*//! \[(ch(\d\d):[\w-]+)\]\s*$")
MARK = "//?"
WIDTH = 110  # as the code's

# A marked region: its lines are lines[first:last] of its file, counted without the markers.
Region = collections.namedtuple("Region", "name file first last indent")

# What is to be written in a region, and the test cases that ask for it.
Place = collections.namedtuple("Place", "name text tests")

FIRST_MAIN = ["int main() {", "    return 0;", "}"]

CMAKE = """\
# Your chapter {number}: all the .cpp files of this folder; main() is in main.cpp.
cmake_minimum_required(VERSION 3.20)
project(harbor_chapter LANGUAGES CXX)

# The harness brings Asio, the warnings and, for tests/unit_*.cpp if you write any, Catch2: the one beside this folder, or
# the one this starter was made with.
find_file(HARBOR_CHAPTER_CMAKE chapter.cmake PATHS ../../harness ../harness
  "{harness}" NO_DEFAULT_PATH REQUIRED)
include(${{HARBOR_CHAPTER_CMAKE}})

file(GLOB sources RELATIVE ${{CMAKE_CURRENT_SOURCE_DIR}} CONFIGURE_DEPENDS *.cpp)
list(REMOVE_ITEM sources main.cpp)
harbor_chapter({number} PROGRAM {program} SOURCES ${{sources}})
"""


def before(number):
    """The number of the chapter before this one, or None."""
    numbers = list(project.chapters())
    index = numbers.index(number)
    return numbers[index - 1] if index else None


def program_name(number):
    return "echo" if number == "01" else "harbor"


def sources(folder):
    """The C++ files of a folder by name, as lists of lines."""
    paths = sorted(path for path in folder.glob("*") if path.suffix in (".cpp", ".hpp") and path.is_file())
    return {path.name: path.read_text(encoding="utf-8", errors="replace").splitlines() for path in paths}


def without_markers(lines):
    return [line for line in lines if not MARKER.match(line)]


def without_places(lines):
    """A starter's lines, or a learner's, without what start has added."""
    return [line for line in lines if not line.lstrip().startswith(MARK)]


def regions_in(name, lines):
    """The marked regions of a file. The marker that opens a region closes it too; regions may lie in one another."""
    found, opened, at = [], {}, 0
    for line in lines:
        marker = MARKER.match(line)
        if not marker:
            at += 1
        elif marker.group(1) in opened:
            first, indent = opened.pop(marker.group(1))
            found.append(Region(marker.group(1), name, first, at, indent))
        else:
            opened[marker.group(1)] = at, line[:len(line) - len(line.lstrip())]
    if opened:
        raise project.Stop(f"{name}: no second marker for {', '.join(opened)}")
    return sorted(found, key=lambda region: (region.first, -region.last))


def regions_of(number):
    """What a chapter brings: the regions of its files that carry its own number, in the order of files and lines."""
    return [region for name, lines in sources(project.chapters()[number]).items()
            for region in regions_in(name, lines) if region.name.startswith(f"ch{number}:")]


def read_places(number):
    """The places of a chapter's exercise.md by the names of their regions."""
    path = project.chapters()[number] / "exercise.md"
    if not path.is_file():
        raise project.Stop(f"{path.relative_to(project.ROOT)} is missing")
    places = {}
    for part in re.split(r"^## ", path.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        name, _, rest = part.partition("\n")
        text, _, tests = rest.partition("\nAsked for by:\n")
        if name.strip() in places:
            raise project.Stop(f"{path.relative_to(project.ROOT)}: '{name.strip()}' is there twice")
        places[name.strip()] = Place(name.strip(), text.strip(), re.findall(r"^- (.+?)\s*$", tests, re.MULTILINE))
    return places


def comment(place, indent):
    """A place as it stands in a starter."""
    def filled(text, first="", later=""):
        return textwrap.wrap(text, WIDTH - len(indent) - len(MARK) - 1, initial_indent=first, subsequent_indent=later,
                             break_long_words=False, break_on_hyphens=False)

    lines = [f"--- {place.name} " + "-" * 20]
    for paragraph in re.split(r"\n\s*\n", place.text):
        lines += filled(" ".join(paragraph.split()))
    if place.tests:
        lines.append("Asked for by:" if len(place.tests) > 1 else "Asked for by one test:")
        for test in place.tests:
            lines += filled(test, "- ", "  ")
    return [f"{indent}{MARK} {line}".rstrip() for line in lines]


def header(lines):
    """The comment at the top of a file."""
    for index, line in enumerate(lines):
        if not line.startswith("//"):
            return lines[:index]
    return lines


def corresponding(old, new, line):
    """The line of `old` at which `new`'s line would be looked for, and whether `new` has put something in there."""
    for kind, old_first, _, new_first, new_last in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if new_first <= line < new_last:
            return old_first + (line - new_first if kind == "equal" else 0), kind == "insert"
    return len(old), False


def with_places(old, new, regions, places):
    """The lines of `old` with a comment for each of the regions of `new`."""
    at_line = {}
    for region in regions:
        if region.name in places:
            line, inserted = corresponding(old, new, region.first)
            at_line.setdefault(line, []).append((comment(places[region.name], region.indent), inserted))
    result = []
    for line in range(len(old) + 1):
        for index, (text, inserted) in enumerate(at_line.get(line, [])):
            if result and result[-1].strip() and (inserted or index):
                result.append("")  # what is to be written here stands by itself
            result += text
            if inserted and line < len(old) and old[line].strip():
                result.append("")
        result += old[line:line + 1]
    return result


def starter_files(number):
    """All files of the starter for a chapter: name to text."""
    new_files = sources(project.chapters()[number])
    previous = before(number)
    old_files = sources(project.chapters()[previous]) if previous else {}
    places = read_places(number)
    regions = regions_of(number)
    unknown = set(places) - {region.name for region in regions}
    if unknown:
        raise project.Stop(f"exercise.md of chapter {number}: no region of its code is called {', '.join(sorted(unknown))}")

    files = {}
    for name in sorted({*old_files, *new_files}):
        new = without_markers(new_files.get(name, []))
        if name in old_files:
            old = without_markers(old_files[name])
        else:
            old = [*header(new), *(["#pragma once"] if name.endswith(".hpp") else [])]
            old += ["", *FIRST_MAIN] if name == "main.cpp" else []
        here = [region for region in regions if region.file == name]
        files[name] = "\n".join(with_places(old, new, here, places)) + "\n"
    files["CMakeLists.txt"] = CMAKE.format(number=number, program=program_name(number), harness=project.ROOT / "harness")
    return files


def write_starter(number, folder):
    """Writes the starter into the folder, which is made if it is not there; returns the names of the files."""
    files = starter_files(number)
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        path = folder / name
        # A file that is the same stays as it is: what was built from it need not be built again.
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
    return list(files)
