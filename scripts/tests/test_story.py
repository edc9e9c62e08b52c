"""What is made of the lines of a trace: their order, the joining of pieces, the lanes and the rows."""
import json
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))

import story  # noqa: E402 (the path comes first)


class Record:
    """Writes a trace as the harness would: with a program `harbor` and backends, unless told otherwise."""

    def __init__(self, backends=("A",), program=True, **environment):
        self.t = 0.0
        self.events = [{"t": 0.0, "who": "the test", "what": "begins", "version": 1, "test": "a test", "pid": 7}]
        for name in backends:
            self.add(f"backend {name}", "listens", on=f"10.0.0.{ord(name)}:1")
        if program:
            self.start("harbor", 100, "127.0.0.1:9090", backends, **environment)

    def start(self, name, pid, address, backends, metrics="", **environment):
        addresses = ",".join(f"10.0.0.{ord(backend)}:1" for backend in backends)
        settings = " ".join(f"{key}={value}" for key, value in {"BACKENDS": addresses, **environment}.items())
        self.add(name, "started", pid=pid, environment=settings)
        return self.add(name, "listens", pid=pid, on=address, metrics=metrics)

    def add(self, who, what, after=0.001, **facts):
        self.t += after
        self.events.append({"t": round(self.t, 6), "who": who, "what": what, **facts})
        return self

    def connects(self, client="client 1", to="127.0.0.1:9090", port=5000, **more):
        return self.add(client, "connects", to=to, **{"from": port}, **more)

    def moves(self, who, what, text, size=None, **more):
        """Bytes in the form of a trace, where a newline is a backslash and an n."""
        return self.add(who, what, bytes=size or len(story.ESCAPE.sub("?", text)), first=text, **more)

    def ends(self, outcome="passed"):
        return self.add("the test", "ends", outcome=outcome)

    def told(self, **options):
        return story.tell(story.merge(self.events, **options))


def rows(told):
    """The rows as short texts: `client 1>harbor connects | harbor>backend A connects`."""
    result = []
    for step in told.steps:
        if step.kind == "arrows":
            result.append(" | ".join(f"{told.lanes[arrow.source].title}>{told.lanes[arrow.target].title} {arrow.captions[0]}"
                                     + (f" x{arrow.times}" if arrow.times > 1 else "") for arrow in step.arrows))
        else:
            where = told.lanes[step.lane].title + ": " if step.lane is not None else ""
            result.append(f"{step.kind} {where}{' / '.join(step.lines)}")
    return result


class Reading(unittest.TestCase):
    def read(self, text):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "trace.jsonl"
            path.write_text(text, encoding="utf-8")
            return story.read(path)

    BEGINS = '{"t":0,"who":"the test","what":"begins"}\n'

    def test_lines_are_put_into_the_order_of_time(self):
        events = self.read(self.BEGINS + '{"t":2,"who":"b","what":"x"}\n{"t":1,"who":"a","what":"x"}\n')
        self.assertEqual([event["who"] for event in events], ["the test", "a", "b"])

    def test_a_line_that_was_cut_off_at_the_end_is_left_out(self):
        self.assertEqual(len(self.read(self.BEGINS + '{"t":1,"who":"a","wh')), 1)

    def test_a_bad_line_in_the_middle_is_named(self):
        with self.assertRaisesRegex(story.BadTrace, r"trace\.jsonl:2: not a line of a trace: nonsense"):
            self.read(self.BEGINS + "nonsense\n" + '{"t":1,"who":"a","what":"x"}\n')
        with self.assertRaisesRegex(story.BadTrace, r":2: "):
            self.read(self.BEGINS + "[1]\n\n")

    def test_something_else_is_not_a_trace(self):
        for text in ("", '{"t":1,"who":"a","what":"x"}\n'):
            with self.assertRaisesRegex(story.BadTrace, "not a trace"):
                self.read(text)


class Bytes(unittest.TestCase):
    def test_an_excerpt_shows_text_and_not_noise(self):
        self.assertEqual(story.excerpt(r"hello\n", 6), "hello")
        self.assertEqual(story.excerpt(r"say \"hi\" \\ now", 14), r'say "hi" \ now')
        self.assertEqual(story.excerpt("the beginning of more", 1000), "the beginning of more…")
        self.assertIsNone(story.excerpt(r"\x8f\x00ab", 4))
        self.assertIsNone(story.excerpt(r"\n", 1))
        self.assertIsNone(story.excerpt("", 0))
        self.assertIsNone(story.excerpt(None, 0))

    def test_sizes(self):
        for size, text in ((1, "1 byte"), (9999, "9999 bytes"), (2048, "2 KiB"), (8 << 20, "8 MiB"), (100_000, "97.7 KiB"),
                           (3 << 30, "3 GiB")):
            self.assertEqual(story.size_text(size), text)

    def test_times(self):
        for seconds, text in ((0.0134, "13 ms"), (0.5, "500 ms"), (1, "1 s"), (1.25, "1.25 s"), (0.99999, "1 s"), (10, "10 s")):
            self.assertEqual(story.time_text(seconds), text)


