"""The conformance table: scenarios down, Harbor, HAProxy and nginx across, every cell measured.

A row is a scenario, and the test cases that ask for it: those of the conformance suite (harbor/tests/conformance_*.cpp), and
black-box tests of the chapters, which judge the same executables. HAProxy and nginx are judged through the adapters of
harness/adapters, which start the real programs, set up as well as their documentation allows. A cell holds what came: `yes`
when all cases of the row pass; else what the first case that fails has seen; `n/a` with the reason where the scenario asks
for something that a peer does not have and does not claim.
"""
import collections
import os
import re
import time

import bench_machine
import bench_proxies
import black_box
import project

PAGE = project.ROOT / "docs" / "generated" / "conformance.md"
HARBOR = "Harbor"
PEERS = {"HAProxy": ("haproxy", "10"), "nginx": ("nginx", "3")}  # the adapter, and the signal for a drain: USR1, QUIT

Row = collections.namedtuple("Row", "scenario cases")

# Cases are named by where they are, a chapter's number or `harbor` for the conformance suite, and their name.
TABLE = {
    "Streams": [
        Row("The client half-closes; the answer comes later", ["02: the late answer of a backend reaches a client that has half-closed"]),
        Row("The backend half-closes; the client goes on", ["02: a client goes on uploading to a backend that has half-closed"]),
        Row("Both half-close at once", ["harbor: both sides end their streams at the same moment and nothing is lost"]),
        Row("The backend resets before it has answered", ["02: a reset of the backend resets the client"]),
        Row("The backend resets during its answer", ["02: an answer cut off by a reset does not pass for a whole one"]),
        Row("… and what it had sent arrives before the reset", ["harbor: an answer that came before a reset is delivered before it"]),
        Row("… also when the client reads late", ["harbor: an answer and a reset wait for a client that reads late"]),
        Row("The backend resets after its clean end", ["harbor: a reset after a clean end does not take the end back"]),
        Row("… and the client stays: the connection is closed", ["harbor: a reset after a clean end is noticed although nobody sends any more"]),
        Row("The backend closes with bytes unread", ["harbor: a backend that closes with unread bytes is taken for what it is"]),
        Row("The client resets before its backend has spoken", ["02: a reset of the client resets the backend"]),
        Row("The client resets during its upload", ["02: an upload cut off by a reset does not pass for a whole one"]),
        Row("… and what it had sent arrives before the reset", ["harbor: an upload that came before a reset is delivered before it"]),
        Row("… also when the backend reads late", ["harbor: an upload and a reset wait for a backend that reads late"]),
        Row("The client resets during a download", ["02: a client that resets in the middle of a download stops the backend"]),
        Row("A reset reaches a side that has half-closed", ["02: a reset reaches a client that has half-closed", "02: a reset reaches a backend whose client had half-closed before"]),
        Row("8 MiB and close, the client reads late", ["02: a slow reader gets all of an answer whose backend has closed long ago"]),
        Row("8 MiB and close, the backend reads late", ["harbor: 8 MiB arrive from a client that has closed long ago"]),
        Row("The client pauses: 64 MiB, memory bounded", ["02: a client that pauses while 64 MiB are sent to it does not fill the memory of the proxy"]),
        Row("The backend pauses: 64 MiB, memory bounded", ["02: a backend that pauses while 64 MiB are sent to it does not fill the memory of the proxy"]),
        Row("Both send and nobody reads", ["02: two sides that send and do not read fill no memory and lose nothing"]),
        Row("One byte a write", ["02: bytes that trickle in one at a time arrive in order"]),
        Row("The backend speaks first", ["02: a server that speaks first is heard by a client that says nothing"]),
        Row("The client has said all before the dial is over", ["02: a client that has said everything before it is accepted gets its answer"]),
        Row("The client resets during the dial: it is cancelled", ["harbor: a client that leaves during the dial ends the dial"]),
        Row("The backend accepts and closes: nothing is replayed", ["harbor: what was sent to a backend that closes at once goes to no other"]),
        Row("64 MiB through and back; 32 MiB each way at once", ["02: 64 MiB pass through and back unchanged", "02: 32 MiB in each direction at the same time arrive unchanged"]),
        Row("A network that delays, loses and reorders", ["harbor: on a rough network every byte arrives and every end is clean"]),
        Row("… and the backend resets during its answer", ["harbor: an answer cut off by a reset does not pass for a whole one on a rough network"]),
        Row("A stuck upload does not hold up the download", ["02: an upload that is stuck does not hold up the download"]),
    ],
    "Balancing": [
        Row("Exact shares: 2, 3 and 5 backends", ["03: two backends are taken in turn and share exactly", "03: three backends are taken in turn and share exactly", "03: five backends are taken in turn and share exactly"]),
        Row("… with four threads, and eight clients at once", ["03: shares stay exact with four worker threads", "03: shares stay exact with eight clients at once"]),
        Row("200 backends", ["harbor: two hundred backends get the same share to the client"]),
        Row("1 backend, back from a failure", ["02: a backend that goes away and comes back is used again"]),
        Row("Least connections leaves the busy one alone", ["04: least-connections leaves the busy backend alone"]),
        Row("Least connections shares ties", ["04: least-connections shares ties"]),
        Row("Two choices: never the busier of two", ["04: power-of-two never picks the busier of two"]),
        Row("One of N refuses", ["05: thirty of thirty clients are served while one of two backends refuses"]),
        Row("One of N does not answer", ["05: a backend that does not answer fails over within the dial timeout and cools down"]),
        Row("One of N is slow", ["harbor: one backend of three is slow and only its own clients wait"]),
        Row("One of N comes and goes", ["harbor: a backend that comes and goes costs no client"]),
        Row("Recovery: its turns again after the cooldown", ["harbor: a backend that has come back gets its turns again"]),
        Row("… one client tries, and one success is enough", ["05: a backend that failed is dialled again after its cooldown and one success brings it back", "05: when a backend that is still down is due only one client tries it"]),
        Row("All down: the client is closed at once", ["02: a client of a backend that refuses is closed at once", "05: a client tries no more backends than the retries allow and is then closed at once"]),
        Row("All cooling down: tried all the same", ["05: with every backend cooling down a client is tried on all the same"]),
    ],
    "Time": [
        Row("Idle: both sides are closed", ["05: a connection on which nothing moves is closed on both sides"]),
        Row("One-way: a byte now and then keeps it open", ["05: a byte now and then in either direction keeps a connection open"]),
        Row("Half-closed and silent", ["05: a connection that is half closed and silent is closed as well"]),
        Row("Full buffers that nobody empties", ["05: a download that the client has stopped reading is cut", "05: an upload that the backend has stopped reading is cut"]),
        Row("A slow reader is not idle", ["05: a slow reader is not cut until it stops"]),
        Row("Keep-alive timers on both sides of an idle pair", ["05: both connections of an idle pair have a keep-alive timer unless it is switched off"]),
    ],
    "Limits": [
        Row("Cap: one client too many is closed at once", ["05: a client over the cap is closed at once and the others do not notice"]),
        Row("… and places come back, once each", ["05: the place of a connection that was reset is given back once", "05: the place of a client that could not be served is given back once"]),
        Row("Descriptors run out: idle CPU, others go on", ["05: without descriptors the processor stays idle and open connections go on"]),
        Row("… it passes, and puts no backend aside", ["05: a shortage of descriptors passes and puts no backend aside"]),
        Row("The queue of the listener overflows", ["harbor: clients that find the queue full are served when there is room"]),
        Row("No port is left towards one backend", ["harbor: no port is left towards a backend and its clients go to another"]),
        Row("500 connections leave nothing behind", ["02: two clean ends leave nothing of a connection"]),
    ],
    "Lifecycle": [
        Row("Drain: accepted, still in the queue", ["harbor: a client that is in the queue when the signal comes is served"]),
        Row("Drain: dialling", ["06: a connection that is dialling when the signal comes is served"]),
        Row("Drain: relaying, 64 MiB on their way (spliced)", ["06: a running transfer completes after SIGTERM"]),
        Row("Drain: half-closed by the client, by the backend", ["06: a client that has half-closed gets its answer during the drain", "06: an upload goes on during the drain although the backend has half-closed"]),
        Row("Drain: it ends with the last connection, status 0", ["06: the program ends with the last of a hundred connections", "06: a program without clients ends at once"]),
        Row("Drain: a successor takes over the port", ["06: a successor takes the port over while the old program drains"]),
        Row("End of the grace period: reset, not a clean end", ["06: an answer that is cut off does not end like a whole one", "06: what is left at the end of the grace period is reset and counted"]),
        Row("… half-closed as well", ["harbor: a half-closed transfer that is cut does not end like a whole one"]),
        Row("… full buffers as well", ["06: a connection with full buffers is cut too"]),
        Row("… a dial as well", ["06: the end of the grace period ends a dial"]),
        Row("Grace of 0", ["06: a grace period of zero cuts at once"]),
        Row("The second signal cuts at once", ["06: a second signal cuts at once and what is cut is counted in one line", "06: a second signal ends a dial that would last a minute"]),
        Row("/readyz says no before the port is closed", ["harbor: readyz says no from the moment when new clients are refused"]),
        Row("Metrics are answered during the drain", ["06: metrics are answered while the program drains"]),
    ],
    "IPv6 and names": [
        Row("An IPv6 listener; an IPv6 backend", ["02: it may listen on an IPv6 address", "02: a backend may have an IPv6 address"]),
        Row("Both kinds of address in one list", ["03: a list may mix addresses of both kinds"]),
        Row("A name with two addresses, the first refuses", ["harbor: a name with two addresses is reached at the one that answers"]),
        Row("A name with addresses of both kinds", ["harbor: a name with addresses of both kinds is reached at the one that answers"]),
        Row("A name that does not resolve at the start: an error", ["02: a backend whose name does not resolve is refused by name"]),
        Row("A name that resolves no more: served as before", ["harbor: a name that resolves no more is served as before"]),
    ],
}

