"""What scripts/check mutants does before it runs anything: reading a mutant's file, and finding the place for its patch."""
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))

import mutants  # noqa: E402 (the path comes first)
import project  # noqa: E402
from black_box import FAILED, PASSED, Outcome  # noqa: E402

FILE = """Ends everything
at the first end.

Fails: one
Fails: two

Fails too: three
Fails too: four
Because: they: too.

May fail: five
Because: luck.
Fails in unit_pool.cpp: six

--- a/chapters/02_tcp_proxy/relay.cpp
+++ b/chapters/02_tcp_proxy/relay.cpp
@@ -1,2 +1,3 @@
 first
-second
+changed

+added
@@ -9 +9 @@
-ninth
+9th
--- a/chapters/02_tcp_proxy/pool.hpp
+++ b/chapters/02_tcp_proxy/pool.hpp
@@ -1 +1 @@
-a
+b
"""


class Reading(unittest.TestCase):
    def test_a_whole_file(self):
        mutant = mutants.parse("name", FILE)
        self.assertEqual(mutant.what, "Ends everything at the first end.")
        self.assertEqual(mutant.chapter, "02")
        self.assertEqual(mutant.fails, ["one", "two"])
        self.assertEqual(mutant.fails_too, {"three": "they: too.", "four": "they: too."})
        self.assertEqual(mutant.may_fail, {"five": "luck."})
        self.assertEqual(mutant.units, [("unit_pool.cpp", "six")])
        self.assertEqual(mutant.must_fail, ["one", "two", "three", "four"])
        self.assertEqual(list(mutant.hunks), ["relay.cpp", "pool.hpp"])
        first, second = mutant.hunks["relay.cpp"]
        self.assertEqual((first.old, first.new), (["first", "second", ""], ["first", "changed", "", "added"]))
        self.assertEqual((second.old, second.new), (["ninth"], ["9th"]))

    def test_a_sanitizer(self):
        self.assertEqual(mutants.parse("name", FILE.replace("Fails: one", "Under: ThreadSanitizer\nFails: one")).preset, "tsan")

    def test_what_is_wrong_is_named(self):
        for old, new, complaint in [
                ("Because: luck.\n", "", "no `Because:` for 'five'"),
                ("Fails: one", "Kills: one", "line 4 is not understood: Kills: one"),
                ("Fails: one", "one", "line 4 is no `Key: value`: one"),
                ("Fails: two", "Fails: one", "named twice"),
                ("b/chapters/02_tcp_proxy/pool.hpp", "b/chapters/03_round_robin/pool.hpp", "two chapters"),
                ("@@ -9 +9 @@", "some text", "not understood: some text"),
        ]:
            with self.subTest(complaint):
                with self.assertRaisesRegex(project.Stop, "name.patch: .*" + complaint.replace("`", ".")):
                    mutants.parse("name", FILE.replace(old, new, 1))

    def test_without_a_patch_or_a_test(self):
        with self.assertRaisesRegex(project.Stop, "no patch"):
            mutants.parse("name", "A mistake.\n\nFails: one\n")
        with self.assertRaisesRegex(project.Stop, "name a test"):
            mutants.parse("name", "A mistake.\n\nMay fail: one\nBecause: luck\n\n" + FILE[FILE.index("--- a"):])


class Applying(unittest.TestCase):
    HUNKS = [mutants.Hunk(["one", "two"], ["one", "2"]), mutants.Hunk(["four"], ["4"])]

    def test_at_the_one_place(self):
        self.assertEqual(mutants.apply("zero\none\ntwo\nthree\nfour\n", self.HUNKS, "x"), "zero\none\n2\nthree\n4\n")

    def test_markers_are_looked_through(self):
        text = "//! [ch02:a]\none\n    //! [ch02:b.c-d]\ntwo\nfour\n//! [ch02:a]\n"
        self.assertEqual(mutants.apply(text, self.HUNKS, "x"), "one\n2\n4\n")

    def test_not_there_or_twice(self):
        with self.assertRaisesRegex(project.Stop, "x: the lines that hunk 2 replaces are not there:\n    four"):
            mutants.apply("one\ntwo\n", self.HUNKS, "x")
        with self.assertRaisesRegex(project.Stop, "hunk 1 replaces are there 2 times"):
            mutants.apply("one\ntwo\none\ntwo\nfour\n", self.HUNKS, "x")

    def test_nothing_to_replace_is_no_place(self):
        with self.assertRaises(project.Stop):
            mutants.apply("one\n", [mutants.Hunk([], ["more"])], "x")


class Includes(unittest.TestCase):
    def test_a_header_reaches_those_that_include_it_indirectly(self):
        with tempfile.TemporaryDirectory() as folder:
            for name, text in {"a.hpp": "", "b.hpp": '#include "a.hpp"\n', "c.cpp": '#include "b.hpp"\n#include <a>\n',
                               "d.cpp": "// nothing\n", "notes.md": '#include "a.hpp"\n'}.items():
                (Path(folder) / name).write_text(text, encoding="utf-8")
            reached = mutants.includes(Path(folder))
        self.assertEqual(reached["c.cpp"], {"c.cpp", "b.hpp", "a.hpp"})
        self.assertEqual(reached["d.cpp"], {"d.cpp"})


class Judging(unittest.TestCase):
    MUTANT = mutants.parse("name", FILE)

    def judged(self, **how):
        cases = {"one": FAILED, "two": FAILED, "three": FAILED, "four": FAILED, "five": PASSED, "six": FAILED,
                 "seven": PASSED, **how}
        return list(mutants.judge(self.MUTANT, [Outcome("02", case, "name", how, "it said", 0.1) for case, how in cases.items()]))

    def test_as_it_should_be(self):
        self.assertEqual(self.judged(), [])
        self.assertEqual(self.judged(five=FAILED), [])

    def test_a_named_test_that_passes(self):
        self.assertEqual(self.judged(one=PASSED, four=PASSED, six=PASSED), ["'one' passes", "'four' passes", "'six' passes"])

    def test_a_test_that_fails_and_is_not_named(self):
        (text,) = self.judged(seven=FAILED)
        self.assertIn("'seven' fails and is not named", text)
        self.assertIn("it said", text)

    def test_what_is_looked_at_twice(self):
        def unexpected(case, how, program="name"):
            return mutants.unexpected(Outcome("02", case, program, how, "", 0.1), {"name": self.MUTANT})

        self.assertFalse(unexpected("one", FAILED))
        self.assertTrue(unexpected("one", PASSED))
        self.assertTrue(unexpected("six", PASSED))
        self.assertFalse(unexpected("five", PASSED) or unexpected("five", FAILED))
        self.assertFalse(unexpected("seven", PASSED))
        self.assertTrue(unexpected("seven", FAILED))
        self.assertTrue(unexpected("one", FAILED, program="(none)"))
        self.assertFalse(unexpected("one", PASSED, program="(none)"))


if __name__ == "__main__":
    unittest.main()
