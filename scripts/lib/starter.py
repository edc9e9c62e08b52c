"""Starters: what a learner begins a chapter with, made from the chapters as they are and stored nowhere.

A starter for chapter N is the code of chapter N-1. What N brings is marked in N's code (`//! [ch03:pick]` before and after
a region, the marks by which the book shows it), so nobody has to say a second time where it is: the two versions of a
file are compared, and where a region of N begins, the starter gets a comment. A file that is new in N holds the comment
that N's file begins with, and such places. For chapter 01 there is nothing before but a `main` that does nothing.

What a place says, and which tests ask for it, is in the chapter's exercise.md, under the region's name:

    ## pick

    The next backend, in turn: …

    Asked for by:

    - two backends are taken in turn and share exactly

Not every region needs a place there. Everything that a starter adds to the code begins with `//?`, so that it can be
found, and taken away again.
"""
import collections
import re
import textwrap

import book_source
import project

MARK = "//?"
WIDTH = 110  # as the code's

# What is to be written in a region, and the test cases that ask for it.
Place = collections.namedtuple("Place", "name text tests")

EMPTY_MAIN = ["int main() {", "    return 0;", "}"]

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


def load(number):
    try:
        return book_source.Chapter(number, project.chapters()[number])
    except book_source.Broken as broken:
        raise project.Stop(str(broken)) from None


def code_of(chapter):
    """The C++ files of a chapter by name, without markers."""
    return {name: file.lines for name, file in chapter.files.items() if name != "CMakeLists.txt"}


def without_places(lines):
    """A starter's lines, or a learner's, without what start has added."""
    return [line for line in lines if not line.lstrip().startswith(MARK)]


def read_places(number):
    """The places of a chapter's exercise.md by the names of their regions."""
    path = project.chapters()[number] / "exercise.md"
    shown = path.relative_to(project.ROOT)
    if not path.is_file():
        raise project.Stop(f"{shown} is missing")
    places = {}
    for part in re.split(r"^## ", path.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        name, _, rest = part.partition("\n")
        text, _, tests = rest.partition("\nAsked for by:\n")
        name = name.strip()
        if name in places:
            raise project.Stop(f"{shown}: '{name}' is there twice")
        places[name] = Place(name, text.strip(), re.findall(r"^- (.+?)\s*$", tests, re.MULTILINE))
        if not places[name].text or not places[name].tests:
            raise project.Stop(f"{shown}: '{name}' needs a text, the line 'Asked for by:' and a list of tests")
    return places


def comment(place, indent):
    """A place as it stands in a starter."""
    def filled(text, first="", later=""):
        return textwrap.wrap(text, WIDTH - len(indent) - len(MARK) - 1, initial_indent=first, subsequent_indent=later,
                             break_long_words=False, break_on_hyphens=False)

    lines = [f"----- {place.name} -----"]
    for paragraph in re.split(r"\n\s*\n", place.text):
        lines += filled(" ".join(paragraph.split()))
    lines.append("Asked for by:")
    for test in place.tests:
        lines += filled(test, "- ", "  ")
    return [f"{indent}{MARK} {line}" for line in lines]


def header(lines):
    """The comment at the top of a file."""
    return lines[:next((index for index, line in enumerate(lines) if not line.startswith("//")), len(lines))]


def depth(line):
    return len(line) - len(line.lstrip())


def position(rows, region):
    """Before which of the old lines the region begins, and whether it is an insertion: nothing makes way for it."""
    index = next(index for index, row in enumerate(rows) if row.new is not None and row.new > region.start)
    wanted = depth(rows[index].text)
    inserted = rows[index].op == "+"
    while rows[index].op == "+" and index > 0 and rows[index - 1].op != " ":
        index -= 1  # what the region replaces comes before it
        inserted &= rows[index].op == "+"

    old = [row for row in rows if row.old is not None]
    line = sum(row.old is not None for row in rows[:index])

    def inside(at):
        text = next((row.text for row in old[at:] if row.text.strip()), "")
        return text.startswith(" ") or (text.startswith("}") and "namespace" not in text)

    if wanted > 0:
        # A piece of a function, or of a class: not into a block that is deeper inside, but after it.
        end = line
        while end < len(old) and (depth(old[end].text) > wanted or not old[end].text.strip()):
            end += 1
        if end < len(old) and old[end].text == " " * wanted + "}":
            return end + 1, inserted
        return line, inserted
    if not inside(line):
        return line, inserted
    # A new function, and we are in the middle of an old one: is it to come before that or after it?
    head, tail = line, line
    while head > 0 and inside(head):
        head -= 1
    while tail < len(old) and inside(tail):
        tail += 1
    name = re.search(r"[\w:~]+\(", old[head].text)
    new = next((row.new for row in rows if row.new and name and not row.text.startswith(" ") and name.group() in row.text), 0)
    if 0 < new <= region.start:
        return tail, True
    while head > 0 and old[head - 1].text.startswith("//"):
        head -= 1  # a comment stays with what it is about
    return head, inserted


def with_places(old, new, regions, places):
    """The lines of `old` with a comment where each of the regions of `new` that has a place begins."""
    rows = book_source.diff(old, new)
    at_line = {}
    last = 0
    for region in regions:
        if region.name in places:
            line, inserted = position(rows, region)
            last = max(last, line)  # the pieces of a new function stay together, whatever they resemble
            text = comment(places[region.name], " " * depth(new[region.start]))
            at_line.setdefault(last, []).append((text, inserted))
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
    chapter, previous = load(number), before(number)
    old_files = code_of(load(previous)) if previous else {}
    places = read_places(number)
    unknown = sorted(set(places) - set(chapter.regions))
    if unknown:
        raise project.Stop(f"exercise.md of chapter {number}: its code has no region {', '.join(unknown)}")

    files = {}
    for name in sorted({*old_files, *code_of(chapter)}):
        regions = chapter.files[name].regions if name in chapter.files else []
        if not regions:
            lines = old_files.get(name) or header(chapter.files[name].lines)
        elif name in old_files:
            lines = with_places(old_files[name], chapter.files[name].lines, regions, places)
        else:
            lines = header(chapter.files[name].lines) + (["#pragma once"] if name.endswith(".hpp") else [])
            for region in regions:
                lines += ["", *comment(places[region.name], "")] if region.name in places else []
            lines += ["", *EMPTY_MAIN] if name == "main.cpp" else []
        files[name] = "\n".join(lines) + "\n"
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