class Merging(unittest.TestCase):
    def bytes_of(self, events):
        return [(event["who"], event["what"], event["bytes"]) for event in events if "bytes" in event]

    def test_a_transfer_in_many_pieces_is_one_event_on_either_side(self):
        record = Record()
        for _ in range(128):
            record.moves("client 1", "sent", r"\x00", 65536)
            record.moves("backend A #1", "received", r"\x00", 65536)
        self.assertEqual(self.bytes_of(story.merge(record.events)),
                         [("client 1", "sent", 8 << 20), ("backend A #1", "received", 8 << 20)])

    def test_the_beginning_of_the_bytes_is_put_together(self):
        record = Record()
        for letter in "hello":
            record.moves("client 1", "received", letter)
        self.assertEqual(story.merge(record.events)[-1]["first"], "hello")

    def test_a_piece_of_which_only_the_beginning_is_known_ends_the_excerpt(self):
        record = Record().moves("client 1", "sent", "abc", 100).moves("client 1", "sent", "xyz", 3)
        self.assertEqual(story.merge(record.events)[-1]["first"], "abc")

    def test_a_pause_parts_runs_unless_pauses_are_ignored(self):
        record = Record().moves("client 1", "sent", "a").moves("client 1", "sent", "b", after=0.5)
        self.assertEqual(len(self.bytes_of(story.merge(record.events))), 2)
        self.assertEqual(self.bytes_of(story.merge(record.events, pause=None)), [("client 1", "sent", 2)])

    def test_another_deed_and_a_remark_of_the_test_part_runs(self):
        record = Record().moves("client 1", "sent", "a").add("the test", "note", text="now").moves("client 1", "sent", "b")
        record.add("client 1", "FIN sent").moves("client 1", "sent", "c")
        self.assertEqual(len(self.bytes_of(story.merge(record.events))), 3)

    def test_a_short_dialogue_stays_apart_and_a_long_one_does_not(self):
        record = Record()
        for _ in range(2):
            record.moves("client 1", "sent", "ping").moves("client 1", "received", "pong")
        self.assertEqual(len(self.bytes_of(story.merge(record.events))), 4)
        for _ in range(200):
            record.moves("client 1", "sent", "ping").moves("client 1", "received", "pong")
        merged = self.bytes_of(story.merge(record.events))
        self.assertEqual(len(merged), story.TURNS)
        self.assertEqual(sum(size for _, _, size in merged), 404 * 4)

    def test_the_events_that_were_given_stay_as_they_were(self):
        record = Record().moves("client 1", "sent", "a").moves("client 1", "sent", "b")
        before = json.dumps(record.events)
        story.merge(record.events)
        self.assertEqual(json.dumps(record.events), before)


