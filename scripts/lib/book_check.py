"""scripts/check book: that the book and the code say the same.

Sync (markers, sections that the tests name, names in the text, commands, examples, mutants, terminal output), coverage
(every added and every removed line is on the chapter's page), and assembly: each chapter put together from the one
before and its page as Doxygen wrote it, equal byte for byte, built, and judged by the chapter's tests.
"""
import html
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import book_code
import book_pages
import book_read
import book_record
import book_site
import book_source
import book_tests
import project
from book_source import Broken

HTML = book_pages.BUILD / "html"
ASSEMBLED = book_pages.BUILD / "assembled"
SLOW = 20  # seconds for a recording, from which on it is worth a line
MOST_LINES = 12  # that are named one by one when a page does not show them
WORD = re.compile(r"[A-Za-z_]\w*")


def check_book(arguments):
    try:
        book = book_site.build(quiet=True)
    except Broken as broken:
        raise project.Stop(str(broken)) from None
    project.say(f"book: {len(book.pages)} pages in reading order, {sum(len(c.regions) for c in book.chapters.values())} markers")
    check_markers(book)
    check_sections(book)
    check_names(book)
    check_functions(book)
    check_commands(book)
    check_wrong(book)
    check_transcripts(book)
    covered = check_coverage(book)
    chapters = check_assembly(book)
    if not arguments.quick:
        check_examples(book)
        check_recordings(book, re.compile(arguments.only or ""))
    for problem in book.problems:
        project.say(problem)
    if book.problems:
        first = " ".join(book.problems[0].split())  # once more, for whoever sees only the last lines of a long run
        return False, f"problems: {len(book.problems)}, listed above; the first: {first}"
    if chapters and not arguments.quick:
        build_and_test(chapters)
    missing = [number for number in book.chapters if not book.chapter_page(number)]
    text = f"{covered}; {len(chapters)} chapters put together from their pages"
    text += "" if arguments.quick else ", built and tested" if chapters else ""
    if missing:
        text += f"; no page in docs/order.txt yet: chapters {', '.join(missing)}"
    return True, text


# --- sync -----------------------------------------------------------------------------------------------------------


def check_markers(book):
    for number, chapter in book.chapters.items():
        page = book.chapter_page(number)
        for region in chapter.regions.values():
            if page and (page.id, region.key) not in book.used:
                book.complain(region.where, f"the piece {region.key} is not on its chapter's page, docs/{page.path}")
    shown = {key for _, key in book.used}
    for region in book.harbor.regions.values():
        if region.key not in shown:
            book.complain(region.where, f"the piece {region.key} is on no page")


def check_sections(book):
    """A test that fails sends its reader to a section of the book: it has to be there."""
    for chapter in book.chapters.values():
        for pattern in ("black_box_*.cpp", "unit_*.cpp"):
            for case in book_tests.cases_of(chapter.folder, pattern):
                found = re.fullmatch(r"chapter (\d\d), (.*)", case.section or "")
                page = book.chapter_page(found[1]) if found else None
                if page and found[2] not in book.headings[page.id]:
                    book.complain(f"{case.path}:{case.line}", f"the test '{case.name}' sends its reader to the section"
                                  f" '{found[2]}', which docs/{page.path} does not have")
    tour = [page for page in book.pages if page.path.startswith("tour/")]
    headings = {text for page in tour for text in [page.title, *book.headings[page.id]]}
    for case in book_tests.cases_of(book.harbor.folder):
        found = re.fullmatch(r"the tour of harbor, (.*)", case.section or "")
        if found and tour and found[1] not in headings:
            book.complain(f"{case.path}:{case.line}", f"the test '{case.name}' sends its reader to the section '{found[1]}' of the"
                          " tour, which no page in docs/tour has")


def identifiers(text):
    """The names in a C++ source: not those in comments and includes, but those in strings (variables of the environment)."""
    text = re.sub(r"//.*|/\*.*?\*/|^\s*#\s*include.*", "", text, flags=re.MULTILINE)
    return set(WORD.findall(text))


def read_words():
    """Names that pages may use although the tree has no such thing, by the line of docs/words.txt."""
    words = {}
    for number, line in enumerate((book_pages.DOCS / "words.txt").read_text(encoding="utf-8").splitlines(), 1):
        for word in line.partition("#")[0].split():
            words.setdefault(word, number)
    return words


