"""Tests of the book's machinery: what is shown can be put together again, and what is out of step is found and located.

    python3 -m unittest discover -s scripts/tests -p 'test_book.py'

The tests of scripts/check book run it on a copy of the tree, in which one thing was changed.
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))

import book_code  # noqa: E402 (the path comes first)
import book_read  # noqa: E402
import book_source  # noqa: E402
import project  # noqa: E402
from book_source import Broken, SourceFile, assign, diff  # noqa: E402


def figure(rows, name="a.cpp"):
    return (f'<figure class="piece" id="x" data-chapter="02" data-file="{name}" data-page-line="1">'
            f'{book_code.listing(rows, "cpp")}</figure>')


class Markers(unittest.TestCase):
    def test_lines_without_markers(self):
        file = SourceFile("a.cpp", "a.cpp", "one\n//! [ch02:x]\ntwo\n    //! [ch02:x]\nthree\n")
        self.assertEqual(file.lines, ["one", "two", "three"])
        self.assertEqual([(r.name, r.start, r.end, r.line) for r in file.regions], [("x", 1, 2, 2)])
        self.assertEqual(file.real, [1, 3, 5])

    def test_what_is_wrong_with_markers_is_located(self):
        for text, words in (("//! [ch02:x]\none\n", "a.cpp:1: marker [ch02:x] has no second one"),
                            ("//! [ch02:x]\n//! [ch02:x]\n", "a.cpp:2: region ch02:x is empty"),
                            ("//! [ch02:x]\none\n//! [ch02:y]\n", "a.cpp:3: marker [ch02:y] inside region ch02:x"),
                            ("//! [ch2:x]\n", "a.cpp:1: '//! [ch2:x]' looks like a marker")):
            with self.assertRaises(Broken) as caught:
                SourceFile("a.cpp", "a.cpp", text)
            self.assertIn(words, str(caught.exception))


    def test_markers_of_harbor(self):
        file = SourceFile("a.cpp", "a.cpp", "one\n//! [harbor:x]\ntwo\n//! [harbor:x]\n")
        self.assertEqual([(r.key, r.start, r.end) for r in file.regions], [("harbor:x", 1, 2)])
        self.assertEqual(book_source.strip("one\n//! [harbor:x]\n"), "one\n")
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "a.cpp").write_text("//! [harbor:x]\none\n//! [harbor:x]\n", encoding="utf-8")
            self.assertEqual(list(book_source.Chapter(book_source.HARBOR, Path(folder)).regions), ["x"])
            with self.assertRaises(Broken) as caught:
                book_source.Chapter("02", Path(folder))
            self.assertIn("a.cpp:1: chapter 02 may only have markers of its own, this is harbor:x", str(caught.exception))


class Directives(unittest.TestCase):
    """What single directives put on a page."""

    def setUp(self):
        import book_pages
        self.pages = book_pages
        self.book = book_pages.Book()
        self.converter = book_pages.Converter(self.book, self.book.pages[0])
        self.put = []
        self.converter.put = self.put.append
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        docs, book_pages.DOCS = book_pages.DOCS, Path(folder.name)
        self.addCleanup(setattr, book_pages, "DOCS", docs)
        (book_pages.DOCS / "performance").mkdir()

    def test_a_piece_of_harbor_is_shown_as_it_is(self):
        name, region = next(iter(self.book.harbor.regions.items()))
        self.converter.directive(f"@piece harbor:{name}")
        lines = re.findall(r'<span class="l (\w+)" data-n="(\d+)"', self.put[0])
        self.assertEqual(lines, [("same", str(n)) for n in range(region.start + 1, region.end + 1)])
        self.assertIn(f"harbor_{self.pages.slug(region.file.name)}.html#L{region.start + 1}", self.put[0])
        self.converter.directive("@piece harbor:nothing_of_this_name")
        self.assertIn("there is no marker [harbor:nothing_of_this_name] in harbor", self.book.problems[-1])

    def test_a_chart_takes_the_colours_of_the_theme(self):
        (self.pages.DOCS / "performance" / "b.svg").write_text("<svg><style>\n.bar { fill: red }\n</style><rect/></svg>\n",
                                                               encoding="utf-8")
        self.converter.directive("@chart b Shorter is better.")
        self.assertEqual(self.put, ['<figure class="picture chart" data-picture="b"><svg><rect/></svg>'
                                    "<figcaption>Shorter is better.</figcaption></figure>"])

    def test_figures_whole_and_in_part(self):
        path = self.pages.DOCS / "performance" / "b.txt"
        path.write_text("a machine\n\none: first\n  1\n\n  harbor / …  ratio\n\n  two: 2 < 3\n", encoding="utf-8")
        self.converter.directive("@figures b")
        self.assertIn("a machine\n\none: first\n  1\n\n  harbor / …  ratio\n\n  two: 2 &lt; 3\n</pre>", self.put[0])
        self.converter.directive("@figures b one")
        self.assertEqual(self.put[1], '<figure class="run"><pre>one: first\n  1\n\n  harbor / …  ratio\n</pre></figure>')
        for wrong, words in (("@figures b three", "no part that begins with 'three'; there are: a machine, one, two"),
                             ("@figures c", "no figures docs/performance/c.txt"), ("@chart c", "docs/performance/c.svg")):
            self.converter.directive(wrong)
            self.assertIn(words, self.book.problems[-1])

    def test_a_table_comes_from_the_check_that_has_measured_it(self):
        self.converter.directive("@table b")
        self.assertIn("there is no docs/generated/b.md", self.book.problems[-1])
        (self.pages.DOCS / "generated").mkdir()
        (self.pages.DOCS / "generated" / "b.md").write_text("| a |\n|---|\n| 1 |\n", encoding="utf-8")
        self.converter.directive("@table b")
        self.assertEqual(self.converter.out, ["", "| a |", "|---|", "| 1 |", ""])


class Diffs(unittest.TestCase):
    def test_every_diff_gives_both_sides(self):
        cases = [([], ["a"]), (["a"], []), (["a", "b", "c"], ["a", "c"]), (["x() {", "}", "", "z() {", "}"],
                 ["x() {", "}", "", "y() {", "}", "", "z() {", "}"]), (["a", "a", "b"], ["a", "b", "a", "a"])]
        for old, new in cases:
            rows = diff(old, new)
            self.assertEqual([row.text for row in rows if row.op != "+"], old)
            self.assertEqual([row.text for row in rows if row.op != "-"], new)
            self.assertEqual([row.new for row in rows if row.op != "-"], list(range(1, len(new) + 1)))

    def test_an_added_function_is_shown_from_its_head(self):
        rows = diff(["x() {", "    1;", "}", "", "z() {", "    3;", "}"],
                    ["x() {", "    1;", "}", "", "y() {", "    2;", "}", "", "z() {", "    3;", "}"])
        self.assertEqual([row.text for row in rows if row.op == "+"], ["y() {", "    2;", "}", ""])

    def test_blank_lines_go_with_their_region_and_removed_lines_with_what_replaces_them(self):
        file = SourceFile("a.cpp", "a.cpp", "one\n\n//! [ch02:x]\ntwo\n//! [ch02:x]\n\nlast\n")
        rows = diff(["one", "old", "last"], file.lines)
        assign(rows, file.regions)
        self.assertEqual([(row.op, row.text) for row in rows if row.owner is file.regions[0]],
                         [("-", "old"), ("+", ""), ("+", "two"), ("+", "")])


class Assembly(unittest.TestCase):
    """Every chapter can be put together from its pieces and its housekeeping, as listings show them."""

    def test_all_chapters(self):
        import book_pages
        chapters = book_source.load_chapters()
        steps = book_source.steps(chapters)
        files = {}
        for number, step in steps.items():
            figures = []
            for region in chapters[number].regions.values():
                figures.append(figure(step.piece(region), region.file.name))
            for name, left in step.housekeeping().items():
                parts = book_pages.with_neighbours(step.rows[name], set(left))
                figures.append(figure([row for part in parts for row in part], name))
            text = "".join(figures).replace('data-chapter="02"', f'data-chapter="{number}"')
            files = book_read.assemble(files, book_read.read_page(text, number))
            for name, file in chapters[number].files.items():
                self.assertEqual(files[name], file.lines, f"{number} {name}")
            self.assertEqual(set(files), set(chapters[number].files))

    def test_what_a_page_hides_is_noticed(self):
        old, new = ["a", "b", "c", "d"], ["a", "B", "c", "x", "d"]
        rows = diff(old, new)
        shown = book_read.read_page(figure(rows), "02")
        self.assertEqual(book_read.assemble({"a.cpp": old}, shown), {"a.cpp": new})
        hidden = [row for row in rows if row.text != "x"]
        with self.assertRaises(Broken):
            book_read.assemble({"a.cpp": old}, book_read.read_page(figure(hidden), "02"))


class OutOfStep(unittest.TestCase):
    """scripts/check book on a copy of the tree with one change: it fails, and says where."""

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="harbor-book-test-")
        cls.tree = Path(cls.folder.name) / "harbor"
        listed = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=project.ROOT,
                                stdout=subprocess.PIPE, text=True, check=True).stdout
        for name in filter(None, listed.split("\0")):
            if (project.ROOT / name).is_file():
                (cls.tree / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(project.ROOT / name, cls.tree / name)

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def check(self, *arguments):
        result = subprocess.run([self.tree / "scripts" / "check", "book", *arguments], stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
                                env=dict(os.environ, HARBOR_SKIP_BOOTSTRAP="1"))
        return result.returncode, result.stdout

    def changed(self, name, pattern, replacement, count=1):
        """Changes a file of the copy until the test ends; returns the number of the first line changed."""
        path = self.tree / name
        before = path.read_text(encoding="utf-8")
        self.addCleanup(path.write_text, before, encoding="utf-8")
        found = re.search(pattern, before)
        self.assertTrue(found, f"{pattern} in {name}")
        path.write_text(re.sub(pattern, replacement, before, count=count), encoding="utf-8")
        return before.count("\n", 0, found.start()) + 1

    def must_fail(self, words, *arguments):
        status, output = self.check(*arguments)
        self.assertEqual(status, 1, output)
        self.assertIn(words, output)

    def test_the_tree_as_it_is_passes(self):
        status, output = self.check("--quick")
        self.assertEqual(status, 0, output)

    def test_one_marker_deleted(self):
        line = self.changed("chapters/01_echo/session.cpp", r"//! \[ch01:serve_read\]\n", "")
        # What was its second marker now opens a region, which the next marker finds open.
        status, output = self.check("--quick")
        self.assertEqual(status, 1)
        found = re.search(r"chapters/01_echo/session\.cpp:(\d+): marker \[ch01:\w+\] inside region ch01:serve_read", output)
        self.assertTrue(found, output)
        self.assertGreater(int(found[1]), line)

    def test_both_markers_deleted(self):
        self.changed("chapters/01_echo/session.cpp", r" *//! \[ch01:serve_read\]\n", "", count=2)
        page = (self.tree / "docs/chapters/01_echo.md").read_text(encoding="utf-8")
        line = page.count("\n", 0, page.index("@piece ch01:serve_read")) + 1
        self.must_fail(f"docs/chapters/01_echo.md:{line}: there is no marker [ch01:serve_read]", "--quick")

    def test_one_function_renamed(self):
        lines = {}
        for path in sorted((self.tree / "chapters/01_echo").glob("*.?pp")):
            if re.search(r"\baccept_clients\(", path.read_text(encoding="utf-8")):
                name = path.relative_to(self.tree)
                lines[path.name] = self.changed(name, r"\baccept_clients\(", "take_clients(", count=0)
        status, output = self.check("--quick")
        self.assertEqual(status, 1, output)
        # Where the text has the old name, and where the code has one that the text does not know.
        self.assertRegex(output, r"docs/chapters/01_echo\.md:\d+: `accept_clients\(\)`: the name 'accept_clients' is not in")
        self.assertRegex(output, rf"chapters/01_echo/server\.[ch]pp:({lines['server.cpp']}|{lines['server.hpp']}): docs/chapters/01_echo"
                         r"\.md never names `take_clients`")

    def test_one_piece_taken_off_the_page(self):
        self.changed("docs/chapters/01_echo.md", r"@piece ch01:parse_port\n", "")
        status, output = self.check("--quick")
        self.assertEqual(status, 1)
        self.assertRegex(output, r"chapters/01_echo/main\.cpp:\d+: the piece ch01:parse_port is not on its chapter's page")
        self.assertRegex(output, r"chapters/01_echo/main\.cpp:\d+: docs/chapters/01_echo\.md does not show")

    def test_one_marker_of_harbor_shown_nowhere_and_one_section_that_a_test_names(self):
        self.changed("harbor/ready_set.cpp", r"\Z", "//! [harbor:unseen]\n// x\n//! [harbor:unseen]\n")
        path = next(p for p in sorted((self.tree / "docs/tour").glob("*.md"))
                    if "Where the system calls go" in p.read_text(encoding="utf-8").splitlines()[0])
        self.changed(path.relative_to(self.tree), r"Where the system calls go", "Where they go")
        status, output = self.check("--quick")
        self.assertEqual(status, 1, output)
        self.assertRegex(output, r"harbor/ready_set\.cpp:\d+: the piece harbor:unseen is on no page")
        self.assertRegex(output, r"harbor/tests/black_box_threads\.cpp:\d+: the test .* 'Where the system calls go' of the tour")

    def test_the_output_of_a_program_changed(self):
        self.changed("chapters/01_echo/main.cpp", "is not a port", "is no port")
        page = (self.tree / "docs/chapters/01_echo.md").read_text(encoding="utf-8")
        line = page.count("\n", 0, page.index("@run ch01_arguments")) + 1
        self.must_fail(f"docs/chapters/01_echo.md:{line}: @run ch01_arguments shows something else", "--only", "^ch01_arguments$")


if __name__ == "__main__":
    unittest.main()
