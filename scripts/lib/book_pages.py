"""Turns the book's sources (docs/) into what Doxygen reads: Markdown pages and fragments of HTML, in build/docs.

A page is Markdown with directives, each alone on a line (docs/WRITING.md lists them). A directive becomes a fragment that
the page includes; everything else goes through, with headings given stable names and links made to point into the site.
What is wrong is collected in `problems`, as texts that begin with the page and the line.
"""
import html
import json
import os
import re
import shutil
from pathlib import Path

import book_code
import book_pictures
import book_source
import book_tests
import project
from book_source import Broken, Row

DOCS = project.ROOT / "docs"
BUILD = project.ROOT / "build" / "docs"
# Names that Doxygen uses for pages of its own.
RESERVED = {"annotated", "classes", "files", "functions", "globals", "hierarchy", "namespaces", "namespacemembers", "pages",
            "search", "todo", "deprecated", "modules", "examples", "dirs"}
MAX_HOUSEKEEPING = 0.15


def slug(text):
    return re.sub(r"[^a-z0-9]+", "_", re.sub(r"[`*]", "", text).lower()).strip("_")


def text_of(markdown):
    """A heading's text without markup."""
    return re.sub(r"[`*]", "", markdown).strip()


class Page:
    def __init__(self, path, part):
        self.path, self.part = path, part
        self.source = DOCS / path
        self.lines = self.source.read_text(encoding="utf-8").split("\n")
        self.chapter = None
        found = re.match(r"chapters/(\d\d)_", path)
        if path == "index.md":
            self.id = "index"
        elif found:
            self.id, self.chapter = f"ch{found[1]}", found[1]
        else:
            self.id = re.sub(r"\W", "_", path.removesuffix(".md"))
        first = self.lines[0] if self.lines else ""
        if not first.startswith("# "):
            raise Broken(f"docs/{path}:1: a page begins with its title, '# …'")
        self.title = text_of(re.sub(r"\s*\{#.*\}$", "", first[2:]))

    @property
    def url(self):
        return f"{self.id}.html"

    def at(self, line):
        return f"docs/{self.path}:{line}"


