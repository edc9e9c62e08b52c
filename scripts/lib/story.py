"""What a recorded test tells: reads the lines that the harness wrote with HARBOR_TRACE, and makes of them lanes and steps
that can be drawn (sequence.py).

The harness stands on both sides of the program under test and sees nothing of its inside. So every arrow has the program
at one of its ends and is drawn where the other end was seen: a client's send as an arrow to the program, a backend's
receive as an arrow from it. An arrow that goes in and has none coming out is how most mistakes look.

Three steps lead from lines to a story. `read` gives the lines in the order in which things happened. `merge` joins the
hundred pieces in which a transfer moved into one. `tell` finds out who talks to whom, drops what belongs to the harness
(starting, cleaning up), and puts what comes out at the other side beside what went in.
"""
import json
import re
from dataclasses import dataclass, field

# A pause that is worth a line of its own, in seconds.
PAUSE = 0.1
# After so many turns a dialogue is drawn as two arrows and no longer turn by turn.
TURNS = 6
# So many lanes of a kind stay apart; more of them share one.
MOST_CLIENTS, MOST_BACKENDS = 2, 4
# What counts as the size of bytes of which only words are known ("until nothing more fits").
A_LOT = 8 << 20
# What every program is given and nobody needs to be told.
USUAL_VARIABLES = ("BACKENDS", "LB_ADDR", "LB_METRICS_ADDR", "LB_THREADS")

# What parts one run of bytes from the next although the same actor goes on sending.
LANDMARKS = ("note", "fails", "signal", "stops listening", "listens", "exited", "dialled")


class BadTrace(Exception):
    """The file is not what the harness writes; the text names the file and the line."""


@dataclass
class Lane:
    """A lifeline: somebody who takes part."""
    title: str
    kind: str  # client, scraper, program or backend
    note: str = ""  # a second line under the title


@dataclass
class Arrow:
    source: int  # lanes, by number from the left
    target: int
    kind: str  # connect, bytes, fin, rst, refused or ask
    captions: list  # the same in other words, from the longest to the shortest
    size: int = 0  # bytes
    times: int = 1


@dataclass
class Step:
    """One row of the picture: arrows, or a mark on a lane, or a note, a pause or what went wrong across all lanes."""
    kind: str  # arrows, mark, note, pause or wrong
    time: float = None
    arrows: list = field(default_factory=list)
    lane: int = None
    style: str = ""  # of a mark: signal, print, end or state
    lines: list = field(default_factory=list)


@dataclass
class Story:
    test: str
    outcome: str  # passed, failed or unfinished
    lanes: list
    steps: list

    def settings(self):
        """What several programs were told, for a place above the picture, since under their titles it would not fit:
        pairs of a title and its settings, the title empty where all were told the same. Nothing for one program."""
        programs = [lane for lane in self.lanes if lane.kind == "program"]
        told = [(lane.title, lane.note) for lane in programs if lane.note]
        if len(programs) < 2 or not told:
            return []
        same = len(told) == len(programs) and len({note for _, note in told}) == 1
        return [("", told[0][1])] if same else told


# --- from lines to events ------------------------------------------------------------------------------------------


def read(path):
    """The events of a file in the order in which they happened. A last line that is cut off is left out: the test was
    killed while it was being written."""
    with open(path, encoding="utf-8") as file:
        lines = file.read().split("\n")
    events = []
    for number, line in enumerate(lines, 1):
        if not line:
            continue
        try:
            event = json.loads(line)
            event["who"], event["what"]  # pylint: disable=pointless-statement
        except (ValueError, KeyError, TypeError) as error:
            if number == len(lines):
                break
            raise BadTrace(f"{path}:{number}: not a line of a trace: {line[:80]}") from error
        events.append(event)
    if not events or events[0]["what"] != "begins":
        raise BadTrace(f"{path}: not a trace: its first line does not say which test begins")
    # Lines are in the order of writing; what two threads see at the same moment may be written the other way round.
    return sorted(events, key=lambda event: event.get("t", 0))