# What a peer does not have, with the reason; for all cases of the rows whose scenario begins so.
NOT_APPLICABLE = {
    "HAProxy": {
        "Cap: ": "n/a: maxconn makes clients wait instead",
        "… and places come back": "n/a: maxconn makes clients wait instead",
        "All cooling down": "n/a: no cooldown without health checks",
        "Descriptors run out": "n/a: does not start with fewer descriptors than its maxconn needs",
        "… it passes": "n/a: does not start with fewer descriptors than its maxconn needs",
        "… one client tries": "n/a: no cooldown without health checks",
        "The second signal": "n/a: another signal cuts",
        "Drain: dialling": "n/a: the test watches the dial in the metrics",
        "… a dial as well": "n/a: the test watches the dial in the metrics",
        "/readyz": "n/a: has no such endpoint",
        "Metrics are": "n/a: other metrics",
        "A name that does not resolve": "n/a: the adapter refuses it",
    },
    "nginx": {
        "Cap: ": "n/a: no such limit in the stream module",
        "… and places come back": "n/a: no such limit in the stream module",
        "The second signal": "n/a: another signal cuts",
        "Drain: dialling": "n/a: the test watches the dial in the metrics",
        "… a dial as well": "n/a: the test watches the dial in the metrics",
        "/readyz": "n/a: has no such endpoint",
        "Metrics are": "n/a: has no metrics",
        "A name that does not resolve": "n/a: the adapter refuses it",
    },
}


