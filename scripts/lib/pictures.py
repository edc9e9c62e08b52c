"""The pictures of the book: real exchanges, recorded and drawn.

harness/pictures/scenarios.cpp plays each of them with the program of a chapter, and the harness records it. What is
different in every run is taken out: ports become names, process ids and times go, and of two things that the program does
at the same moment the one further left comes first. What remains is the same in every run, so it can be kept in
docs/pictures/NAME.jsonl and compared: a chapter that does something else than its picture shows is found out.
docs/pictures/NAME.svg is drawn from that file and from nothing else.
"""
import difflib
import json
import re
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import black_box
import project
import sequence
import story

FOLDER = project.ROOT / "docs" / "pictures"
# What the program does, and what the test does itself: the former is stamped a little late, the latter a little early.
ARRIVALS = ("accepted", "received", "FIN received", "RST received")
ACTIONS = ("connects", "sent", "FIN sent", "RST sent", "listens")


@dataclass
class Picture:
    """One scenario."""
    name: str  # of its test case and of its files
    chapter: str  # whose program plays it
    title: str
    # Times that are part of the story, as (actor, what it does, the how-manieth time, seconds): so long before that the
    # test did nothing. They must have been waited for, and no other pause is shown.
    pauses: tuple = ()
    # Numbers of bytes that depend on the buffers of the system, as (actor, what it does): words. Only the first counts.
    sizes: dict = field(default_factory=dict)
    # Settings that only make sure that nothing else happens, and are no part of the story.
    hidden: tuple = ()


PICTURES = (
    Picture("half_close", "02", "A half-close: the client has said all it had to say, and the answer still comes"),
    Picture("backpressure", "02", "Backpressure: while the backend does not read, the client cannot send", sizes={
        ("client 1", "sent"): "until nothing more fits",
        ("backend A #1", "received"): "all of that",
    }),
    Picture("reset", "02", "A reset is passed on: half an answer does not pass for a whole one"),
    Picture("round_robin", "03", "Round-robin: four clients, three backends in turn"),
    Picture("retry_cooldown", "05", "Retry and cooldown: a backend that does not answer costs one client one timeout",
            hidden=("LB_IO_TIMEOUT_MS",), pauses=(("backend B #1", "accepted", 1, 0.5), ("client 4", "connects", 1, 3.0))),
    Picture("idle_deadline", "05", "The idle deadline: every byte starts the clock again, silence ends the connection",
            pauses=(("client 1", "sent", 2, 1.0), ("client 1", "RST received", 1, 2.0))),
    Picture("drain", "06", "A drain: no new clients, and those who are there can finish", hidden=("LB_IO_TIMEOUT_MS",)),
)


def record(picture, build_folder, folder):
    """Plays a scenario with the program in `build_folder` and returns the file of what happened, which is in `folder`."""
    executable = Path(build_folder) / "harness" / "harness_pictures"
    program = Path(build_folder) / "chapters" / project.chapters()[picture.chapter].name / "harbor"
    how, output = black_box.run_case(executable, picture.name, program,
                                     variables={"HARBOR_TRACE": str(folder), "HARBOR_TRACE_KEEP": "1"})
    files = list(Path(folder).glob(f"*.{picture.name}.*.jsonl"))
    if how != black_box.PASSED or len(files) != 1:
        raise project.Stop(f"{output}\nthe scenario {picture.name} {how} with the program of chapter {picture.chapter}")
    return files[0]


# --- what stays the same -------------------------------------------------------------------------------------------


def names_of_addresses(events):
    """`127.0.0.1:40001` → `backend-A`, for everybody who listens."""
    names = {}
    for event in events:
        if event["what"] in ("listens", "does not listen") and "on" in event:
            name = event["who"].replace(" ", "-")
            names[event["on"]] = name
            if event.get("metrics"):
                names[event["metrics"]] = f"{name}-metrics"
    return names


def with_pauses(events, pauses):
    """Puts a pause before each event that is named, having made sure that it was one."""
    tolerance = 5.0  # a busy machine is late, never early
    wanted = {(who, what, number): seconds for who, what, number, seconds in pauses}
    counted = {}
    result = []
    last_action = 0.0
    for event in events:
        key = (event["who"], event["what"])
        counted[key] = counted.get(key, 0) + 1
        seconds = wanted.pop((*key, counted[key]), None)
        if seconds is not None:
            waited = event["t"] - last_action
            if not seconds <= waited <= seconds + tolerance:
                raise project.Stop(f"before '{key[0]} {key[1]}' {waited:.3f} s passed, to be {seconds} s")
            result.append({"t": event["t"], "who": "the test", "what": "pause", "text": story.time_text(seconds)})
        result.append(event)
        last_action = event["t"] if event["what"] in ACTIONS else last_action
    if wanted:
        raise project.Stop(f"the record has no {', '.join(map(str, wanted))}")
    return result