ESCAPE = re.compile(r"\\(?:x[0-9a-f]{2}|.)")


def excerpt(first, size):
    """What the bytes look like, if that tells anything: `question`, and None for random bytes."""
    if not first or "\\x" in first:
        return None
    complete = len(ESCAPE.sub("?", first)) >= size
    text = re.sub(r"(\\r|\\n)+$", "", first) if complete else first
    text = text.replace('\\"', '"').replace("\\\\", "\\")
    if not text:
        return None
    return text[:22] + "…" if len(text) > 24 or not complete else text


def joined(first, size, more):
    """The beginning of a run of bytes, so long as it is known without a hole."""
    if len(ESCAPE.sub("?", first)) < size or len(first) >= 40:
        return first
    return first + more


def merge(events, pause=PAUSE):
    """Joins what an actor sent (or received) in pieces. A run ends when the actor does something else, at a landmark, and
    after a pause (None: however long it was)."""
    merged = []
    runs = {}  # actor → what is open
    epoch = 0
    for event in events:
        event = dict(event)
        who, what = event["who"], event["what"]
        if what in LANDMARKS:
            epoch += 1
        if what not in ("sent", "received"):
            runs.pop(who, None)
            merged.append(event)
            continue
        run = runs.get(who)
        if run is None or run["epoch"] != epoch or pause is not None and event.get("t", 0) - run["until"] >= pause:
            run = runs[who] = {"epoch": epoch, "turns": 0, "last": None, "until": 0}
        if run["last"] != what:
            run["turns"] += 1
        earlier = run.get(what)
        may_join = run["last"] == what or run["turns"] > TURNS
        run["last"] = what
        run["until"] = event.get("t", 0)
        if earlier is not None and may_join:
            earlier["first"] = joined(earlier["first"], earlier["bytes"], event["first"])
            earlier["bytes"] += event["bytes"]
            earlier["parts"] = earlier.get("parts", 1) + event.get("parts", 1)
        else:
            run[what] = event
            merged.append(event)
    return merged


# --- from events to a story ----------------------------------------------------------------------------------------


def size_text(size):
    """`8 bytes`, `64 KiB`, `1.3 MiB`."""
    for unit, factor in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if size >= factor and (size % factor == 0 or size >= 10000):
            number = f"{size / factor:.1f}".removesuffix(".0")
            return f"{number} {unit}"
    return "1 byte" if size == 1 else f"{size} bytes"


def time_text(seconds):
    """`13 ms`, `1.25 s`, `2 s`."""
    return f"{seconds * 1000:.0f} ms" if seconds < 0.9995 else f"{seconds:.2f}".rstrip("0").rstrip(".") + " s"


# Keys tell the participants apart: ("client", NAME), ("backend", NAME) and, since two programs may have the same name,
# ("process", NAME, NUMBER).