class Telling(unittest.TestCase):
    def test_what_goes_in_and_comes_out_stands_side_by_side(self):
        record = Record().connects().add("backend A #1", "accepted", **{"from": 6000})
        record.moves("client 1", "sent", r"hello\n").moves("backend A #1", "received", r"hello\n")
        record.moves("backend A #1", "sent", "ok").moves("client 1", "received", "ok")
        record.add("client 1", "FIN sent").add("backend A #1", "FIN received")
        record.add("backend A #1", "RST sent").add("client 1", "RST received").ends()
        told = record.told()
        self.assertEqual([lane.kind for lane in told.lanes], ["client", "program", "backend"])
        self.assertEqual(rows(told), [
            "client 1>harbor connects | harbor>backend A connects",
            "client 1>harbor 6 bytes “hello” | harbor>backend A 6 bytes “hello”",
            "backend A>harbor 2 bytes “ok” | harbor>client 1 2 bytes “ok”",
            "client 1>harbor FIN | harbor>backend A FIN",
            "backend A>harbor RST | harbor>client 1 RST",
        ])

    def test_what_does_not_come_out_leaves_its_place_empty(self):
        record = Record().connects().add("backend A #1", "accepted")
        record.moves("client 1", "sent", "hello").add("client 1", "FIN sent").moves("backend A #1", "received", "hell").ends()
        self.assertEqual(rows(record.told())[1:], [
            "client 1>harbor 5 bytes “hello”", "client 1>harbor FIN", "harbor>backend A 4 bytes “hell”"])

    def test_both_sides_broken_off_are_one_row(self):
        record = Record().connects().add("client 1", "RST received").add("backend A #1", "RST received").ends()
        self.assertEqual(rows(record.told())[1:], ["harbor>client 1 RST | harbor>backend A RST"])

    def test_a_backend_that_hears_nothing_has_a_lane_all_the_same(self):
        told = Record(("A", "B")).connects().ends().told()
        self.assertEqual([lane.title for lane in told.lanes], ["client 1", "harbor", "backend A", "backend B"])

    def test_without_a_program_between_each_arrow_is_drawn_once(self):
        record = Record(program=False).connects(to="10.0.0.65:1", port=5000).add("backend A #1", "accepted", **{"from": 5000})
        record.moves("client 1", "sent", "hi").moves("backend A #1", "received", "hi")
        record.moves("backend A #1", "sent", "ho").moves("client 1", "received", "ho").ends()
        self.assertEqual(rows(record.told()), [
            "client 1>backend A connects", "client 1>backend A 2 bytes “hi”", "backend A>client 1 2 bytes “ho”"])

    def test_an_end_is_told_once(self):
        record = Record().connects().add("client 1", "FIN sent").add("client 1", "FIN received").add("client 1", "closed")
        record.add("backend A #1", "accepted").add("backend A #1", "RST received").add("backend A #1", "closed").ends()
        self.assertEqual([row for row in rows(record.told()) if "FIN" in row], ["client 1>harbor FIN", "harbor>client 1 FIN"])

    def test_closing_without_a_word_is_an_end(self):
        record = Record().connects().add("client 1", "closed").ends()
        self.assertEqual(rows(record.told())[-1], "client 1>harbor FIN")

    def test_a_failure_that_unwinds_is_drawn_where_it_began_and_the_cleaning_up_is_not(self):
        record = Record().connects().add("client 1", "closed", unwinding=1).add("harbor", "stopped", pid=100, unwinding=1)
        record.add("backend A", "stops listening", unwinding=1)
        record.add("the test", "fails", expected="REQUIRE( client.ends_cleanly() )", because="after 0 bytes\nthere was silence")
        told = record.ends("failed").told()
        self.assertEqual(rows(told)[1:], ["wrong expected: client.ends_cleanly() / after 0 bytes / there was silence"])
        self.assertEqual(told.outcome, "failed")

    def test_the_two_sides_of_a_comparison_are_one_line(self):
        record = Record().add("the test", "fails", expected="REQUIRE( a == b )", because="1\n==\n2").ends("failed")
        self.assertEqual(rows(record.told()), ["wrong expected: a == b / 1 == 2"])

    def test_a_test_that_was_ended_says_so(self):
        told = Record().connects().told()
        self.assertEqual(told.outcome, "unfinished")
        self.assertIn("the test was ended here", rows(told)[-1])

    def test_many_clients_share_a_lane_and_keep_their_names(self):
        record = Record()
        for number in range(1, 5):
            record.connects(f"client {number}", port=5000 + number).moves(f"client {number}", "sent", "x")
        told = record.ends().told()
        self.assertEqual([lane.title for lane in told.lanes], ["clients", "harbor", "backend A"])
        arrows = [step.arrows[0] for step in told.steps]
        self.assertEqual(arrows[6].captions, ["client 4 connects", "4 connects"])
        self.assertEqual(arrows[7].captions, ["client 4: 1 byte “x”", "4: 1 byte “x”", "client 4: 1 byte", "4: 1 byte"])

    def test_many_backends_share_a_lane_too(self):
        record = Record("ABCDE").connects().add("backend C #1", "accepted").ends()
        told = record.told()
        self.assertEqual([lane.title for lane in told.lanes], ["client 1", "harbor", "backends"])
        self.assertEqual(told.steps[0].arrows[1].captions, ["backend C connects", "C connects"])

    def test_the_connections_of_one_backend_are_numbered(self):
        record = Record().add("backend A #1", "accepted").add("backend A #2", "accepted").ends()
        self.assertEqual(rows(record.told()), ["harbor>backend A connects (#1)", "harbor>backend A connects (#2)"])

    def test_two_programs_each_have_the_backends_that_they_were_told(self):
        record = Record(("A",), LB_IO_TIMEOUT_MS=0)
        record.add("backend B", "listens", on="10.0.0.66:1").start("harbor", 200, "127.0.0.1:9091", ("B",))
        record.connects(to="127.0.0.1:9091").add("backend B #1", "accepted").add("backend A #1", "accepted").ends()
        told = record.told()
        self.assertEqual(rows(told), ["client 1>harbor (2) connects | harbor (2)>backend B connects",
                                      "harbor (1)>backend A connects"])
        self.assertEqual(told.settings(), [("harbor (1)", "LB_IO_TIMEOUT_MS=0")])

    def test_settings_that_all_programs_share_are_told_once(self):
        record = Record(("A",), X=1).start("harbor", 200, "127.0.0.1:9091", ("A",), X=1)
        record.connects().connects("client 2", to="127.0.0.1:9091").ends()
        self.assertEqual(record.told().settings(), [("", "X=1")])
        self.assertEqual(Record(("A",), X=1).connects().ends().told().settings(), [])

    def test_a_scrape_is_one_arrow_and_the_same_again_only_counts(self):
        record = Record((), program=False).start("harbor", 100, "127.0.0.1:9090", (), metrics="127.0.0.1:9100")
        for number in (1, 2, 3):
            client = f"client {number}"
            record.connects(client, to="127.0.0.1:9100").add(client, "asks", request="GET /metrics HTTP/1.1")
            record.moves(client, "sent", "GET").moves(client, "received", "HTTP").add(client, "is answered", status=200)
            record.add(client, "closed")
        told = record.ends().told()
        self.assertEqual([lane.title for lane in told.lanes], ["scraper", "harbor"])
        self.assertEqual(rows(told), ["scraper>harbor GET /metrics → 200 x3"])

    def test_a_scrape_without_an_answer_says_so(self):
        record = Record((), program=False).start("harbor", 100, "127.0.0.1:9090", (), metrics="127.0.0.1:9100")
        record.connects(to="127.0.0.1:9100").add("client 1", "asks", request="GET /metrics HTTP/1.1").add("client 1", "closed")
        self.assertEqual(rows(record.ends().told()), ["scraper>harbor GET /metrics, no answer"])

    def test_refusals_are_counted_and_their_reasons_named(self):
        record = Record()
        for _ in range(3):
            record.add("a client", "refused", by="127.0.0.1:9090")
        record.add("client 1", "refused", by="127.0.0.1:9090", why="Connection timed out").ends()
        self.assertEqual(rows(record.told()), ["another client>harbor refused x3",
                                               "client 1>harbor no connection: Connection timed out"])

    def test_signals_lines_and_the_exit_are_marks_of_the_program(self):
        record = Record().connects().add("harbor", "prints", pid=100, text="listening on 127.0.0.1:9090")
        record.add("harbor", "signal", pid=100, signal="SIGTERM").add("harbor", "prints", pid=100, text="draining")
        record.add("harbor", "exited", pid=100, status=0).ends()
        self.assertEqual(rows(record.told())[1:], ["mark harbor: SIGTERM", "mark harbor: draining",
                                                   "mark harbor: exits with status 0"])

    def test_a_program_that_did_nothing_else_is_there_all_the_same(self):
        told = Record(()).add("the test", "fails", expected="", because="it started").ends("failed").told()
        self.assertEqual([lane.title for lane in told.lanes], ["harbor"])

    def test_a_backend_that_goes_and_comes_back(self):
        record = Record().connects().add("backend A", "stops listening").add("backend A", "dialled")
        record.add("backend A", "listens", on="10.0.0.65:1").add("backend A", "stops listening").ends()
        self.assertEqual(rows(record.told())[1:], ["mark backend A: stops listening", "harbor>backend A connects, no answer",
                                                   "mark backend A: listens again"])

    def test_of_two_states_in_a_row_the_second_counts(self):
        record = Record().add("backend B", "does not listen", on="10.0.0.66:1").add("backend B", "does not answer")
        self.assertEqual(rows(record.connects().ends().told())[0], "mark backend B: does not answer")

    def test_pauses_are_told_from_the_first_arrow_on(self):
        record = Record().add("backend A", "stops listening").connects(after=0.5).moves("client 1", "sent", "x", after=1.5).ends()
        self.assertEqual(rows(record.told())[1:], ["client 1>harbor connects", "pause 1.5 s", "client 1>harbor 1 byte “x”"])

    def test_a_story_without_times_has_no_pauses(self):
        record = Record().connects().moves("client 1", "sent", "x", after=5).ends()
        for event in record.events:
            del event["t"]
        self.assertEqual(rows(story.tell(story.merge(record.events, pause=None))),
                         ["client 1>harbor connects", "client 1>harbor 1 byte “x”"])


if __name__ == "__main__":
    unittest.main()