def check_names(book):
    """Every name between backticks is one of the code that the page is about, or of docs/words.txt."""
    words, used = read_words(), set()
    harness = set().union(*(identifiers(path.read_text(encoding="utf-8")) for path in (project.ROOT / "harness").glob("*.?pp")))
    by_chapter = {}
    for number, chapter in book.chapters.items():
        own = set().union(*(identifiers("\n".join(file.lines)) for file in chapter.files.values()))
        tests = set().union(*(identifiers(path.read_text(encoding="utf-8")) for path in (chapter.folder / "tests").glob("*")))
        by_chapter[number] = own, own | tests | harness
    everywhere = set().union(*(all_of for _, all_of in by_chapter.values()))
    for path in (project.ROOT / "harbor").rglob("*.?pp"):
        everywhere |= identifiers(path.read_text(encoding="utf-8"))
    for page in book.pages:
        known = by_chapter[page.chapter][1] if page.chapter else everywhere
        known = known | gone_names(book, page, by_chapter)
        for number, code in code_spans(page):
            for problem in unknown_in(book, page, code, known, words, used):
                book.complain(page.at(number), problem)
    for word, line in words.items():
        if word not in used:
            book.complain(f"docs/words.txt:{line}", f"no page uses '{word}', or the tree has that name now: take it out")


def check_functions(book):
    """Every function and class that a chapter brings is named in its text: one that is renamed later is missed here."""
    for number, step in book.steps.items():
        page = book.chapter_page(number)
        if not page:
            continue
        named = {word for _, code in code_spans(page) for word in WORD.findall(code)}
        before = set().union(*(identifiers("\n".join(file.lines)) for file in step.old.files.values())) if step.old else set()
        for name, rows in step.rows.items():
            for row in rows:
                if row.op != "+" or name == "CMakeLists.txt":
                    continue
                brought = book_code.declared(row.text) or ""
                word = WORD.findall(brought)[-1] if re.search(r"\(\)$|^(class|struct) ", brought) else None
                if word and word not in before and word not in named:
                    named.add(word)  # once is enough
                    file = step.new.files[name]
                    book.complain(f"{file.path}:{file.real[row.new - 1]}", f"docs/{page.path} never names `{word}`, which this"
                                  " chapter brings")


def gone_names(book, page, by_chapter):
    """What the page lists with @gone: names that the chapter before has and this one has not."""
    names = set()
    for number, line in enumerate(page.lines, 1):
        if line.startswith("@gone "):
            before = book.before(page.chapter) if page.chapter else None
            for name in line.split()[1:]:
                if before is None or name not in by_chapter[before][0]:
                    book.complain(page.at(number), f"@gone {name}: the chapter before has no such name")
                elif name in by_chapter[page.chapter][0]:
                    book.complain(page.at(number), f"@gone {name}: this chapter still has it")
                names.add(name)
    return names


def code_spans(page):
    fenced = False
    for number, line in enumerate(page.lines, 1):
        if line.startswith("```"):
            fenced = not fenced
        elif not fenced:
            for code in re.findall(r"`([^`]+)`", line):
                yield number, code


def unknown_in(book, page, code, known, words, used):
    code = html.unescape(code)
    first = code.split()[0]
    if first in words:  # by itself, or a command with its arguments
        used.add(first)
        return
    if re.fullmatch(r"[\w./-]*\.(cpp|hpp|md|txt|py|cmake|patch)|[\w.-]+(/[\w.-]*)+", code) and first not in words:
        here = book.chapters[page.chapter].folder if page.chapter else None
        places = [project.ROOT / code, page.source.parent / code, *(
            folder / code for folder in ([here, here / "tests", project.ROOT / "harness"] if here else
                                         [project.ROOT / "harness", project.ROOT / "harbor",
                                          *(chapter.folder for chapter in book.chapters.values())]))]
        if not code.startswith(("build/", "/")) and not any(place.exists() for place in places):
            yield f"`{code}` is no file of the tree"
        return
    plain = re.sub(r"\b(?:std|asio)(?:::\w+)+", " ", code)
    for word in WORD.findall(plain):
        if word in book_code.KEYWORDS:
            continue
        if word in words:
            used.add(word)
        elif word not in known:
            yield (f"`{code}`: the name '{word}' is not in the code that this page is about; has it been renamed?"
                   " (names of other programs and of the system go into docs/words.txt)")
            return


