"""The drawing of a story: as SVG, and in the terminal."""
import re
import sys
import unittest
import xml.etree.ElementTree as xml
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))
sys.path.insert(0, str(Path(__file__).resolve().parent))

import sequence  # noqa: E402 (the path comes first)
from test_story import Record  # noqa: E402

SVG = "{http://www.w3.org/2000/svg}"


def conversation():
    record = Record().connects().add("backend A #1", "accepted")
    record.moves("client 1", "sent", r"hello\n").moves("backend A #1", "received", r"hello\n")
    return record.add("client 1", "FIN sent", after=0.5)


def failure(because="backend A #1 has seen no end\n  expected: abc\n            ^"):
    record = conversation().add("the test", "fails", expected="REQUIRE( backend.saw_end_of_stream(1) )", because=because)
    return record.ends("failed")


def crowd(count=200):
    record = Record("ABCD", LB_IO_TIMEOUT_MS=600000, LB_BACKEND_COOLDOWN_MS=5000)
    for number in range(1, count + 1):
        record.connects(f"client {number}", port=5000 + number).add(f"backend {'ABCD'[number % 4]} #{number}", "accepted")
        record.moves(f"client {number}", "sent", "a rather long line of text")
    record.add("harbor", "signal", pid=100, signal="SIGTERM").add("harbor", "prints", pid=100, text="a word and " * 12)
    return record.add("harbor", "exited", pid=100, status=0).ends()


class Drawing(unittest.TestCase):
    def draw(self, record, **options):
        return sequence.svg(record.told(), **options)

    def texts(self, svg):
        return ["".join(element.itertext()) for element in xml.fromstring(svg).iter(f"{SVG}text")]

    def test_it_is_well_formed_and_tells_in_words_what_it_shows(self):
        root = xml.fromstring(self.draw(conversation().ends(), name="two words"))
        self.assertEqual(root.get("viewBox").split()[:3], ["0", "0", "720"])
        self.assertEqual(root.get("role"), "img")
        self.assertEqual(root.find(f"{SVG}title").text, "a test")
        words = root.find(f"{SVG}desc").text
        self.assertIn("From left to right: client 1, harbor, backend A.", words)
        self.assertIn("client 1 to harbor: 6 bytes “hello”. harbor to backend A: 6 bytes “hello”.", words)
        self.assertEqual(root.get("aria-labelledby"), "two-words-title two-words-desc")
        self.assertEqual(root.find(f"{SVG}desc").get("id"), "two-words-desc")

    def test_what_is_not_markup_is_escaped(self):
        record = conversation().add("the test", "note", text="a < b && c > d").moves("client 1", "sent", "</svg>").ends()
        texts = self.texts(self.draw(record))
        self.assertIn("a < b && c > d", texts)
        self.assertIn("6 bytes “</svg>”", texts)

    def test_all_colours_come_from_the_style(self):
        for record in (failure(), crowd()):
            drawn = self.draw(record)
            body = drawn[drawn.index("</style>"):]
            self.assertIsNone(re.search(r"(fill|stroke)\s*[=:]|rgb", body))
        self.assertIn("var(--page-foreground-color, ", drawn)
        self.assertIn("prefers-color-scheme: dark", drawn)

    def test_every_rule_of_the_style_is_for_this_picture_alone(self):
        for selector in re.findall(r"(?m)^([^\s{}@][^{}]*)\{", sequence.STYLE):
            self.assertTrue(selector.startswith("svg.sequence"), selector)

    def test_only_what_went_wrong_is_red(self):
        self.assertNotIn('class="wrong-box"', self.draw(conversation().ends()))
        drawn = self.draw(failure())
        self.assertEqual(drawn.count('class="wrong-box"'), 1)
        self.assertIn("expected: backend.saw_end_of_stream(1)", self.texts(drawn))
        # The lane that the explanation names is marked, and no other.
        self.assertEqual(drawn.count('class="wrong-ring"'), 1)

    def test_nothing_is_drawn_outside(self):
        for record in (conversation().ends(), failure("x" * 500), crowd()):
            root = xml.fromstring(self.draw(record))
            height = float(root.get("height"))
            for element in root.iter():
                left, top = float(element.get("x", 0)), float(element.get("y", 0))
                self.assertGreaterEqual(left, 0)
                self.assertLessEqual(left + float(element.get("width", 0)), 720.01)
                self.assertLessEqual(top + float(element.get("height", 0)), height)

    def test_more_bytes_make_a_broader_arrow(self):
        def breadth(size):
            record = Record().connects().moves("client 1", "sent", "x", size).ends()
            return float(re.search(r"stroke-width:([\d.]+)\" d=\"M\S+ \S+H", self.draw(record)).group(1))
        self.assertLess(breadth(1), breadth(65536))
        self.assertLess(breadth(65536), breadth(8 << 20))

    def test_a_long_story_is_shortened_in_the_middle(self):
        drawn = self.draw(crowd(), most=30)
        self.assertIn("steps left out", drawn)
        texts = self.texts(drawn)
        self.assertTrue(any(text.startswith("client 1 connects") or text == "1 connects" for text in texts))
        self.assertIn("exits with status 0", texts)

    def test_a_story_of_nobody_can_be_drawn(self):
        record = Record((), program=False)
        for number in range(100):
            record.add("the test", "note", text=f"thought {number}")
        record.ends()
        self.assertIn("thought 99", self.texts(self.draw(record)))
        self.assertIn("thought 99", sequence.terminal(record.told()))

    def test_captions_are_as_long_as_there_is_room(self):
        arrow = crowd(3).told().steps[1].arrows[0]
        self.assertEqual(sequence.caption(arrow, lambda text: len(text) < 100), arrow.captions[0])
        self.assertEqual(sequence.caption(arrow, lambda text: len(text) < 20), "client 1: 26 bytes")
        self.assertEqual(sequence.caption(arrow, lambda text: False), "1: 26 bytes")


