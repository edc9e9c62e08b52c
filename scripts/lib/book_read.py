"""Reads a chapter's finished page back: what somebody who types along has after it.

Nothing is taken from the chapters here but what the HTML that Doxygen wrote shows: for each piece its file, and line by
line whether the line is new, goes, or stays, with its number in the new file. From that and the chapter before the
chapter is put together again.
"""
import html
import re

from book_source import Broken

FIGURE = re.compile(r'<figure class="piece[^"]*"[^>]*data-chapter="(\d\d)" data-file="([^"]+)" data-page-line="(\d+)">'
                    r"(.*?)</figure>", re.DOTALL)
LINE = re.compile(r'<span class="l (same|add|rem)" data-n="(\d+|-)"[^>]*>(.*?)\n</span>', re.DOTALL)


class Shown:
    """What a page shows of one file."""

    def __init__(self):
        self.added = {}  # number in the new file: text
        self.removed = {}  # how many lines of the new file come before: texts
        self.same = {}  # number in the new file: text, as context
        self.where = {}  # number in the new file: line of the page's source

    def take(self, kind, number, text, position, page_line):
        if kind == "rem":
            self.removed.setdefault(position, []).append(text)
            return
        if kind == "add":
            if number in self.added:
                raise Broken(f"line {number} is shown as new twice, by the directives in lines {self.where[number]} and"
                             f" {page_line} of the page")
            self.added[number] = text
        else:
            self.same[number] = text
        self.where[number] = page_line


def read_page(text, chapter):
    """What a chapter's page shows, by file. The text is the page's HTML."""
    files = {}
    for number, name, page_line, body in FIGURE.findall(text):
        if number != chapter:
            continue
        shown = files.setdefault(name, Shown())
        lines = [(kind, None if at == "-" else int(at), html.unescape(re.sub(r"<[^>]+>", "", code)))
                 for kind, at, code in LINE.findall(body)]
        position = next((at - 1 for _, at, _ in lines if at), 0)
        for kind, at, code in lines:
            shown.take(kind, at, code, position, int(page_line))
            position = at or position
    return files


def assemble(before, shown):
    """The files of a chapter, as lists of lines by name, from those of the chapter before and what the page shows."""
    after = {name: list(lines) for name, lines in before.items()}
    for name, changes in shown.items():
        lines = apply(name, before.get(name, []), changes)
        if lines:
            after[name] = lines
        else:
            after.pop(name, None)
    return after


def apply(name, old, changes):
    added, removed = dict(changes.added), {position: list(texts) for position, texts in changes.removed.items()}
    new, taken = [], 0
    while True:
        for text in removed.pop(len(new), []):
            if taken == len(old) or old[taken] != text:
                there = f"'{old[taken]}'" if taken < len(old) else "the end"
                raise Broken(f"{name}: the page removes '{text}' after line {len(new)}, where the chapter before has {there}")
            taken += 1
        number = len(new) + 1
        if number in added:
            new.append(added.pop(number))
        elif taken < len(old):
            new.append(old[taken])
            taken += 1
        else:
            break
    for number, text in added.items():
        raise Broken(f"{name}: the page adds line {number}, '{text}', but nothing shows how the file reaches so far")
    for position, texts in removed.items():
        raise Broken(f"{name}: the page removes '{texts[0]}' after line {position}, where the file has ended")
    for number, text in changes.same.items():
        if number > len(new) or new[number - 1] != text:
            raise Broken(f"{name}: the page shows line {number} as '{text}', but put together it is"
                         f" '{new[number - 1] if number <= len(new) else ''}'")
    return new