def check_commands(book):
    """Files of the tree that a block of shell commands names, and programs that are built from it."""
    for page, line, information, lines in book.blocks:
        if information.split()[:1] not in (["sh"], ["bash"], ["shell"]):
            continue
        for offset, text in enumerate(lines, 1):
            command = text.partition(" #")[0]
            for name in re.findall(r"(?<![\w/.-])(?:\./)?((?:scripts|chapters|harbor|harness|docs|build)/[\w./*-]+)", command):
                if not command_file_exists(name):
                    book.complain(page.at(line + offset), f"'{name}' is no file of the tree and no program built from it")
    for recording in book_record.recordings():
        for number, command in recording.commands():
            for name in re.findall(r"(?<![\w/.-])((?:scripts|chapters|build)/[\w./-]+)", command):
                if not command_file_exists(name):
                    book.complain(recording.where(number), f"'{name}' is no file of the tree and no program built from it")


def command_file_exists(name):
    name = name.rstrip(".,")
    found = re.fullmatch(r"build/(?:release|debug|asan|tsan)(/.*)?", name)
    if not found:
        return name.startswith("build") or bool(list(project.ROOT.glob(name)))
    rest = (found[1] or "").strip("/").split("/")
    if rest[0] in ("", "harbor", "harness"):
        return True
    if len(rest) == 1 and (book_pages.DOCS / "examples" / f"{rest[0]}.cpp").is_file():
        return True
    if rest[0] != "chapters":
        return False
    number = next((number for number, folder in project.chapters().items() if folder.name == rest[1]), None)
    programs = {"echo" if number == "01" else "harbor", f"ch{number}_tests", f"ch{number}_unit_tests"}
    return number is not None and (len(rest) == 2 or rest[2] in programs)


def check_wrong(book):
    """A block that is wrong on purpose is a mutant, which scripts/check mutants proves to be caught."""
    for page, line, information, lines in book.blocks:
        if "wrong" not in information.split():
            continue
        found = re.search(r"\bmutant=([\w-]+)", information)
        if not found:
            book.complain(page.at(line), "a block tagged wrong says which mutant it is: ```cpp wrong mutant=NAME")
            continue
        patch = project.ROOT / "harness" / "mutants" / f"{found[1]}.patch"
        if not patch.is_file():
            book.complain(page.at(line), f"there is no mutant {patch.relative_to(project.ROOT)}")
            continue
        changed = [text for text in patch.read_text(encoding="utf-8").splitlines() if not text.startswith("+++")]
        there = {text[1:].strip() for text in changed if text[:1] in "+ "}
        wrong = {text[1:].strip() for text in changed if text[:1] == "+"}
        for offset, text in enumerate(lines, 1):
            if text.strip() and text.strip() not in there:
                book.complain(page.at(line + offset), f"the mutant {found[1]} has no line '{text.strip()}'")
        if not wrong & {text.strip() for text in lines if text.strip()}:
            book.complain(page.at(line), f"nothing in this block is what the mutant {found[1]} changes")


def check_transcripts(book):
    """Without running anything: each recording has the commands of its recipe and their output, and is no placeholder."""
    for recording in book_record.recordings():
        path = recording.path.with_suffix(".txt")
        if not path.is_file():
            book.complain(recording.where(1), f"there is no {path.name}: scripts/docs --record {recording.name} makes it")
            continue
        for number, words in recording.faults(path.read_text(encoding="utf-8")):
            book.complain(f"{path.relative_to(project.ROOT)}:{number}",
                          f"{words} (scripts/docs --record {recording.name} records it anew)")
    for path in sorted((book_pages.DOCS / "recordings").glob("*.txt")):
        if not path.with_suffix(".cmd").is_file():
            book.complain(f"{path.relative_to(project.ROOT)}:1", f"there is no recipe {path.stem}.cmd that this comes from")