class Cast:
    """Who takes part, whom they talk to, and in which lane they stand. Found out before anything is drawn."""

    def __init__(self, events):
        self.listener = {}  # address → the key of who listens there
        self.programs = {}  # process id → its key and its environment
        self.clients = []  # names, in the order of their appearance
        self.backends = []
        self.target = {}  # client → the key of whom it connects to
        self.source = {}  # connection of a backend → the client of the test that made it without a program between
        self.connections = {}  # backend → how many
        self.scrapers = {event["who"] for event in events if event["what"] == "asks"}
        metrics, ports, names = set(), {}, {}
        for event in events:
            who, what = event["who"], event["what"]
            if what == "started":
                names[who] = names.get(who, 0) + 1
                environment = dict(re.findall(r"(\w+)=(\S*)", event.get("environment", "")))
                self.programs[event.get("pid")] = ("process", who, names[who]), environment
            elif what in ("listens", "does not listen") and "on" in event:
                key = self.process(event) or ("backend", who)
                if key[0] == "backend" and who not in self.backends:
                    self.backends.append(who)
                self.listener[event.get("on")] = key
                if event.get("metrics"):
                    self.listener[event["metrics"]] = key
                    metrics.add(event["metrics"])
            elif what in ("connects", "refused", "accepted and gone"):
                if who not in self.clients:
                    self.clients.append(who)
                address = event.get("to") or event.get("by")
                self.target[who] = self.listener.get(address) or ("backend", address)
                if address in metrics and who != "a client":
                    self.scrapers.add(who)
                if "from" in event:
                    ports[event["from"]] = who
            elif what == "accepted":
                backend = who.rsplit(" #", 1)[0]
                self.connections[backend] = self.connections.get(backend, 0) + 1
                client = ports.get(event.get("from"))
                if client and self.target[client] == ("backend", backend):
                    self.source[who] = ("client", client)

    def process(self, event):
        """The key of the process that an event is about, None if it is about somebody else."""
        key, _ = self.programs.get(event.get("pid"), (None, None))
        return key if key and key[1] == event["who"] else None

    def dialler(self, key):
        """The key of the program that has this backend: the first whose BACKENDS names it."""
        addresses = {address for address, there in self.listener.items() if there == key}
        having = [program for program, environment in self.programs.values()
                  if addresses & set(environment.get("BACKENDS", "").split(","))]
        return (having or [program for program, _ in self.programs.values()] or [None])[0]

    def arrange(self, used):
        """The lanes, from left to right clients, scrapers, programs, backends; and for each key the number of its lane."""
        lanes, place = [], {}

        def add(title, kind, *keys, note=""):
            for key in keys:
                place[key] = len(lanes)
            lanes.append(Lane(title, kind, note))

        clients = [who for who in self.clients if ("client", who) in used and who not in self.scrapers]
        if len(clients) > MOST_CLIENTS:
            add("clients", "client", *(("client", who) for who in clients))
        else:
            for who in clients:
                add("another client" if who == "a client" and len(clients) > 1 else who, "client", ("client", who))
        scrapers = [("client", who) for who in self.clients if ("client", who) in used and who in self.scrapers]
        if scrapers:
            add("scraper", "scraper", *scrapers)

        programs = [(key, environment) for key, environment in self.programs.values() if key in used]
        # A process that another has as its backend (an echo server) stands on the right.
        behind = {self.listener.get(address) for _, environment in programs
                  for address in environment.get("BACKENDS", "").split(",")}
        twice = {name for _, name, number in (key for key, _ in programs) if number > 1}
        for right in (False, True):
            for key, environment in programs:
                if (key in behind) == right:
                    _, name, number = key
                    note = " ".join(f"{variable}={value}" for variable, value in environment.items()
                                    if variable not in USUAL_VARIABLES)
                    add(f"{name} ({number})" if name in twice else name, "backend" if right else "program", key, note=note)

        backends = [("backend", who) for who in self.backends]
        backends += sorted(key for key in used if key[0] == "backend" and key not in backends)
        if len(backends) > MOST_BACKENDS:
            add("backends", "backend", *backends)
        else:
            for key in backends:
                add(key[1], "backend", key)
        return lanes, place


@dataclass
class Row:
    """A step before it is known which lanes there are: keys instead of numbers."""
    kind: str
    lines: list
    source: tuple = None  # of an arrow
    target: tuple = None  # of an arrow; of a mark, whose it is
    style: str = ""
    size: int = 0
    connection: str = None  # `#2`, at a backend that has several


