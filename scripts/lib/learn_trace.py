"""`scripts/learn trace`: shows what happened in a test that failed, in the terminal and as a picture beside the trace.

    learn_trace.show(learn_trace.latest_failed(folder))
"""
import os
import shutil
import sys
from pathlib import Path

import project
import sequence
import story


def latest_failed(folder):
    """The newest trace below this folder of a test that failed, or was ended before it had come to its end; None if there
    is none."""
    for path in sorted(Path(folder).rglob("*.jsonl"), key=lambda path: path.stat().st_mtime, reverse=True):
        try:
            events = story.read(path)
        except story.BadTrace:
            continue
        ends = next((event for event in events if event["what"] == "ends"), None)
        if ends["outcome"] == "failed" if ends else not runs(events[0].get("pid")):
            return path
    return None


def runs(pid):
    """Whether the process that writes a trace is still there. (It may be another one by now, with the same number.)"""
    try:
        os.kill(int(pid), 0)
    except (ProcessLookupError, TypeError, ValueError):
        return False
    except PermissionError:
        pass
    return True


def show(traces, width=None, stream=None):
    """Prints a trace and writes it as SVG beside it; returns the path of the SVG.

    A test that goes several ways (with several values, say) leaves several traces. Given a list of them, shows the one
    that was written first, and says where the others are.
    """
    stream = stream or sys.stdout
    paths = [Path(path) for path in ([traces] if isinstance(traces, (str, os.PathLike)) else traces)]
    if not paths:
        raise project.Stop("there is no trace to show")
    try:
        first, *others = sorted(paths, key=lambda path: path.stat().st_mtime_ns)
        events = story.read(first)
    except (OSError, story.BadTrace) as error:
        raise project.Stop(str(error)) from error
    told = story.tell(story.merge(events))
    picture = first.with_suffix(".svg")
    picture.write_text(sequence.svg(told, picture.stem), encoding="utf-8")

    coloured = stream.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
    width = width or shutil.get_terminal_size().columns
    print(sequence.terminal(told, width, coloured, draws_boxes(stream)), file=stream)
    print(f"as a picture: {shown(picture)}", file=stream)
    if others:
        names = ", ".join(map(shown, others[:3])) + (" and so on" if len(others) > 3 else "")
        print(f"{len(others)} more way{'s' if len(others) > 1 else ''} through this test went wrong: {names}", file=stream)
    return picture


def draws_boxes(stream):
    try:
        "│━▶✗".encode(getattr(stream, "encoding", None) or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def shown(path):
    """Short where possible: what is typed next is typed in this folder."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative
