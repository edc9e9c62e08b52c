"""`scripts/learn trace`: which trace is shown, and how."""
import io
import json
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))
sys.path.insert(0, str(Path(__file__).resolve().parent))

import learn_trace  # noqa: E402 (the path comes first)
import project  # noqa: E402
from test_story import Record  # noqa: E402


class WithFolder(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def write(self, name, outcome, age, pid=None):
        """A trace that was written so many seconds ago; with no outcome if the test has not ended."""
        record = Record().connects()
        record.events[0]["pid"] = pid or os.getpid()
        if outcome:
            record.ends(outcome)
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("".join(json.dumps(event) + "\n" for event in record.events), encoding="utf-8")
        os.utime(path, (1_000_000_000 - age, 1_000_000_000 - age))
        return path


class LatestFailed(WithFolder):
    def test_it_is_the_newest_that_failed(self):
        self.write("old.jsonl", "failed", 30)
        newest = self.write("deeper/newest.jsonl", "failed", 20)
        self.write("passed.jsonl", "passed", 10)
        (self.folder / "rubbish.jsonl").write_text("{}\n")
        self.assertEqual(learn_trace.latest_failed(self.folder), newest)

    def test_a_test_that_was_killed_has_failed_and_one_that_runs_has_not(self):
        with subprocess.Popen(["true"]) as gone:
            gone.wait()
        killed = self.write("killed.jsonl", None, 20, gone.pid)
        self.write("running.jsonl", None, 10)
        self.assertEqual(learn_trace.latest_failed(self.folder), killed)

    def test_there_may_be_none(self):
        self.write("passed.jsonl", "passed", 10)
        self.assertIsNone(learn_trace.latest_failed(self.folder))
        self.assertIsNone(learn_trace.latest_failed(self.folder / "nowhere"))


class Show(WithFolder):
    def test_it_is_printed_and_drawn_beside_the_trace(self):
        out = io.StringIO()
        picture = learn_trace.show(self.write("a.jsonl", "failed", 0), 80, out)
        self.assertEqual(picture, self.folder / "a.svg")
        self.assertTrue(picture.read_text(encoding="utf-8").startswith("<svg "))
        self.assertIn("client 1", out.getvalue())
        self.assertIn("as a picture: ", out.getvalue())
        self.assertNotIn("\x1b", out.getvalue())

    def test_of_several_the_first_is_shown_and_the_others_are_named(self):
        later = self.write("a.jsonl", "failed", 5)
        first = self.write("b.jsonl", "failed", 10)
        out = io.StringIO()
        self.assertEqual(learn_trace.show([later, first], 80, out), first.with_suffix(".svg"))
        self.assertIn("1 more way through this test went wrong", out.getvalue())
        self.assertIn("a.jsonl", out.getvalue())

    def test_a_stream_that_cannot_show_boxes_gets_ascii(self):
        raw = io.BytesIO()
        out = io.TextIOWrapper(raw, encoding="ascii")
        learn_trace.show(self.write("a.jsonl", "failed", 0), 80, out)
        out.flush()
        self.assertIn(b"client 1", raw.getvalue())

    def test_what_is_no_trace_is_named(self):
        path = self.folder / "rubbish.jsonl"
        path.write_text("rubbish\n\n")
        with self.assertRaisesRegex(project.Stop, r"rubbish\.jsonl"):
            learn_trace.show(path)
        with self.assertRaisesRegex(project.Stop, r"missing\.jsonl"):
            learn_trace.show(self.folder / "missing.jsonl")
        with self.assertRaisesRegex(project.Stop, "no trace"):
            learn_trace.show([])


if __name__ == "__main__":
    unittest.main()