class Teller:
    """Turns events into rows, one after the other."""

    def __init__(self, cast):
        self.cast = cast
        self.over = set()  # who has said its last: what comes after that is no news
        self.listened = set()
        self.question = {}

    def rows(self, event):
        """What is to be drawn of an event: nothing, or one row."""
        who, what = event["who"], event["what"]
        if who == "the test":
            if what in ("note", "pause"):
                return [Row(what, [event["text"]])]
            return [Row("wrong", failure_lines(event))] if what == "fails" else []
        process = self.cast.process(event)
        if process:
            return self.of_process(event, process)
        if what in ("listens", "does not listen", "does not answer", "stops listening", "dialled"):
            return self.of_listener(what, ("backend", who))
        if who in self.cast.scrapers:
            return self.of_scraper(event)
        return self.of_connection(event)

    @staticmethod
    def of_process(event, key):
        what = event["what"]
        if what == "signal":
            return [Row("mark", [event["signal"]], target=key, style="signal")]
        if what == "exited":
            how = f"exits with status {event['status']}" if "status" in event else f"killed by {event['signal']}"
            return [Row("mark", [how], target=key, style="end")]
        # The ready lines have served their purpose by the time anything happens.
        if what == "prints" and not re.match(r"(listening|metrics) on ", event["text"]):
            return [Row("mark", [event["text"]], target=key, style="print")]
        return []

    def of_listener(self, what, key):
        if what == "dialled":
            dialler = self.cast.dialler(key)
            return [Row("arrow", ["connects, no answer", "no answer"], dialler, key, "refused")] if dialler else []
        first = key not in self.listened
        self.listened.add(key)
        if what == "listens":
            return [] if first else [Row("mark", ["listens again"], target=key, style="state")]
        return [Row("mark", [what], target=key, style="state")]

    def of_scraper(self, event):
        """A question and its answer are one arrow; the bytes they are made of are left out."""
        who, what = event["who"], event["what"]
        if what == "asks":
            self.question[who] = event["request"].removesuffix(" HTTP/1.1")
            return []
        if what == "is answered":
            text = f"{self.question.pop(who, '')} → {event['status']}"
        elif what == "refused":
            text = "refused"
        elif what in ("closed", "interrupted") and who in self.question:
            text = f"{self.question.pop(who)}, no answer"
        else:
            return []
        return [Row("arrow", [text], ("client", who), self.cast.target[who], "ask")]

    def of_connection(self, event):
        who, what = event["who"], event["what"]
        arrives = what in ("accepted", "received", "FIN received", "RST received")
        connection = None
        if who in self.cast.target:
            me, other = ("client", who), self.cast.target[who]
            direct = other[0] == "backend"
        else:
            backend, _, number = who.rpartition(" #")
            me, other = ("backend", backend), self.cast.source.get(who) or self.cast.dialler(("backend", backend))
            direct = who in self.cast.source
            if self.cast.connections.get(backend, 0) > 1:
                connection = f"#{number}"
        # Without a program between, each arrow is seen at both of its ends.
        if other is None or direct and arrives:
            return []

        def arrow(style, *captions, size=0):
            source, target = (other, me) if arrives else (me, other)
            return [Row("arrow", list(captions), source, target, style, size, connection)]

        if what in ("connects", "accepted"):
            return arrow("connect", "connects")
        if what == "accepted and gone":
            return arrow("connect", "connects, and leaves", "connects")
        if what == "refused":
            usual = event.get("why") in (None, "", "Connection refused")
            return arrow("refused", "refused" if usual else f"no connection: {event['why']}", "refused")
        if what in ("sent", "received"):
            size = event.get("size") or size_text(event["bytes"])
            text = excerpt(event.get("first"), event.get("bytes", 0))
            return arrow("bytes", *([f"{size} “{text}”"] if text else []), size, size=event.get("bytes", A_LOT))
        if what == "FIN received":
            return arrow("fin", "FIN")
        if what in ("RST received", "RST sent"):
            self.over.add(who)
            return arrow("rst", "RST")
        if what in ("FIN sent", "interrupted", "closed") and who not in self.over:
            self.over.add(who)
            return arrow("fin", "FIN")
        return []


def failure_lines(event):
    """What was expected, and why it is not so. The expression in the words of the test, without its macro."""
    expected = re.sub(r"^[A-Z_]+\(\s*(.*?)\s*\)$", r"\1", event.get("expected") or "", flags=re.DOTALL)
    because = (event.get("because") or "").rstrip().split("\n")
    if len(because) == 3 and re.fullmatch(r"[=!<>]{1,2}", because[1]):
        because = [" ".join(because)]  # the two sides of a comparison
    return ([f"expected: {expected}"] if expected and expected != because[0] else []) + because