def read_order():
    """The pages in reading order, from docs/order.txt: one a line, parts as `== title`."""
    pages, part = [], None
    order = DOCS / "order.txt"
    for number, line in enumerate(order.read_text(encoding="utf-8").splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        if line.startswith("== "):
            part = line[3:]
            continue
        if not (DOCS / line).is_file():
            raise Broken(f"docs/order.txt:{number}: there is no page docs/{line}")
        page = Page(line, part)
        if page.id in RESERVED or any(page.id == other.id for other in pages):
            raise Broken(f"docs/order.txt:{number}: the name '{page.id}' is taken")
        pages.append(page)
    return pages


class Book:
    def __init__(self):
        self.problems = []
        self.chapters = book_source.load_chapters()
        self.harbor = book_source.load_harbor()
        self.steps = book_source.steps(self.chapters)
        self.pages = read_order()
        self.by_source = {page.source.resolve(): page for page in self.pages}
        self.headings = {page.id: {} for page in self.pages}  # text of a heading: its name in the site
        self.used = {}  # (page, region's key): where its @piece stands
        self.recordings = {}  # name: where its @run stands
        self.blocks = []  # fenced blocks that the check looks at: (page, line, information, text)
        self.fragments = 0

    def complain(self, where, text):
        self.problems.append(f"{where}: {text}")

    # --- output ---------------------------------------------------------------------------------------------------

    def write(self):
        """Writes everything that Doxygen needs, anew."""
        for name in ("pages", "fragments"):
            shutil.rmtree(BUILD / name, ignore_errors=True)
            (BUILD / name).mkdir(parents=True)
        for page in self.pages:
            self.find_headings(page)
        for page in self.pages:
            self.save(page.id, Converter(self, page).convert())
        for number, chapter in self.chapters.items():
            self.write_step(number)
            for file in chapter.files.values():
                self.write_file(number, file)
        for file in self.harbor.files.values():
            self.write_harbor_file(file)
        self.write_layout()

    def save(self, name, text):
        (BUILD / "pages" / f"{name}.md").write_text(text, encoding="utf-8")

    def fragment(self, text):
        self.fragments += 1
        name = f"fragment_{self.fragments:04}.html"
        (BUILD / "fragments" / name).write_text(text + "\n", encoding="utf-8")
        return f"\n\\htmlinclude[block] {name}\n"

    def find_headings(self, page):
        fenced = False
        for number, line in enumerate(page.lines, 1):
            if line.startswith("```"):
                fenced = not fenced
            found = re.match(r"(#{2,4}) (.*?)\s*$", line)
            if found and not fenced:
                text = text_of(found[2])
                name = f"{page.id}_{slug(text)}"
                if text in self.headings[page.id]:
                    self.complain(page.at(number), f"the heading '{text}' is there twice")
                self.headings[page.id][text] = name

    # --- chapters: whole step, whole files -----------------------------------------------------------------------

    def file_id(self, number, name):
        return f"{book_source.marker_word(number)}_{slug(name)}"

    def file_url(self, number, name, line=None):
        return f"{self.file_id(number, name)}.html" + (f"#L{line}" if line else "")

    def chapter_page(self, number):
        return next((page for page in self.pages if page.chapter == number), None)

    def chapter_name(self, number):
        page = self.chapter_page(number)
        return page.title if page else f"Chapter {number}"

    def back_link(self, number):
        page = self.chapter_page(number)
        return f'<a href="{page.url}">{html.escape(page.title)}</a>' if page else f"chapter {number}"

    def before(self, number):
        numbers = list(self.chapters)
        index = numbers.index(number)
        return numbers[index - 1] if index else None

    def rows_of(self, number, name):
        file = self.chapters[number].files[name]
        return self.steps[number].rows.get(name) or all_rows(file)

    def write_file(self, number, file):
        step = self.steps[number]
        rows = [row for row in self.rows_of(number, file.name) if row.op != "-"]
        fresh = step.is_new(file.name)
        if fresh:
            rows = [Row(" ", row.text, row.new, row.new) for row in rows]
        note = ("new in this chapter" if fresh else "lines that are new in this chapter are marked"
                if file.name in step.rows else "the same as in the chapter before")
        body = book_code.listing(rows, book_code.language_of(file.name), anchor=True)
        text = (f'<p class="file-note"><code>chapters/{self.chapters[number].folder.name}/{file.name}</code>: {note}.'
                f' Back to {self.back_link(number)}, or to <a href="ch{number}_step.html">the whole step</a>.</p>'
                f'<figure class="whole-file">{body}</figure>')
        self.save(self.file_id(number, file.name),
                  f"# {file.name} (chapter {number}) {{#{self.file_id(number, file.name)}}}\n{self.fragment(text)}")

    def write_harbor_file(self, file):
        name = self.file_id(book_source.HARBOR, file.name)
        body = book_code.listing(all_rows(file), book_code.language_of(file.name), anchor=True)
        text = (f'<p class="file-note"><code>harbor/{file.name}</code></p><figure class="whole-file">{body}</figure>')
        self.save(name, f"# {file.name} (harbor) {{#{name}}}\n{self.fragment(text)}")

    def write_step(self, number):
        """The page with everything that a chapter changes, what stays the same folded."""
        step, before = self.steps[number], self.before(number)
        added, removed, _ = step.counts()
        files = []
        for name, rows in step.rows.items():
            plus, minus = sum(row.op == "+" for row in rows), sum(row.op == "-" for row in rows)
            link = "" if step.is_gone(name) else f' · <a href="{self.file_url(number, name)}">whole file</a>'
            state = "new file" if step.is_new(name) else "goes" if step.is_gone(name) else ""
            caption = self.caption(name, state, plus, minus, link)
            files.append(f'<h2 class="step-file" id="{slug(name)}">{name}</h2><figure class="piece step">{caption}'
                         f"{self.folded(rows, book_code.language_of(name))}</figure>")
        same = [name for name in self.chapters[number].files if name not in step.rows]
        unchanged = ", ".join(f'<a href="{self.file_url(number, name)}"><code>{name}</code></a>' for name in same)
        intro = (f"<p>Everything that {self.back_link(number)} changes"
                 + (f" against {self.back_link(before)}" if before else "") +
                 f": +{added} −{removed} lines that are not blank, without tests. What stays as it was is folded."
                 + (f" Files that stay the same: {unchanged}." if same else "") + "</p>")
        title = f"The whole step of chapter {number}"
        self.save(f"ch{number}_step", f"# {title} {{#ch{number}_step}}\n{self.fragment(intro + ''.join(files))}")

    def folded(self, rows, language):
        """A whole file's diff; runs of unchanged lines that are far from any change are folded."""
        near = set()
        for index, row in enumerate(rows):
            if row.op != " ":
                near.update(range(index - 3, index + 4))
        out, index = [], 0
        while index < len(rows):
            end, inside = index, index in near
            while end < len(rows) and (end in near) == inside:
                end += 1
            part = rows[index:end]
            if inside or len(part) < 5:
                out.append(book_code.listing(part, language))
            else:
                names = book_code.functions_in(row.text for row in part)
                about = f": {html.escape(', '.join(names))}" if names else ""
                out.append(f"<details><summary>{len(part)} lines stay{about}</summary>"
                           f"{book_code.listing(part, language)}</details>")
            index = end
        return "".join(out)

    def caption(self, name, place, plus, minus, rest=""):
        place = f' <span class="place">{html.escape(place)}</span>' if place else ""
        losses = f' <b class="minus">−{minus}</b>' if minus else ""
        count = f' <span class="count"><b class="plus">+{plus}</b>{losses}</span>' if plus or minus else ""
        return f"<figcaption><code>{html.escape(name)}</code>{place}{count}{rest}</figcaption>"

    # --- the sidebar ----------------------------------------------------------------------------------------------

    def write_layout(self):
        """The order of the sidebar, as the navigation part of Doxygen's layout file."""
        lines, part = [], None

        def title(text):
            return html.escape(text, quote=False).replace('"', "&quot;")  # Doxygen knows no &#x27;

        for page in self.pages:
            if page.part != part:
                if part:
                    lines.append("</tab>")
                part = page.part
                if part:
                    lines.append(f'<tab type="usergroup" visible="yes" url="[none]" title="{title(part)}">')
            if page.id == "index":
                lines.append(f'<tab type="mainpage" visible="yes" title="{title(page.title)}"/>')
            elif page.chapter:
                lines += [f'<tab type="usergroup" visible="yes" url="@ref {page.id}" title="{title(page.title)}">',
                          f'<tab type="user" visible="yes" url="@ref {page.id}_step" title="The whole step"/>', "</tab>"]
            else:
                lines.append(f'<tab type="user" visible="yes" url="@ref {page.id}" title="{title(page.title)}"/>')
        if part:
            lines.append("</tab>")
        lines += ['<tab type="usergroup" visible="yes" url="[none]" title="The API">',
                  '<tab type="classlist" visible="yes" title="Classes"/>',
                  '<tab type="filelist" visible="yes" title="Headers"/>', "</tab>", '<tab type="pages" visible="no"/>']
        (BUILD / "navigation.xml").write_text("<navindex>\n" + "\n".join(lines) + "\n</navindex>\n", encoding="utf-8")


class Converter:
    """One page's way from docs/ to Doxygen's Markdown."""

    def __init__(self, book, page):
        self.book, self.page = book, page
        self.out = []
        self.open_blocks = []  # (line, closing HTML)
        self.number = 0

    def complain(self, text, line=None):
        self.book.complain(self.page.at(line or self.number), text)

    def convert(self):
        lines, self.number = self.page.lines, 0
        while self.number < len(lines):
            line = lines[self.number]
            self.number += 1
            if line.startswith("```"):
                self.fenced(line)
            elif re.match(r"@[a-z]", line):
                self.directive(line)
            elif self.number == 1:
                self.out.append(f"# {line[2:].strip()} {{#{'mainpage' if self.page.id == 'index' else self.page.id}}}\n")
            elif re.match(r"#{2,4} ", line):
                level, text = line.split(" ", 1)
                name = self.book.headings[self.page.id].get(text_of(text), "")
                self.out.append(f"{level} {self.prose(text.strip())} {{#{name}}}")
            else:
                self.out.append(self.prose(line))
        for line, _ in self.open_blocks:
            self.complain("this block has no @end", line)
        self.out.append(self.book.fragment(self.turn_the_page()))
        return "\n".join(self.out) + "\n"

    def turn_the_page(self):
        pages = self.book.pages
        index = pages.index(self.page)
        parts = []
        if index:
            parts.append(f'<a class="previous" href="{pages[index - 1].url}">{html.escape(pages[index - 1].title)}</a>')
        if index + 1 < len(pages):
            parts.append(f'<a class="next" href="{pages[index + 1].url}">{html.escape(pages[index + 1].title)}</a>')
        return f'<nav class="turn" data-source="docs/{self.page.path}">{"".join(parts)}</nav>'

    # --- prose ----------------------------------------------------------------------------------------------------

    def prose(self, line):
        """Links made to fit, and signs that Doxygen would take for commands escaped; code between backticks stays."""
        if line.count("`") % 2:
            self.complain("a name between backticks has to stand on one line")
        parts = re.split(r"(`[^`]+`)", line)
        for index, part in enumerate(parts):
            if not part.startswith("`"):
                part = re.sub(r"(?<![\\\w])@(?=\w)", r"\\@", part)
                parts[index] = part
        return self.links("".join(parts))

    def links(self, line):
        return re.sub(r"(?<!!)\[((?:[^\[\]]|\[[^\]]*\])+)\]\(([^)\s]+)\)", lambda found: self.link(found[1], found[2]), line)

    def link(self, text, target):
        if re.match(r"[a-z]+:", target):
            return f"[{text}]({target})"
        path, _, anchor = target.partition("#")
        file = (self.page.source.parent / path).resolve() if path else self.page.source.resolve()
        page = self.book.by_source.get(file)
        if page:
            if anchor:
                names = self.book.headings[page.id]
                if f"{page.id}_{anchor}" not in names.values():
                    self.complain(f"docs/{page.path} has no heading '{anchor}'; there are: "
                                  + ", ".join(name.removeprefix(page.id + "_") for name in names.values()))
                anchor = f"#{page.id}_{anchor}"
            return f'<a href="{page.url}{anchor}">{inline(text)}</a>'
        for number, chapter in [*self.book.chapters.items(), (book_source.HARBOR, self.book.harbor)]:
            if file.parent == chapter.folder and file.name in chapter.files:
                return f'<a href="{self.book.file_url(number, file.name)}">{inline(text)}</a>'
            if number in self.book.chapters and file in (chapter.folder, chapter.folder / "README.md"):
                other = self.book.chapter_page(number)
                if other:
                    return f'<a href="{other.url}">{inline(text)}</a>'
        if not file.exists():
            self.complain(f"the link goes to {target}, which does not exist")
        # A file of the repository that the site has no page for: named, so that it can be found in the tree.
        name = os.path.relpath(file, project.ROOT)
        plain = text.replace("`", "")
        return f"{text} (`{name}`)" if plain != name else f"`{name}`"

    # --- fenced blocks --------------------------------------------------------------------------------------------

    def fenced(self, first):
        start = self.number
        fence = re.match(r"`+", first)[0]
        information = first[len(fence):].strip()
        lines = []
        while self.number < len(self.page.lines) and self.page.lines[self.number] != fence:
            lines.append(self.page.lines[self.number])
            self.number += 1
        if self.number == len(self.page.lines):
            self.complain("this block is not closed", start)
        self.number += 1
        language, *tags = information.split() or [""]
        self.book.blocks.append((self.page, start, information, lines))
        if language in ("cpp", "c++", "C++") and not ({"example", "wrong"} & set(tags)):
            self.complain("C++ on a page is a @piece of the tree; a block written by hand is tagged: ```cpp example, or"
                          " ```cpp wrong mutant=NAME", start)
        language = "cpp" if language in ("cpp", "c++", "C++") else "text"
        body = "".join(f'<span class="l same">{book_code.highlight(line, language)}\n</span>' for line in lines)
        caption = kind = ""
        if "wrong" in tags:
            mutant = next((tag[7:] for tag in tags if tag.startswith("mutant=")), "")
            kind = " wrong"
            caption = f"<figcaption>Wrong on purpose: the tests catch it (mutant <code>{html.escape(mutant)}</code>)</figcaption>"
        elif "example" in tags:
            kind = " example"
            caption = "<figcaption>An example, not part of the program</figcaption>"
        self.out.append(self.book.fragment(f'<figure class="block{kind}">{caption}<pre class="listing">{body}</pre></figure>'))

    # --- directives -----------------------------------------------------------------------------------------------

    def directive(self, line):
        name, _, argument = line[1:].partition(" ")
        method = getattr(self, f"do_{name}", None)
        if method is None:
            known = ", ".join(sorted(f"@{name[3:]}" for name in dir(self) if name.startswith("do_")))
            self.complain(f"there is no directive @{name}; there are {known}")
            return
        method(argument.strip())

    def put(self, text):
        self.out.append(self.book.fragment(text))

    def chapter_argument(self, argument):
        found = re.fullmatch(r"ch(\d\d)", argument)
        if not found or found[1] not in self.book.chapters:
            self.complain(f"'{argument}' is no chapter; expected ch01 to ch{list(self.book.chapters)[-1]}")
            return None
        return found[1]

    def do_chapter(self, argument):
        """The box at the head of a chapter's page: what it takes, what it changes, where all of it is."""
        found = re.fullmatch(r"(\d+) minutes", argument)
        number = self.page.chapter
        if not found or not number:
            self.complain("expected '@chapter 60 minutes', on a chapter's page")
            return
        step = self.book.steps[number]
        added, removed, _ = step.counts()
        folder = self.book.chapters[number].folder.name
        fresh = sum(step.is_new(name) for name in step.rows)
        cases = book_tests.cases_of(self.book.chapters[number].folder)
        lines = f"+{added} −{removed} lines" if removed else f"{added} lines"
        files = f"{fresh} new file{'s' if fresh != 1 else ''}"
        self.put(f'<ul class="facts"><li>about {found[1]} minutes</li><li>{lines}, {files}</li>'
                 f'<li>{len(cases)} tests</li><li><a href="ch{number}_step.html">the whole step</a></li>'
                 f"<li><code>chapters/{folder}</code></li></ul>")

    def do_piece(self, argument):
        found = re.fullmatch(r"(ch\d\d|harbor):(\w+)", argument)
        if not found:
            self.complain(f"expected '@piece chNN:name' or '@piece harbor:name', not '@piece {argument}'")
            return
        number, name = found[1].removeprefix("ch"), found[2]
        chapter = self.book.harbor if number == book_source.HARBOR else self.book.chapters.get(number)
        region = chapter.regions.get(name) if chapter else None
        if region is None:
            have = ", ".join(chapter.regions) if chapter else "no such chapter"
            folder = "harbor" if number == book_source.HARBOR else f"chapters/{chapter.folder.name if chapter else number}"
            self.complain(f"there is no marker [{argument}] in {folder}; there are: {have}")
            return
        key = (self.page.id, region.key)
        if key in self.book.used:
            self.complain(f"the piece {region.key} is on this page already, in line {self.book.used[key]}")
        self.book.used[key] = self.number
        if number == book_source.HARBOR:
            self.put(self.harbor_piece(region))
            return
        step, file = self.book.steps[number], region.file
        rows = step.piece(region)
        plus, minus = sum(row.op == "+" for row in rows), sum(row.op == "-" for row in rows)
        place = book_code.place_of(file.lines, region.start, region.end) if file.name != "CMakeLists.txt" else ""
        state = "new file, " if step.is_new(file.name) and region.start == 0 else ""
        link = f' <a class="whole" href="{self.book.file_url(number, file.name, region.start + 1)}">whole file</a>'
        caption = self.book.caption(file.name, (state + place).rstrip(", "), plus, minus, link)
        kind = "piece" if minus or plus < len(rows) else "piece fresh"
        self.put(f'<figure class="{kind}" id="piece_{name}" data-chapter="{number}" data-file="{file.name}"'
                 f' data-page-line="{self.number}">{caption}{book_code.listing(rows, book_code.language_of(file.name))}</figure>')

    def harbor_piece(self, region):
        """A region of harbor/ as it is: a tour shows what is there, not what has changed."""
        file = region.file
        link = f' <a class="whole" href="{self.book.file_url(book_source.HARBOR, file.name, region.start + 1)}">whole file</a>'
        caption = self.book.caption(f"harbor/{file.name}", book_code.place_of(file.lines, region.start, region.end), 0, 0, link)
        rows = all_rows(file)[region.start:region.end]
        return (f'<figure class="piece fresh" id="piece_{region.name}">{caption}'
                f"{book_code.listing(rows, book_code.language_of(file.name))}</figure>")

    def do_figures(self, argument):
        """What scripts/bench has printed, from docs/performance/NAME.txt: all of it, or one table, or the heading."""
        name, _, part = argument.partition(" ")
        path = DOCS / "performance" / f"{name}.txt"
        if not path.is_file():
            self.complain(f"there are no figures docs/performance/{name}.txt")
            return
        text = path.read_text(encoding="utf-8").strip("\n")
        if part:
            # Parts are separated by blank lines; the ratios of a table belong to it.
            parts = re.split(r"\n\n(?!  \S+ / …)", text)
            text = next((found for found in parts if found.lstrip().startswith(part)), None)
            if text is None:
                heads = ", ".join(re.split(r"[:\n]", found.strip())[0] for found in parts)
                self.complain(f"docs/performance/{name}.txt has no part that begins with '{part}'; there are: {heads}")
                return
        self.put(f'<figure class="run"><pre>{html.escape(text, quote=False)}\n</pre></figure>')

    def do_table(self, argument):
        """Tables that a check has measured and written, docs/generated/NAME.md."""
        path = DOCS / "generated" / f"{argument}.md"
        if not path.is_file():
            self.complain(f"there is no docs/generated/{argument}.md; the check of that name writes it")
            return
        self.out += ["", *map(self.prose, path.read_text(encoding="utf-8").strip("\n").split("\n")), ""]

    def do_chart(self, argument):
        """A chart that scripts/bench --svg has drawn, docs/performance/NAME.svg, with its caption."""
        name, _, caption = argument.partition(" ")
        self.show_svg("performance", name, caption, "picture chart")

    def do_housekeeping(self, argument):
        number = self.chapter_argument(argument)
        if not number:
            return
        step = self.book.steps[number]
        out, plus, minus = [], 0, 0
        for name, left in step.housekeeping().items():
            shown = with_neighbours(step.rows[name], set(left))
            gains, losses = sum(row.op == "+" for row in left), sum(row.op == "-" for row in left)
            plus, minus = plus + gains, minus + losses
            link = f' <a class="whole" href="{self.book.file_url(number, name)}">whole file</a>'
            state = "new file" if step.is_new(name) and len(left) == len(step.rows[name]) else ""
            body = '<hr class="gap"/>'.join(book_code.listing(part, book_code.language_of(name)) for part in shown)
            out.append(f'<figure class="piece" data-chapter="{number}" data-file="{name}" data-page-line="{self.number}">'
                       f"{self.book.caption(name, state, gains, losses, link)}{body}</figure>")
        self.put(f'<details class="housekeeping"><summary>Housekeeping: includes, the list of sources and closing braces,'
                 f" +{plus} −{minus} lines</summary>{''.join(out)}</details>")

    def do_run(self, argument):
        path = DOCS / "recordings" / f"{argument}.txt"
        if not path.is_file() or not path.with_suffix(".cmd").is_file():
            self.complain(f"there is no recording docs/recordings/{argument}.cmd with its .txt"
                          " (scripts/docs --record makes the .txt)")
            return
        self.book.recordings.setdefault(argument, self.page.at(self.number))
        lines = []
        for line in path.read_text(encoding="utf-8").splitlines():
            kind = "typed" if line.startswith("$ ") or line.startswith("> ") else "said"
            lines.append(f'<span class="{kind}">{html.escape(line, quote=False)}\n</span>')
        self.put(f'<figure class="run"><pre>{"".join(lines)}</pre></figure>')

    def do_picture(self, argument):
        name, _, caption = argument.partition(" ")
        self.show_svg("pictures", name, caption)

    def show_svg(self, folder, name, caption, kind="picture"):
        path = DOCS / folder / f"{name}.svg"
        if not path.is_file():
            self.complain(f"there is no picture docs/{folder}/{name}.svg")
            return
        svg = re.sub(r"<\?xml.*?\?>|<!DOCTYPE.*?>", "", path.read_text(encoding="utf-8"), flags=re.DOTALL).strip()
        if not svg.startswith("<svg"):
            self.complain(f"docs/{folder}/{name}.svg does not begin with <svg")
        if "chart" in kind:  # it can stand alone, in colours of its own; here it follows the theme
            svg = re.sub(r"<style>.*?</style>\s*", "", svg, flags=re.DOTALL)
        self.put_picture(name, svg, caption, kind)

    def put_picture(self, name, svg, caption, kind="picture"):
        caption = f"<figcaption>{inline(caption)}</figcaption>" if caption else ""
        self.put(f'<figure class="{kind}" data-picture="{name}">{svg}{caption}</figure>')

    def do_map(self, argument):
        number = self.chapter_argument(argument)
        if number:
            self.put_picture(f"map_{argument}", book_pictures.chapter_map(self.book, number),
                             f"The files of chapter {number} and what includes what: new ones filled, changed ones framed.")

    def do_ladder(self, _):
        self.put_picture("ladder", book_pictures.ladder(self.book), "")

    def do_states(self, argument):
        if argument != "backend":
            self.complain(f"there is no state diagram '{argument}', only 'backend'")
            return
        self.put_picture("states_backend", book_pictures.backend_states(self.book),
                         "A backend's states, with what moves it from one to the next.")

    def do_tests(self, argument):
        number = self.chapter_argument(argument)
        if not number:
            return
        folder = self.book.chapters[number].folder
        files = {}
        for case in book_tests.cases_of(folder):
            files.setdefault(case.path.name, []).append(case)
        out = []
        for name, cases in files.items():
            out.append(f"<h4>{html.escape(name.removeprefix('black_box_').removesuffix('.cpp').replace('_', ' '))}</h4>"
                       f"<p>{inline(book_tests.file_says(folder / 'tests' / name))}</p><ul>")
            out += [f"<li>{self.test(case)}</li>" for case in cases]
            out.append("</ul>")
        units = book_tests.cases_of(folder, "unit_*.cpp")
        if units:
            out.append("<h4>unit tests, against the chapter's own functions</h4><ul>")
            out += [f"<li><b>{html.escape(case.name)}</b></li>" for case in units]
            out.append("</ul>")
        self.put(f'<div class="tests">{"".join(out)}</div>')

    def test(self, case):
        text = f"<b>{html.escape(case.name)}</b>"
        if case.did and case.did != "…":
            text += f" <span class=\"did\">{inline(case.did)}.</span>"
        if case.cause and case.cause != "…":
            where = ""
            found = re.fullmatch(r"chapter (\d\d), (.*)", case.section or "")
            page = self.book.chapter_page(found[1]) if found else None
            name = self.book.headings[page.id].get(found[2]) if page else None
            if name:
                where = f' See <a href="{page.url}#{name}">{html.escape(found[2])}</a>.'
            text += f'<details class="hint"><summary>it fails: why?</summary><p>Usually: {inline(case.cause)}.{where}</p></details>'
        return text

    def block(self, kind, title):
        heading = f'<p class="aside-title">{inline(title)}</p>' if title else ""
        # \htmlonly ends the paragraph before, so the elements come out properly nested.
        self.out.append(f'\n\\htmlonly[block]\n<div class="aside {kind}">{heading}\n\\endhtmlonly\n')
        self.open_blocks.append((self.number, "</div>"))

    def do_why(self, argument):
        self.block("why", argument)

    def do_checkpoint(self, argument):
        self.block("checkpoint", f"Checkpoint{': ' + argument if argument else ''}")

    def do_challenge(self, argument):
        self.block("challenge", f"Challenge: {argument}")

    def do_end(self, _):
        if not self.open_blocks:
            self.complain("@end without a block that it ends")
            return
        _, closing = self.open_blocks.pop()
        self.out.append(f"\n\\htmlonly[block]\n{closing}\n\\endhtmlonly\n")

    def do_gone(self, argument):
        """Names of the chapter before that the page speaks of although this chapter has them no more. Shows nothing."""

    def do_contents(self, _):
        out, part = ['<ol class="contents">'], None
        for page in self.book.pages[1:]:
            if page.part != part:
                out.append(f'</ol><p class="part">{html.escape(page.part)}</p><ol class="contents">')
                part = page.part
            out.append(f'<li><a href="{page.url}">{html.escape(page.title)}</a></li>')
        self.put("".join(out) + "</ol>")


def all_rows(file):
    """A whole file as rows that stay."""
    return [Row(" ", text, number, number) for number, text in enumerate(file.lines, 1)]


def inline(text):
    """A line of text with `code` in it, as HTML."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(text, quote=False))


def with_neighbours(rows, wanted):
    """The wanted rows in runs, with the line above as context where there is one; '-' and '+' of others left out."""
    parts, current, last = [], [], None
    for index, row in enumerate(rows):
        if row not in wanted:
            continue
        if last is None or index != last + 1:
            current = []
            parts.append(current)
            above = rows[index - 1] if index else None
            if above is not None and above.op != "-":
                current.append(Row(" ", above.text, above.old, above.new))
        current.append(row)
        last = index
    return parts


def navigation_as_json(book):
    """For tests of the site: the pages in order, with their titles."""
    return json.dumps([{"id": page.id, "url": page.url, "title": page.title} for page in book.pages])