def executable_of(place):
    if place == "harbor":
        return project.build_folder() / "harbor" / "harbor_conformance"
    return project.tests_of(place)


def in_short(output):
    """What a failed case has seen, in a few words: what it says itself (`measured: …`), or else its first verdict."""
    said = re.findall(r"^measured: (.*)$", output, re.MULTILINE)
    if said:
        return said[-1]
    # Of an exception its words come last, after the lesson, whose last line begins with "Read:".
    found = (re.search(r"with expansion:\s*\n(.*?)\nwith message", output, re.DOTALL)
             or re.search(r"exception with messages?:.*?\n  Read:[^\n]*\n(.*?)\n\n", output, re.DOTALL)
             or re.search(r"(?:with expansion|with message|with messages):\s*\n(.*?)\n\n", output, re.DOTALL))
    text = " ".join((found.group(1) if found else output.strip()[-200:]).split())
    for pattern, short in (
        (r"a clean end of stream \(FIN\) was expected; after ([\d,]+ bytes?) came a reset.*", r"RST after \1 instead of FIN"),
        (r"a reset \(RST\) was expected; after ([\d,]+ bytes?) came a clean end.*", r"FIN after \1 instead of RST"),
        (r".*was expected; after ([\d,]+ bytes?) came no end.*", r"no end after \1"),
        (r".*seen a clean end of stream \(FIN\).*", "FIN instead of RST"),
        (r".*seen a reset \(RST\).*", "RST instead of FIN"),
        (r".*seen no end.*", "no end"),
        (r"a clean end of stream \(FIN\) == a reset \(RST\)", "FIN instead of RST"),
        (r".*no end: the connection stayed open and silent.*", "stays open"),
        (r"client \d+ was to receive .* after 0 bytes the other side ended the stream.*", "a client was sent away"),
        (r"client \d+ was to receive .* after 0 bytes .*", "a client got no answer"),
        (r"(\d+) == (\d+)", r"\1, to be \2"),
        (r"waited \d+ ms for a keep-alive.*", "no keep-alive timer was seen"),
        (r".*\bfirst difference.*", "wrong bytes"),
    ):
        if re.fullmatch(pattern, text, re.DOTALL):
            return re.sub(pattern, short, text, flags=re.DOTALL)
    return text[:90] + ("…" if len(text) > 90 else "")