def check_examples(book):
    """Every block tagged example compiles, after its prelude if it names one (docs/examples/NAME.hpp)."""
    for page, line, information, lines in book.blocks:
        if "example" not in information.split():
            continue
        found = re.search(r"\bprelude=([\w-]+)", information)
        prelude = book_pages.DOCS / "examples" / f"{found[1]}.hpp" if found else None
        if prelude and not prelude.is_file():
            book.complain(page.at(line), f"there is no prelude {prelude.relative_to(project.ROOT)}")
            continue
        with tempfile.TemporaryDirectory(prefix="harbor-book-") as folder:
            source = Path(folder) / "example.cpp"
            text = (f'#include "{prelude}"\n' if prelude else "") + f'#line {line + 1} "docs/{page.path}"\n' + "\n".join(lines)
            source.write_text(text + "\n", encoding="utf-8")
            result = subprocess.run(["g++", "-std=c++20", "-Wall", "-Wextra", "-fsyntax-only", "-DASIO_STANDALONE", source],
                                    stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                    check=False)
        if result.returncode != 0 or result.stdout.strip():
            book.complain(page.at(line), f"the example does not compile without warnings:\n{result.stdout}")


def check_recordings(book, only):
    chosen = book_record.recordings()
    for recording in chosen:
        if recording.name not in book.recordings:
            book.complain(f"docs/recordings/{recording.name}.cmd", "no page shows this recording")
    chosen = [recording for recording in chosen if only.search(recording.name)]
    book_record.build_for(chosen)
    for recording in chosen:
        where = book.recordings.get(recording.name, f"docs/recordings/{recording.name}.txt")
        path = recording.path.with_suffix(".txt")
        have = path.read_text(encoding="utf-8") if path.is_file() else ""
        start = time.monotonic()
        problem = differs(recording, have)
        if (seconds := time.monotonic() - start) > SLOW:
            project.say(f"  recording {recording.name}: {seconds:.0f} s")
        if problem:
            # Real programs on a machine that does other things as well. What is wrong with the page is so the next time too.
            project.say(f"  {where}: @run {recording.name} {problem}\n  once more")
            problem = differs(recording, have)
        if problem:
            book.complain(where, f"@run {recording.name} {problem}")


def differs(recording, have):
    """What is wrong with a recording's text, to follow its name, after a run of its commands; nothing if it is right."""
    try:
        text = recording.run()
    except project.Stop as stop:
        return f"cannot be recorded: {stop}"
    if text == have:
        return None
    return ("shows something else than the program prints now:\n"
            f"{first_difference(have, text)}\n    (scripts/docs --record {recording.name} records it anew)")


def first_difference(have, now):
    before, after = have.splitlines(), now.splitlines()
    for index in range(max(len(before), len(after))):
        one = before[index] if index < len(before) else None
        two = after[index] if index < len(after) else None
        if one != two:
            return (f"    line {index + 1} on the page: {'(nothing)' if one is None else one}\n"
                    f"    line {index + 1} of the run:  {'(nothing)' if two is None else two}")
    return "    (only the end of the text differs)"


# --- coverage and assembly --------------------------------------------------------------------------------------------


def shown_on(page):
    return book_read.read_page((HTML / page.url).read_text(encoding="utf-8"), page.chapter)


def check_coverage(book):
    lowest = 100.0
    for number, step in book.steps.items():
        page = book.chapter_page(number)
        added, removed, left = step.counts()
        part = left / added
        if not page:
            project.say(f"  chapter {number}: +{added} −{removed}, no page yet")
            continue
        try:
            shown = shown_on(page)
        except Broken as broken:
            book.complain(f"docs/{page.path}", str(broken))
            continue
        missing = []
        for name, rows in step.rows.items():
            have = shown.get(name, book_read.Shown())
            gone = [text for _, texts in sorted(have.removed.items()) for text in texts]
            for row in rows:
                if row.op == "+" and have.added.get(row.new) != row.text:
                    missing.append((f"{step.new.files[name].path}:{step.new.files[name].real[row.new - 1]}", row))
                elif row.op == "-":
                    if row.text in gone:
                        gone.remove(row.text)
                    else:
                        missing.append((f"{step.old.files[name].path}:{step.old.files[name].real[row.old - 1]}", row))
        total = sum(row.op != " " for rows in step.rows.values() for row in rows)
        covered = 100.0 * (total - len(missing)) / total
        lowest = min(lowest, covered)
        project.say(f"  chapter {number}: +{added} −{removed}, {covered:.1f} % on the page, {100 * part:.1f} % of the added lines"
                    " in its housekeeping")
        for where, row in missing[:MOST_LINES]:
            book.complain(where, f"docs/{page.path} does not show that this line {'comes' if row.op == '+' else 'goes'}:"
                          f" {row.text.strip() or '(a blank line)'}")
        if len(missing) > MOST_LINES:
            book.complain(f"docs/{page.path}", f"{len(missing) - MOST_LINES} more lines of chapter {number} are not shown")
        if part > book_pages.MAX_HOUSEKEEPING:
            book.complain(f"docs/{page.path}", f"{100 * part:.1f} % of chapter {number}'s added lines are housekeeping, the limit"
                          f" is {100 * book_pages.MAX_HOUSEKEEPING:.0f} %: put markers around more of them")
    return f"coverage {lowest:.0f} %"