def in_order(events):
    """Things that the program does on its two sides at the same moment, in the order of the lanes. They are seen by
    different threads of the harness, and either may be faster."""
    result, together = [], []
    for event in [*events, None]:
        if event and event["what"] in ARRIVALS:
            together.append(event)
            continue
        # sorted() is stable: what one actor sees stays in its order.
        result += sorted(together, key=lambda one: (not one["who"].startswith("client"), one["who"]))
        result += [event] if event else []
        together = []
    return result


def normalised(events, picture):
    """The events that the picture shows, without what is different in every run."""
    end = next((index for index, event in enumerate(events) if event.get("text") == "the end"), None)
    if end is None:
        raise project.Stop(f"the record of {picture.name} does not say where the picture ends")
    names = names_of_addresses(events)
    merged = story.merge(events[:end], pause=None)
    cast = story.Cast(merged)
    teller = story.Teller(cast)
    shown = [event for event in merged
             if teller.rows(event) or event["what"] in ("begins", "started", "listens", "does not listen")]
    result = []
    sizes = dict(picture.sizes)
    processes = {}
    for event in with_pauses(in_order(shown), picture.pauses):
        kept = {name: value for name, value in event.items() if name not in ("t", "from", "parts", "command")}
        if event["what"] == "begins":
            kept = {"who": event["who"], "what": "begins", "test": picture.title, "chapter": picture.chapter}
        if "pid" in kept:
            kept["pid"] = processes.setdefault(kept["pid"], len(processes) + 1)
        if "environment" in kept:
            untold = {*story.USUAL_VARIABLES, *picture.hidden} - {"BACKENDS"}
            kept["environment"] = " ".join(setting for setting in kept["environment"].split()
                                           if setting.split("=")[0] not in untold)
        words = sizes.pop((event["who"], event["what"]), None)
        if words:
            del kept["bytes"], kept["first"]
            kept["size"] = words
        elif excerpt_is_noise(kept):
            del kept["first"]
        for address, name in names.items():
            kept = {key: re.sub(rf"(?<!\d){re.escape(address)}(?!\d)", name, value) if isinstance(value, str) else value
                    for key, value in kept.items()}
        result.append(kept)
    return [*result, {"who": "the test", "what": "ends", "outcome": "passed"}]


def excerpt_is_noise(event):
    return "first" in event and story.excerpt(event["first"], event["bytes"]) is None


# --- files ---------------------------------------------------------------------------------------------------------


def as_lines(events):
    return "".join(json.dumps(event, ensure_ascii=False) + "\n" for event in events)


def draw(lines, name):
    """The SVG of a normalised trace."""
    return sequence.svg(story.tell([json.loads(line) for line in lines.splitlines()]), name)


def make(picture, build_folder):
    """Plays a scenario; returns the contents of its two files."""
    with tempfile.TemporaryDirectory(prefix="harbor-pictures-") as folder:
        events = story.read(record(picture, build_folder, folder))
    lines = as_lines(normalised(events, picture))
    return lines, draw(lines, picture.name)


def build():
    project.build("harness_pictures", *{f"ch{picture.chapter}_program" for picture in PICTURES})
    return project.build_folder()


def record_all(build_dir=None):
    """Writes docs/pictures anew, from the programs in `build_dir`; builds them first if none is given. Returns the names
    of the files that have changed."""
    build_dir = build_dir or build()
    FOLDER.mkdir(parents=True, exist_ok=True)
    changed = []
    for picture in PICTURES:
        lines, svg = make(picture, build_dir)
        for suffix, text in ((".jsonl", lines), (".svg", svg)):
            path = FOLDER / f"{picture.name}{suffix}"
            if not path.is_file() or path.read_text(encoding="utf-8") != text:
                path.write_text(text, encoding="utf-8")
                changed.append(path.name)
    return changed


def check_pictures(arguments):
    """Plays the scenarios again and compares. With --record writes what has come out instead."""
    if arguments.record:
        changed = record_all()
        return True, f"{len(PICTURES)} recorded, {len(changed)} files changed{': ' if changed else ''}{', '.join(changed)}"
    problems = []
    build_folder = build()
    for picture in PICTURES:
        lines, svg = make(picture, build_folder)
        for suffix, text in ((".jsonl", lines), (".svg", svg)):
            path = FOLDER / f"{picture.name}{suffix}"
            kept = path.read_text(encoding="utf-8") if path.is_file() else ""
            if kept == text:
                continue
            problems.append(path.name)
            name = path.relative_to(project.ROOT)
            project.say(f"{name} is not what a run gives now:" if kept else f"{name} is missing")
            if suffix == ".jsonl":
                project.say("\n".join(difflib.unified_diff(kept.splitlines(), text.splitlines(), "kept", "now", lineterm="", n=1)))
    known = {picture.name for picture in PICTURES}
    for path in sorted(FOLDER.glob("*.jsonl")):
        if path.stem not in known:
            problems.append(path.name)
            project.say(f"{path.relative_to(project.ROOT)} belongs to no scenario")
    if problems:
        return False, f"{len(problems)} files differ; scripts/check pictures --record writes them anew"
    return True, f"{len(PICTURES)} exchanges are as in docs/pictures"