def versions():
    found = bench_proxies.versions({"haproxy": bench_proxies.which("haproxy"), "nginx": bench_proxies.which("nginx"),
                                    "harbor": project.program_of("harbor")}, ["harbor", "haproxy", "nginx"], {})
    return {HARBOR: found["harbor"], "HAProxy": found["haproxy"], "nginx": found["nginx"]}


def reason(name, row):
    return next((text for start, text in NOT_APPLICABLE.get(name, {}).items() if row.scenario.startswith(start)), None)


def run(arguments, names):
    """Every case on every program: {(name, case): Outcome}."""
    work = []
    for name in names:
        wanted = {case: None for rows in TABLE.values() for row in rows if not reason(name, row) for case in row.cases}
        for case in wanted:
            place, _, title = case.partition(": ")
            work.append((name, case, place, title))

    known = {place: set(black_box.list_cases(executable_of(place))) for place in {place for _, _, place, _ in work}}
    for _, case, place, title in work:
        if title not in known[place]:
            raise project.Stop(f"the table names a test case that there is not: {case}")
    listed = {case for rows in TABLE.values() for row in rows for case in row.cases}
    for title in known["harbor"]:
        if f"harbor: {title}" not in listed:
            raise project.Stop(f"no row of the table has the conformance test '{title}'")

    def one(name, place, title):
        if name == HARBOR:
            return lambda: black_box.run_case(executable_of(place), title, project.program_of("harbor"))
        adapter, signal = PEERS[name]
        program = project.ROOT / "harness" / "adapters" / adapter

        def judge_peer():
            # An adapter starts slowly where much else runs. That would say nothing of the balancer.
            for patience in (None, 3, 10):
                how, output = black_box.run_case(executable_of(place), title, program, patience,
                                                 environment={"HARBOR_DRAIN_SIGNAL": signal})
                if "did not become ready" not in output:
                    break
            return how, output

        return judge_peer

    # Harbor's own cases first: its failures are what one waits for.
    outcomes = black_box.Pool(arguments.jobs or 16).run(
        [(name, case, name, one(name, place, title)) for name, case, place, title in work], "conformance")
    return {(outcome.number, outcome.case): outcome for outcome in outcomes}