def check_assembly(book):
    """Puts chapters together until the first without a page. Returns their files, as texts by name, by number."""
    files, done = {}, {}
    for number, chapter in book.chapters.items():
        page = book.chapter_page(number)
        if not page:
            break
        try:
            files = book_read.assemble(files, shown_on(page))
        except Broken as broken:
            book.complain(f"docs/{page.path}", f"chapter {number} cannot be put together from it: {broken}")
            break
        wanted = {path.name: book_source.strip(path.read_text(encoding="utf-8"))
                  for path in book_source.source_paths(chapter.folder)}
        have = {name: "\n".join(lines) + "\n" for name, lines in files.items()}
        different = [name for name in sorted({*wanted, *have}) if wanted.get(name) != have.get(name)]
        for name in different:
            book.complain(f"docs/{page.path}", f"put together from the page, chapter {number}'s {name} is not the one in the"
                          f" tree:\n{first_difference(wanted.get(name, ''), have.get(name, ''))}")
        if different:
            break
        done[number] = have
    return done


TOP = """cmake_minimum_required(VERSION 3.20)
project(assembled LANGUAGES CXX)
enable_testing()
add_subdirectory(harness)
{folders}
"""


def write_assembled(chapters):
    """Writes the chapters into ASSEMBLED. A file that is the same stays as it is, so that ninja need not build it again."""
    wanted = {}
    for number, files in chapters.items():
        folder = project.chapters()[number]
        for name, text in files.items():
            wanted[ASSEMBLED / "chapters" / folder.name / name] = text
        for path in (folder / "tests").rglob("*"):
            if path.is_file():
                wanted[ASSEMBLED / "chapters" / path.relative_to(folder.parent)] = path.read_text(encoding="utf-8")
    for path in [*(ASSEMBLED / "chapters").rglob("*")]:
        if path.is_file() and path not in wanted:
            path.unlink()
    for path, text in wanted.items():
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")


def build_and_test(chapters):
    """Builds what was put together, with the harness and the tests of the tree, and lets each chapter's tests judge it."""
    write_assembled(chapters)
    numbers = list(chapters)
    harness = ASSEMBLED / "harness"
    harness.parent.mkdir(parents=True, exist_ok=True)
    if not harness.is_symlink():
        harness.symlink_to(project.ROOT / "harness")
    names = [project.chapters()[number].name for number in numbers]
    (ASSEMBLED / "CMakeLists.txt").write_text(
        TOP.format(folders="\n".join(f"add_subdirectory(chapters/{name})" for name in names)), encoding="utf-8")
    build = ASSEMBLED / "build"
    targets = [f"ch{number}_{kind}" for number in numbers for kind in ("program", "tests", "unit_tests")]
    targets = [target for target in targets if not target.endswith("unit_tests") or
               list((project.chapters()[target[2:4]] / "tests").glob("unit_*.cpp"))]
    launcher = ["-DCMAKE_CXX_COMPILER_LAUNCHER=ccache"] if shutil.which("ccache") else []
    for command in (["cmake", "-S", ASSEMBLED, "-B", build, "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release", *launcher],
                    ["ninja", "-C", build, *targets],
                    ["ctest", "--test-dir", build, "-j", "4", "--output-on-failure", "--no-tests=error",
                     "-L", "^ch(" + "|".join(numbers) + ")$"]):
        result = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                errors="replace", check=False)
        if result.returncode != 0:
            raise project.Stop(f"{result.stdout[-20000:]}\nthe chapters put together from their pages: '{command[0]}' failed")
    summary = [line for line in result.stdout.splitlines() if "tests passed" in line]
    project.say(f"  chapters {', '.join(numbers)}, put together from their pages: {summary[0] if summary else 'tested'}")