def cut(events):
    """Leaves out the end of the test: what happens once a failure is on its way up is only objects being destroyed. The
    failure that the test framework reports after that belongs to the moment when it began."""
    for index, event in enumerate(events):
        if event.get("unwinding"):
            return events[:index] + [late for late in events[index:] if late["what"] in ("fails", "ends")]
    return events


def tell(events):
    """The story of merged events."""
    begins = events[0]
    ends = next((event for event in events if event["what"] == "ends"), None)
    outcome = ends["outcome"] if ends else "unfinished"
    events = cut(events)
    cast = Cast(events)
    teller = Teller(cast)
    rows = [(event.get("t"), row) for event in events for row in teller.rows(event)]
    while rows and rows[-1][1].lines == ["stops listening"] and outcome == "passed":
        rows.pop()  # the backends of a test that is over
    if outcome == "unfinished":
        rows.append((events[-1].get("t"), Row("wrong", ["the test was ended here, before it had come to its end"])))

    used = {key for _, row in rows for key in (row.source, row.target) if key}
    lanes, place = cast.arrange(used or {key for key, _ in cast.programs.values()})
    crowd = {lane for lane in place.values() if list(place.values()).count(lane) > 1 and lanes[lane].kind != "scraper"}
    steps = []
    before = None  # what comes before the first arrow is only preparation
    for time, row in rows:
        if before is not None and time is not None and time - before >= PAUSE:
            steps.append(Step("pause", before, lines=[time_text(time - before)]))
        before = time if before is not None or row.kind == "arrow" else None
        if row.kind == "arrow":
            add_arrow(steps, time, arrow_of(row, place, crowd), lanes)
        elif row.kind == "mark":
            named = f"{row.target[1]} {row.lines[0]}" if place[row.target] in crowd else row.lines[0]
            step = Step("mark", time, lane=place[row.target], style=row.style, lines=[named])
            if steps and row.style == "state" and (steps[-1].style, steps[-1].lane) == ("state", step.lane):
                steps.pop()  # nothing came of it
            steps.append(step)
        else:
            steps.append(Step(row.kind, time, lines=row.lines))
    return Story(begins.get("test", ""), outcome, lanes, steps)


def arrow_of(row, place, crowd):
    """The row as an arrow between lanes. Its captions name who shares a lane with others: `client 7: FIN`, or `7: FIN`
    where there is no room for that."""
    captions = row.lines
    if row.connection:
        captions = [f"{caption} ({row.connection})" for caption in captions]
    for key in (row.source, row.target):
        if place[key] in crowd:
            name = key[1]
            short = name.removeprefix("client ").removeprefix("backend ")
            link = " " if captions[0].startswith(("connects", "refused", "dials")) else ": "
            captions = [f"{prefix}{link}{caption}" for caption in captions for prefix in (name, short)]
    return Arrow(place[row.source], place[row.target], row.style, list(dict.fromkeys(captions)), row.size)


def add_arrow(steps, time, arrow, lanes):
    """Adds a row; or counts the one before once more; or, if what went into the program comes out on its other side, or
    the program breaks off both sides, puts that beside it."""
    last = steps[-1] if steps and steps[-1].kind == "arrows" else None
    if last and arrow.kind in ("refused", "ask"):
        one = last.arrows[-1]
        if (one.source, one.target, one.kind, one.captions) == (arrow.source, arrow.target, arrow.kind, arrow.captions):
            one.times += 1
            return
    if last and len(last.arrows) == 1 and lanes[arrow.source].kind == "program":
        other = last.arrows[0]
        to_the_right = arrow.target > arrow.source
        through = other.target == arrow.source and (other.target > other.source) == to_the_right
        both_sides = arrow.kind == "rst" and other.source == arrow.source and (other.target > other.source) != to_the_right
        if (through or both_sides) and (other.kind, other.size) == (arrow.kind, arrow.size):
            last.arrows.append(arrow)
            return
    steps.append(Step("arrows", time, arrows=[arrow]))