def cell(name, row, outcomes):
    if text := reason(name, row):
        return text
    for case in row.cases:
        outcome = outcomes[(name, case)]
        if outcome.how == black_box.TIMED_OUT:
            return "the test had to be ended"
        if outcome.how != black_box.PASSED:
            return in_short(outcome.output)
    return "yes"


def check_conformance(arguments):
    names = [HARBOR, *PEERS]
    missing = [name for name, (program, _) in PEERS.items() if bench_proxies.which(program) is None]
    if missing:
        raise project.Stop(f"not installed: {', '.join(missing)}; scripts/bootstrap --all installs them")
    project.build("harbor_program", "harbor_conformance", *(f"ch{number}_tests" for number in project.chapters()))
    start = time.monotonic()
    outcomes = run(arguments, names)
    table = {section: [(row.scenario, [cell(name, row, outcomes) for name in names]) for row in rows]
             for section, rows in TABLE.items()}

    found = versions()
    width = max(len(scenario) for rows in table.values() for scenario, _ in rows)
    project.say(f"{'':{width}}  " + "  ".join(f"{name + ' ' + found[name]:<28}" for name in names).rstrip())
    for section, rows in table.items():
        project.say(f"{section}")
        for scenario, cells in rows:
            shown = [text if len(text) <= 28 else text[:27] + "…" for text in cells]
            project.say(f"  {scenario:{width - 2}}  " + "  ".join(f"{text:<28}" for text in shown).rstrip())

    holes = []
    for section, rows in TABLE.items():
        for row in rows:
            for case in row.cases:
                outcome = outcomes[(HARBOR, case)]
                if outcome.how != black_box.PASSED:
                    holes.append(case)
                    project.say(f"\nHarbor fails {case}\n{outcome.output}")
    count = sum(len(rows) for rows in table.values())
    full = {name: sum(cells[place] == "yes" for rows in table.values() for _, cells in rows)
            for place, name in enumerate(names)}
    if not holes:
        write_page(table, names, found, full, count)
    summary = ", ".join(f"{name} {full[name]}" for name in names)
    text = f"{count} scenarios; as the contract wants it: {summary}; {len(outcomes)} runs in {time.monotonic() - start:.0f} s"
    return not holes, text + (f"; Harbor has {len(holes)} holes, see above" if holes else f"; {os.path.relpath(PAGE, project.ROOT)}")


def write_page(table, names, found, full, count):
    """What the book shows: generated, and never edited by hand."""
    lines = [f"Measured on {time.strftime('%Y-%m-%d')} by `scripts/check conformance` on {bench_machine.describe()}: "
             + ", ".join(f"{name} {found[name]}" for name in names) + ".", ""]
    for section, rows in table.items():
        lines += [f"**{section}**", "", "| scenario | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
        for scenario, cells in rows:
            lines.append(f"| {scenario} | " + " | ".join(text.replace("|", "\\|").replace("<", "&lt;") for text in cells) + " |")
        lines.append("")
    lines.append(f"Of {count} scenarios, as the contract wants it: " + ", ".join(f"{name} {full[name]}" for name in names) + ".")
    # The same outcome on another day is no news, and leaves the tree as it is.
    if not PAGE.is_file() or PAGE.read_text(encoding="utf-8").split("\n")[1:] != [*lines[1:], ""]:
        PAGE.parent.mkdir(parents=True, exist_ok=True)
        PAGE.write_text("\n".join(lines) + "\n", encoding="utf-8")
