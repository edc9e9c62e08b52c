"""The pictures of the book: what is taken out of a recording, and that the files belong together."""
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))
sys.path.insert(0, str(Path(__file__).resolve().parent))

import pictures  # noqa: E402 (the path comes first)
import project  # noqa: E402
from test_story import Record  # noqa: E402


def recorded(address="127.0.0.1:9090", pid=100, first="client 1", second="backend A #1"):
    record = Record((), program=False)
    record.add("backend A", "listens", on="127.0.0.1:4000")
    record.add("harbor", "started", pid=pid, command="/somewhere/harbor", environment="BACKENDS=127.0.0.1:4000 LB_THREADS=2 LB_X=5")
    record.add("harbor", "listens", pid=pid, on=address, metrics="").connects(to=address)
    record.add("backend A #1", "accepted", **{"from": 6000}).moves("client 1", "sent", r"\x00\x01", 5000)
    record.add("harbor", "prints", pid=pid, text=f"listens at {address} and 1{address}1")
    record.add(first, "RST received", after=2.0).add(second, "RST received").add("client 1", "closed")
    return record.add("the test", "note", text="the end").add("client 1", "FIN sent").ends().events


PICTURE = pictures.Picture("name", "02", "The title")


class Normalising(unittest.TestCase):
    def lines(self, events, picture=PICTURE):
        return pictures.normalised(events, picture)

    def test_what_is_different_in_every_run_is_taken_out(self):
        others = recorded("127.0.0.1:1234", 4711)
        kept = [[event for event in self.lines(events) if event["what"] != "prints"] for events in (recorded(), others)]
        self.assertEqual(*kept)
        by_what = {event["what"]: event for event in self.lines(recorded())}
        self.assertEqual(by_what["begins"], {"who": "the test", "what": "begins", "test": "The title", "chapter": "02"})
        self.assertEqual(by_what["started"], {"who": "harbor", "what": "started", "pid": 1,
                                              "environment": "BACKENDS=backend-A LB_X=5"})
        self.assertEqual(by_what["connects"], {"who": "client 1", "what": "connects", "to": "harbor"})
        self.assertEqual(by_what["sent"], {"who": "client 1", "what": "sent", "bytes": 5000})

    def test_an_address_is_replaced_only_where_it_is_whole(self):
        by_what = {event["what"]: event for event in self.lines(recorded())}
        self.assertEqual(by_what["prints"]["text"], "listens at harbor and 1127.0.0.1:90901")

    def test_of_two_things_at_the_same_moment_the_one_on_the_left_comes_first(self):
        self.assertEqual(self.lines(recorded()), self.lines(recorded(first="backend A #1", second="client 1")))

    def test_what_comes_after_the_end_is_left_out(self):
        self.assertNotIn("FIN sent", [event["what"] for event in self.lines(recorded())])
        with self.assertRaisesRegex(project.Stop, "does not say where the picture ends"):
            self.lines([event for event in recorded() if event.get("text") != "the end"])

    def test_a_pause_is_shown_if_it_was_one(self):
        def lines(what, number, seconds):
            return self.lines(recorded(), pictures.Picture("n", "02", "t", pauses=(("client 1", what, number, seconds),)))
        shown = lines("RST received", 1, 2.0)
        pause = next(number for number, event in enumerate(shown) if event["what"] == "pause")
        self.assertEqual(shown[pause], {"who": "the test", "what": "pause", "text": "2 s"})
        self.assertEqual(shown[pause + 1]["what"], "RST received")
        with self.assertRaisesRegex(project.Stop, r"before 'client 1 RST received' 2\.\d+ s passed, to be 3\.0 s"):
            lines("RST received", 1, 3.0)
        with self.assertRaisesRegex(project.Stop, "the record has no .*FIN received"):
            lines("FIN received", 1, 1.0)

    def test_a_number_of_bytes_that_no_two_runs_share_is_told_in_words(self):
        picture = pictures.Picture("n", "02", "t", sizes={("client 1", "sent"): "a lot"})
        self.assertIn({"who": "client 1", "what": "sent", "size": "a lot"}, self.lines(recorded(), picture))


class Files(unittest.TestCase):
    def test_every_picture_is_drawn_from_its_trace(self):
        for picture in pictures.PICTURES:
            with self.subTest(picture.name):
                lines = (pictures.FOLDER / f"{picture.name}.jsonl").read_text(encoding="utf-8")
                svg = (pictures.FOLDER / f"{picture.name}.svg").read_text(encoding="utf-8")
                self.assertEqual(pictures.draw(lines, picture.name), svg)
                self.assertIn(picture.title, svg)


if __name__ == "__main__":
    unittest.main()