class InTheTerminal(unittest.TestCase):
    def draw(self, record, **options):
        return sequence.terminal(record.told(), **options)

    def test_a_conversation(self):
        lines = self.draw(conversation().ends(), width=72).splitlines()
        self.assertEqual(len(lines), 7)
        self.assertRegex(lines[1], r"│ client 1 │ +│ harbor │ +│ backend A │$")
        self.assertRegex(lines[3], r"^ +4 ms +│┄+ connects ┄+▷┃┄+ connects ┄+▷│$")
        self.assertRegex(lines[4], r"^ +6 ms +│━+ 6 bytes “hello” ━+▶┃━+ 6 bytes “hello” ━+▶│$")
        self.assertRegex(lines[5], r"^ +⋮ +500 ms later +⋮ +⋮$")
        self.assertRegex(lines[6], r"^ +507 ms +│─+ FIN ─+▶┃ +│$")
        # The lifelines stand under each other.
        self.assertEqual(len({line.index("┃") for line in lines[3:5] + lines[6:]}), 1)

    def test_without_unicode_it_is_ascii(self):
        for record in (conversation().ends(), failure("“…→×—✗"), crowd()):
            drawn = self.draw(record, unicode=False)
            self.assertTrue(drawn.isascii(), drawn)
        self.assertRegex(self.draw(conversation().ends(), unicode=False), r'\|=+ 6 bytes "hello" =+>#')

    def test_it_keeps_within_the_width(self):
        for width in (40, 60, 80, 100, 200):
            for record in (conversation().ends(), failure("x" * 500), crowd()):
                for line in self.draw(record, width=width).splitlines():
                    self.assertLessEqual(len(line), width, line)

    def test_colours_only_when_asked_for(self):
        self.assertNotIn("\x1b", self.draw(failure()))
        coloured = self.draw(failure(), coloured=True)
        self.assertIn("\x1b[1;31m", coloured)
        self.assertEqual(re.sub(r"\x1b\[[0-9;]*m", "", coloured).replace(" \n", "\n"), self.draw(failure()))
        self.assertNotIn("\x1b[1;31m", self.draw(conversation().ends(), coloured=True))

    def test_a_failure_marks_its_lane_and_keeps_the_caret_in_its_place(self):
        lines = self.draw(failure(), width=80).splitlines()
        band = next(line for line in lines if "✗" in line)
        backend = next(line for line in lines if "▷│" in line).rindex("│")
        self.assertEqual(band.index("✗"), backend)
        excerpt = next(line for line in lines if "expected: abc" in line)
        caret = next(line for line in lines if line.endswith("^"))
        self.assertEqual(excerpt[caret.index("^")], "a")

    def test_a_caption_without_room_stands_above_its_arrow(self):
        lines = self.draw(crowd(3), width=40).splitlines()
        self.assertTrue(any("1: 26 bytes" in line and "━" not in line for line in lines))

    def test_a_program_that_has_ended_has_no_lifeline_any_more(self):
        lines = self.draw(crowd(3).add("client 1", "closed"), width=100).splitlines()
        end = next(number for number, line in enumerate(lines) if "exits with status 0" in line)
        self.assertTrue(any("┃" in line for line in lines[:end]))
        self.assertFalse(any("┃" in line for line in lines[end:]))


class Wrapping(unittest.TestCase):
    def test_text_is_wrapped_between_words(self):
        self.assertEqual(sequence.wrap("one two three", 8), ["one two", "three"])
        self.assertEqual(sequence.wrap("  one two three", 8), ["  one", "  two", "  three"])

    def test_what_is_aligned_is_only_cut(self):
        self.assertEqual(sequence.wrap("  got:      abcdef", 14), ["  got:      ab", "cdef"])


if __name__ == "__main__":
    unittest.main()
