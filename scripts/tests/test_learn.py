"""scripts/learn and what it is made of: starters, hints, what is kept, failures put into words, wrong arguments, watch.

Nothing here builds or runs a chapter: that starters do what they should is for `scripts/check exercises` to prove.
"""
import contextlib
import importlib.machinery
import importlib.util
import io
import json
import os
import pty
import select
import signal
import subprocess
import sys
import tempfile
import termios
import textwrap
import threading
import time
import unittest
from pathlib import Path
from unittest import mock

SCRIPTS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(SCRIPTS / "lib"))

import hints  # noqa: E402 (the path comes first)
import project  # noqa: E402
import starter  # noqa: E402


def load_learn():
    loader = importlib.machinery.SourceFileLoader("learn", str(SCRIPTS / "learn"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("learn", loader))
    loader.exec_module(module)
    return module


learn = load_learn()


def lines(text):
    return textwrap.dedent(text).strip("\n").splitlines()


class WithFolder(unittest.TestCase):
    """A learner's folder that nobody else uses."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="harbor-test-")
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        for name, value in (("WORK", self.folder), ("KEPT", self.folder / ".learn")):
            patch = mock.patch.object(learn, name, value)
            patch.start()
            self.addCleanup(patch.stop)

    def run_learn(self, *words, status=0):
        """What the script says in a process of its own."""
        environment = {**os.environ, "HARBOR_LEARN_FOLDER": str(self.folder), "COLUMNS": "100", "HARBOR_SKIP_BOOTSTRAP": "1"}
        result = subprocess.run([sys.executable, SCRIPTS / "learn", *map(str, words)], env=environment, cwd=self.folder,
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                check=False)
        self.assertEqual(result.returncode, status, result.stdout)
        return result.stdout

    def said(self, function, *arguments):
        with contextlib.redirect_stdout(io.StringIO()) as text:
            function(*arguments)
        return text.getvalue()


class Chapters(WithFolder):
    """Two chapters of three lines each, written for the test."""

    def chapters(self, old, new, exercise):
        folders = {}
        for number, files in (("01", old), ("02", new)):
            folders[number] = self.folder / f"{number}_chapter"
            folders[number].mkdir()
            for name, text in files.items():
                (folders[number] / name).write_text(textwrap.dedent(text).lstrip("\n"), encoding="utf-8")
        (folders["02"] / "exercise.md").write_text(textwrap.dedent(exercise).lstrip("\n"), encoding="utf-8")
        for name, value in (("chapters", lambda: folders), ("ROOT", self.folder)):
            patch = mock.patch.object(project, name, value)
            patch.start()
            self.addCleanup(patch.stop)

    EXERCISE = """
        # Chapter 02

        ## pick

        Whose turn it is.

        Asked for by:

        - two are taken in turn
        - three are taken in turn
        """
    PLACE = ["//? ----- pick -----", "//? Whose turn it is.", "//? Asked for by:", "//? - two are taken in turn",
             "//? - three are taken in turn"]


class Starters(Chapters):
    def starter(self, old, new, name="a.cpp"):
        self.chapters({"a.cpp": old}, {"a.cpp": new}, self.EXERCISE)
        return starter.starter_files("02")[name].splitlines()

    def test_a_new_function_between_two_others(self):
        old = """
            int first() {
                return 1;
            }

            int last() {
                return 9;
            }
            """
        new = """
            int first() {
                return 1;
            }

            //! [ch02:pick]
            int pick() {
                return 5;
            }
            //! [ch02:pick]

            int last() {
                return 9;
            }
            """
        self.assertEqual(self.starter(old, new), [*lines(old)[:4], *self.PLACE, "", *lines(old)[4:]])

    def test_a_function_that_is_changed_has_its_place_before_it(self):
        old = """
            int pick() {
                return one;
            }
            """
        new = """
            //! [ch02:pick]
            int pick(int turn) {
                return all[turn];
            }
            //! [ch02:pick]
            """
        self.assertEqual(self.starter(old, new), [*self.PLACE, *lines(old)])

    def test_a_function_that_makes_way_is_not_torn_apart(self):
        old = """
            int read_one() {
                check();
                return value;
            }
            """
        new = """
            int read_all() {
                return values;
            }

            //! [ch02:pick]
            int pick() {
                check();
                return value;
            }
            //! [ch02:pick]
            """
        self.assertEqual(self.starter(old, new), [*self.PLACE, *lines(old)])

    def test_a_piece_inside_a_function_is_indented_like_it(self):
        old = """
            int serve() {
                dial();
                relay();
            }
            """
        new = """
            int serve() {
                //! [ch02:pick]
                pick();
                //! [ch02:pick]
                dial();
                relay();
            }
            """
        place = ["    " + line for line in self.PLACE]
        self.assertEqual(self.starter(old, new), ["int serve() {", "", *place, "", *lines(old)[1:]])

    def test_a_new_file_holds_its_comment_and_the_places(self):
        new = """
            // Whose turn it is.
            #pragma once

            //! [ch02:pick]
            int pick();
            //! [ch02:pick]
            """
        self.chapters({"a.cpp": "int a;\n"}, {"a.cpp": "int a;\n", "pool.hpp": new}, self.EXERCISE)
        files = starter.starter_files("02")
        self.assertEqual(files["pool.hpp"].splitlines(), ["// Whose turn it is.", "#pragma once", "", *self.PLACE])
        self.assertEqual(files["a.cpp"], "int a;\n")

    def test_what_start_has_added_can_be_taken_away_again(self):
        old, new = "int a;\nint b;\n", "int a;\n//! [ch02:pick]\nint c;\n//! [ch02:pick]\nint b;\n"
        kept = [line for line in starter.without_places(self.starter(old, new)) if line]
        self.assertEqual(kept, ["int a;", "int b;"])

    def test_a_place_without_a_region_is_found(self):
        self.chapters({"a.cpp": "int a;\n"}, {"a.cpp": "int a;\n"}, self.EXERCISE)
        with self.assertRaisesRegex(project.Stop, "no region pick"):
            starter.starter_files("02")

    def test_a_place_that_no_test_asks_for_is_found(self):
        self.chapters({"a.cpp": "int a;\n"}, {"a.cpp": "int a;\n"}, "## pick\n\nWhose turn it is.\n")
        with self.assertRaisesRegex(project.Stop, "'pick' needs a text"):
            starter.read_places("02")

    def test_the_real_chapters_have_starters_without_markers(self):
        for number in project.chapters():
            for name, text in starter.starter_files(number).items():
                self.assertNotIn("//! [", text, f"{number} {name}")
            self.assertIn(starter.MARK, "".join(starter.starter_files(number).values()))

    def test_a_place_is_not_wider_than_the_code(self):
        for number in project.chapters():
            for place in starter.read_places(number).values():
                for line in starter.comment(place, "        "):
                    self.assertLessEqual(len(line), starter.WIDTH, line)


class Hints(Chapters):
    def read(self, text):
        self.chapters({"a.cpp": ""}, {"a.cpp": ""}, "")
        hints.path_of("02").write_text(textwrap.dedent(text).lstrip("\n"), encoding="utf-8")
        return hints.read_hints("02")

    def test_headings_in_a_row_share_what_follows(self):
        found = self.read("""
            # Hints

            An introduction.

            ## first
            ## second

            1. The idea,
               in two lines.
            2. The call.
            3. The shape:

               ```cpp
               ## no heading
               1. no hint
               ```

            ## third

            1. Another idea.
            2. Another call.
            3. Another shape.
            """)
        self.assertEqual(list(found), ["first", "second", "third"])
        self.assertEqual(found["first"], ["The idea,\nin two lines.", "The call.",
                                          "The shape:\n\n```cpp\n## no heading\n1. no hint\n```"])
        self.assertEqual(found["second"], found["first"])
        self.assertEqual(found["third"][2], "Another shape.")

    def test_mistakes_are_named_with_their_line(self):
        for text, words in (("## a\n\n1. x\n3. y\n", "hints.md:4: hint 3 is out of its place"),
                            ("## a\n\n1. x\n\n## a\n", "hints.md:5: 'a' is there twice"),
                            ("## a\n\nx\n", "hints.md:3: text before the first hint"),
                            ("## a\n\n1. x\ny\n", "hints.md:4: neither a heading nor a part of a hint")):
            with self.subTest(text), contextlib.ExitStack() as stack:
                folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
                (folder / "hints.md").write_text(text, encoding="utf-8")
                stack.enter_context(mock.patch.object(project, "chapters", lambda folder=folder: {"01": folder}))
                stack.enter_context(mock.patch.object(project, "ROOT", folder))
                with self.assertRaisesRegex(project.Stop, words):
                    hints.read_hints("01")


class Giving(WithFolder):
    """Hints are given one at a time, and it is remembered which."""

    def test_one_tier_more_each_time_and_then_all(self):
        texts = hints.read_hints("03")["a busy backend keeps its turns"]
        words = [text.split()[:3] for text in texts]
        for count in (1, 2, 3, 3):
            shown = self.said(learn.give_hint, "03", "busy backend")
            for index, few in enumerate(words):
                self.assertEqual(" ".join(few) in shown, index < count, f"hint {index + 1} at the {count}. time")
        self.assertEqual(learn.load_state()["hints"]["03"]["a busy backend keeps its turns"], 3)

    def test_again_gives_nothing_new(self):
        self.said(learn.give_hint, "03", "busy backend")
        self.assertEqual(self.said(learn.give_hint, "03", "busy backend", True).count("\n1. "), 1)
        self.assertEqual(learn.load_state()["hints"]["03"]["a busy backend keeps its turns"], 1)

    def test_without_a_name_it_is_the_first_that_fails(self):
        names = list(hints.read_hints("03"))
        with learn.changed_state() as state:
            state["chapters"]["03"] = {"folder": "x", "tests": {name: "passed" for name in names} | {names[4]: "failed",
                                                                                                  names[2]: "timed out"}}
        self.assertIn(names[2], self.said(learn.give_hint, "03"))
        with learn.changed_state() as state:
            state["chapters"]["03"]["tests"] = {name: "passed" for name in names}
        self.assertIn("no test of chapter 03 failed", self.said(learn.give_hint, "03"))

    def test_a_number_and_a_name_that_fits_several(self):
        self.assertIn("a busy backend", self.said(learn.give_hint, "03", "5"))
        with self.assertRaisesRegex(learn.Usage, "say more of the name:\n  two backends"):
            learn.give_hint("03", "taken in turn and share")
        with self.assertRaisesRegex(learn.Usage, "no test 'a buzy backend keeps its turns'; near to that are:\n  a busy"):
            learn.give_hint("03", "a buzy backend keeps its turns")

    def test_code_in_a_hint_is_not_filled(self):
        text = learn.markdown("Two words\nand two.\n\n```cpp\nint a;\n    int b;\n```\n\n- x\n- y")
        self.assertEqual(text.split("\n"), ["  Two words and two.", "", "      int a;", "          int b;", "", "  - x", "  - y"])


class State(WithFolder):
    def test_an_unreadable_state_is_put_aside(self):
        learn.KEPT.mkdir()
        (learn.KEPT / "state.json").write_text("{", encoding="utf-8")
        self.assertIn("cannot be read", self.said(learn.load_state))
        self.assertEqual((learn.KEPT / "state.json.unreadable").read_text(encoding="utf-8"), "{")

    def test_results_of_another_program_are_forgotten(self):
        first, second = (mock.Mock(number="03", folder=None, key=lambda path=path: path) for path in ("/a", "/b"))
        names = {"03": ["x", "y"]}
        learn.remember(first, names, [("03", "x", "passed"), ("03", "y", "failed"), ("02", "z", "failed")])
        self.assertEqual(learn.results_of("03"), {"x": "passed", "y": "failed"})
        self.assertEqual(learn.load_state()["last_failure"], {"chapter": "03", "test": "y"})
        learn.remember(first, names, [("03", "y", "passed")])
        self.assertTrue(learn.load_state()["chapters"]["03"]["complete"])
        learn.remember(second, names, [("03", "y", "passed")])
        self.assertEqual(learn.results_of("03"), {"y": "passed"})
        self.assertFalse(learn.load_state()["chapters"]["03"]["complete"])

    def test_where_you_are_says_what_is_next(self):
        self.assertIn("Next: ", self.run_learn())
        self.assertIn("learn start 01", self.run_learn())
        self.run_learn("start", "03")
        self.assertRegex(self.run_learn(), r"03  round robin .* 03_round_robin\n(.*\n)*Next: .*learn test 03")
        names = list(hints.read_hints("03"))
        state = json.loads((self.folder / ".learn/state.json").read_text(encoding="utf-8"))
        state["chapters"]["03"]["tests"] = {name: "passed" for name in names} | {names[7]: "failed"}
        (self.folder / ".learn/state.json").write_text(json.dumps(state), encoding="utf-8")
        shown = self.run_learn()
        self.assertIn(f"{len(names) - 1} of {len(names)}", shown)
        self.assertIn(f"Next: chapter 03, {names[7]}", shown)


class Jobs(WithFolder):
    def test_what_is_ended_can_end_what_it_has_started(self):
        ended = self.folder / "ended"
        job = learn.Job()
        with self.assertRaises(learn.Stopped):
            job.run(["sh", "-c", f"trap 'touch {ended}; exit' TERM; echo ready; while :; do sleep 0.05; done"],
                    on_line=lambda _: threading.Thread(target=job.stop).start())
        self.assertTrue(ended.exists())


class Arguments(WithFolder):
    def test_wrong_ones_are_named_and_end_with_2(self):
        text = self.folder / "program"
        text.write_text("print('hello')\n", encoding="utf-8")
        tests = len(hints.read_hints("03"))
        for words, said in ((("test", "07"), "there is no chapter '07'; there are 01, 02"),
                            (("hint", "three"), "there is no chapter 'three'"),
                            (("test", "03", "nowhere"), "there is no folder nowhere; '"),
                            (("test", "03"), "learn start 03' makes it"),
                            (("test", "03", "program"), "program is a file; a program that is already built goes with --impl"),
                            (("test", "03", "."), "has no CMakeLists.txt"),
                            (("test", "03", "--impl", "none"), "there is no none"),
                            (("test", "03", "--impl", "."), "is a folder; --impl takes a program"),
                            (("test", "03", "--impl", "program"), "is not executable; 'chmod +x program'"),
                            (("test", "03", ".", "--impl", "program"), "not both"),
                            (("test", "03", "-j", "0"), "'0' is not a number from 1 on"),
                            (("hint", "03", "no such test at all"), "has no test 'no such test at all'"),
                            (("hint", "03", "99"), f"its {tests} tests are numbered from 1 to {tests}"),
                            (("hint", "03", ""), "argument TEST: it is empty"),
                            (("start", "03", ""), "argument DIR: it is empty"),
                            (("start", "03", "program"), "program is a file"),
                            (("start", "03", "program/inside"), "program/inside cannot be written: Not a directory"),
                            (("diff", "03", "--file", "x.cpp"), "there is no folder"),
                            (("frobnicate",), "invalid choice: 'frobnicate'")):
            with self.subTest(words):
                self.assertIn(said, self.run_learn(*words, status=2))
        text.chmod(0o755)
        self.assertIn("a script without an interpreter", self.run_learn("test", "03", "--impl", "program", status=2))
        text.write_text("#!/usr/bin/pyhton3\n", encoding="utf-8")
        self.assertIn("names an interpreter in its first line that is not there: /usr/bin/pyhton3",
                      self.run_learn("test", "03", "--impl", "program", status=2))

    def test_only_some_of_several_chapters(self):
        names = {"01": ["one byte comes back"], "02": ["two bytes", "no byte"]}
        self.assertEqual(learn.chosen(names, "BYTE"), [("01", "one byte comes back"), ("02", "two bytes"), ("02", "no byte")])
        self.assertEqual(learn.chosen(names, "bytes"), [("02", "two bytes")])
        with self.assertRaisesRegex(learn.Usage, "has no test 'bits'"):
            learn.chosen(names, "bits")

    def test_every_way_to_write_a_chapter(self):
        for text in ("3", "03", "ch03", "03_round_robin", "03_round_robin/"):
            self.assertEqual(learn.chapter_number(text), "03")

    def test_help_needs_nothing(self):
        for words in ((), ("start",), ("test",), ("watch",), ("hint",), ("diff",), ("trace",), ("doctor",)):
            self.assertIn("usage: scripts/learn", self.run_learn(*words, "--help"))

    def test_start_overwrites_nothing(self):
        folder = self.folder / "mine"
        self.run_learn("start", "02", "mine")
        (folder / "main.cpp").write_text("// my work\n", encoding="utf-8")
        self.assertIn("mine is not empty; --force", self.run_learn("start", "02", "mine", status=2))
        self.assertEqual((folder / "main.cpp").read_text(encoding="utf-8"), "// my work\n")
        self.assertIn("mine.old1", self.run_learn("start", "02", "mine", "--force"))
        self.assertEqual((self.folder / "mine.old1/main.cpp").read_text(encoding="utf-8"), "// my work\n")
        self.assertIn("int main", (folder / "main.cpp").read_text(encoding="utf-8"))

    def test_start_moves_nothing_aside_when_there_is_no_starter(self):
        (self.folder / "mine").mkdir()
        (self.folder / "mine/main.cpp").write_text("// my work\n", encoding="utf-8")
        with mock.patch.object(starter, "read_places", side_effect=project.Stop("broken")), self.assertRaises(project.Stop):
            learn.start(mock.Mock(chapter="03", folder=str(self.folder / "mine"), force=True))
        self.assertEqual([path.name for path in self.folder.iterdir()], ["mine"])

    def test_diff_of_a_starter_leaves_its_places_out(self):
        self.run_learn("start", "03")
        shown = self.run_learn("diff", "03")
        self.assertNotIn("//?", shown)
        self.assertIn("-Address read_backend(", shown)
        self.assertIn("+std::vector<Address> read_backends(", shown)
        self.assertIn("the same: backend.cpp, backend.hpp, relay.cpp, relay.hpp", shown)
        code = self.run_learn("diff", "03", "--code", "--file", "session.cpp", "--side-by-side")
        self.assertRegex(code, r"const Backend& chosen\) \{ +│ Pool& pool\) \{\n")
        self.assertRegex(code, r"\n +│     const Backend\* chosen = pool.pick\(\);\n")

    def test_trace_without_a_failure(self):
        self.assertIn("no test has failed yet", self.run_learn("trace", status=1))
        self.assertIn("'a busy backend keeps its turns' has not been run yet", self.run_learn("trace", "03", "busy", status=1))

    def test_without_a_tool_or_a_place_to_write_it_says_so(self):
        with mock.patch.object(project, "bootstrap"), mock.patch.dict(os.environ, {"PATH": str(self.folder)}), \
                self.assertRaisesRegex(project.Stop, "there is no cmake; '.*learn doctor' says"):
            learn.prepare()
        (self.folder / ".learn").write_text("", encoding="utf-8")
        self.assertIn(".learn, where it is kept what you have reached, cannot be used: Not a directory",
                      self.run_learn("hint", "03", status=1))

    def test_watch_needs_a_terminal(self):
        self.run_learn("start", "03")
        self.assertIn("watch needs a terminal", self.run_learn("watch", "03", status=2))


REPORT = """<?xml version="1.0" encoding="UTF-8"?>
<Catch name="ch03_tests"><Group name="ch03_tests"><TestCase name="a" filename="../tests/black_box_turns.cpp" line="17">
  <Info>
    What the test did:  clients came
Likely cause:       the turn
Read:               chapter 03, Taking turns
  </Info>
  <Info>
    BACKENDS=x
  </Info>
  {}
  <OverallResult success="false"/>
</TestCase></Group></Catch>
"""

EXPRESSION = """<Expression success="false" type="REQUIRE" filename="../tests/black_box_turns.cpp" line="70">
    <Original>
      equal_shares(counted, 10, 2)
    </Original>
    <Expanded>
      shares are 20 x A; to be 10 each for 2 backends
    </Expanded>
    {}
  </Expression>"""


class Failures(WithFolder):
    def read(self, text, output=""):
        report = self.folder / "report.xml"
        report.write_text(text, encoding="utf-8")
        return learn.read_failure(report, output)

    def test_a_check_that_failed(self):
        failure = self.read(REPORT.format(EXPRESSION.format("")))
        self.assertEqual(failure.lesson, {"did": "clients came", "cause": "the turn", "read": "chapter 03, Taking turns"})
        self.assertEqual(failure.notes, ["BACKENDS=x"])
        self.assertEqual(failure.expected, "equal_shares(counted, 10, 2)")
        self.assertEqual(failure.came, "shares are 20 x A; to be 10 each for 2 backends")
        self.assertEqual((failure.where, failure.more), ("black_box_turns.cpp:70", 0))

    def test_the_report_of_version_3(self):
        text = REPORT.format(EXPRESSION.format("")).replace("<Catch name", "<Catch2TestRun name").replace("</Catch>",
                                                                                                         "</Catch2TestRun>")
        text = text.replace('<Group name="ch03_tests">', "").replace("</Group>", "")
        self.assertEqual(self.read(text).where, "black_box_turns.cpp:70")

    def test_an_exception_in_a_check_and_what_follows_it(self):
        thrown = EXPRESSION.format('<Exception filename="x" line="1">\n      client 1 was reset\n    </Exception>')
        failure = self.read(REPORT.format(thrown + EXPRESSION.format("")))
        self.assertEqual(failure.came, "client 1 was reset")
        self.assertEqual(failure.more, 1)

    def test_a_program_that_ended_by_itself(self):
        text = """<Exception filename="t.cpp" line="3">the program under test did not become ready. It ended.</Exception>
                  <Failure filename="../../harness/catch_listener.cpp" line="58">harbor ended by itself: exit status 7</Failure>"""
        failure = self.read(REPORT.format(text))
        self.assertEqual(failure.complaints, ["harbor ended by itself: exit status 7"])
        self.assertTrue(failure.never_ready())
        shown = self.said(learn.explain, "03", "a busy backend keeps its turns", failure, "")
        self.assertIn("exit status 7", shown)
        self.assertIn("it does not get as far as that", shown)
        self.assertNotIn("the turn", shown.replace("its turns", ""))

    def test_a_program_that_cannot_be_run(self):
        failure = self.read(REPORT.format(
            '<Exception filename="t.cpp" line="3">could not start /x: Exec format error</Exception>'))
        self.assertIn("no program for this system", failure.cause())

    def test_a_test_that_crashed_without_a_report(self):
        self.assertIn("terminate called", self.read("<Catch", "terminate called").came)

    def test_the_message_says_what_to_do_next(self):
        shown = self.said(learn.explain, "03", "a busy backend keeps its turns",
                          self.read(REPORT.format(EXPRESSION.format(""))),
                          "\n--- log of harbor:\none\ntwo\n--- what happened at the test's sockets:\n x\n")
        for words in ("What the test did", "clients came", "Expected", "equal_shares(", "Came", "20 x A", "Likely cause",
                      "chapter 03, Taking turns", "black_box_turns.cpp:70", "learn hint 03 'a busy backend keeps its turns'",
                      "Your program said   one\n                      two\n"):
            self.assertIn(words, shown)

    def test_the_caret_is_under_the_first_difference(self):
        shown = learn.with_caret('"10 x A" == "2 x A"').splitlines()
        self.assertEqual(shown, ["expected: 2 x A", "got:      10 x A", "          ^"])
        shown = learn.with_caret('"5 x A, 5 x B" == "5 x A, 5 x C"').splitlines()
        self.assertEqual(shown[2].index("^"), shown[0].index("C"))
        self.assertEqual(learn.with_caret("8 == 0"), "8 == 0")


# Runs `watch` on a program that never changes unless the test touches it, with a judge that only counts.
WATCHED = """
import sys
sys.argv[0] = "learn"
sys.path.insert(0, {tests!r})
from test_learn import learn
runs = 0
def judge(target, numbers, job, **_):
    global runs
    runs += 1
    print("RUN", runs, flush=True)
    if runs == 4:
        job.run(["sleep", "600"])
learn.judge = judge
learn.prepare = lambda: None
learn.project.build = lambda *_: 0
learn.project.run_main(learn.main)
"""


class Watch(WithFolder):
    def setUp(self):
        super().setUp()
        self.program = self.folder / "my_lb"
        self.program.write_text("#!/bin/sh\n", encoding="utf-8")
        self.program.chmod(0o755)
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            os.environ.update(HARBOR_LEARN_FOLDER=str(self.folder), TERM="xterm")
            code = WATCHED.format(tests=str(SCRIPTS / "tests"))
            os.execv(sys.executable, [sys.executable, "-B", "-c", code, "watch", "03", "--impl", str(self.program)])
        self.output, self.ended = "", False
        self.addCleanup(self.clean_up)
        self.modes = termios.tcgetattr(self.terminal)

    def clean_up(self):
        if not self.ended:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.terminal)

    def read(self, seconds):
        if select.select([self.terminal], [], [], seconds)[0]:
            with contextlib.suppress(OSError):
                self.output += os.read(self.terminal, 65536).decode(errors="replace")

    def wait_for(self, words):
        until = time.monotonic() + 60
        while words not in self.output:
            self.assertLess(time.monotonic(), until, f"no '{words}' in:\n{self.output}")
            self.read(0.1)
        self.output = self.output.split(words, 1)[1]

    def type(self, keys):
        os.write(self.terminal, keys.encode())

    def wait_for_end(self):
        until = time.monotonic() + 60
        while not self.ended:
            self.assertLess(time.monotonic(), until, f"it does not end:\n{self.output}")
            self.read(0.05)
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.ended = True
                return os.waitstatus_to_exitcode(status)
        return None

    def test_it_runs_at_every_save_and_at_enter_and_gives_hints(self):
        self.wait_for("RUN 1")
        self.wait_for("q: quit")
        self.assertFalse(termios.tcgetattr(self.terminal)[3] & termios.ICANON)
        self.program.write_text("#!/bin/sh\n:\n", encoding="utf-8")
        self.wait_for("RUN 2")
        self.wait_for("q: quit")
        self.type("\n")
        self.wait_for("RUN 3")
        self.wait_for("q: quit")
        self.type("h")
        self.wait_for("1. the idea")
        self.type("q")
        self.assertEqual(self.wait_for_end(), 0)
        self.assertEqual(termios.tcgetattr(self.terminal), self.modes)

    def test_a_run_that_is_under_way_makes_way_for_the_next(self):
        for count in (1, 2, 3):
            self.wait_for(f"RUN {count}")
            self.wait_for("q: quit")
            self.type("\n")
        self.wait_for("RUN 4")  # would take ten minutes
        self.program.write_text("#!/bin/sh\n# again\n", encoding="utf-8")
        self.wait_for("RUN 5")
        self.wait_for("q: quit")

    def test_the_terminal_is_restored_when_it_is_ended_from_outside(self):
        self.wait_for("q: quit")
        os.kill(self.pid, signal.SIGTERM)
        self.assertEqual(self.wait_for_end(), 128 + signal.SIGTERM)
        self.assertEqual(termios.tcgetattr(self.terminal), self.modes)


if __name__ == "__main__":
    unittest.main()
