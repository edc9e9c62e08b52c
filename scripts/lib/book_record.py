"""Terminal output of the book: recorded from real commands, and compared with a fresh run by scripts/check book.

docs/recordings/NAME.cmd says what to type; docs/recordings/NAME.txt is what the page shows. A .cmd has lines like these:

    build ch01_program          targets that must have been built; not shown
    ports 9001 9002             while recording, free ports take the place of these; in the text it is these again
    folder work                 while recording, a new empty folder takes the place of this one
    set NAME=VALUE              a variable for the commands that follow, which the text does not show
    limit 300                   seconds that each of the commands that follow may take, instead of 60
    & echo --id A 9001          a command that goes on in the background
    wait listening on           until the command in the background has printed this; shows what it has printed
    $ nc -N 127.0.0.1 9001      a command; shows it and all that it prints
    signal TERM                 sent to the command in the background, waits for its end; shows the rest of its output
    keep REGEX                  of the next command's output only the lines that match
    lines 3-12                  of the next command's output only these lines
    sub REGEX => TEXT           in all output, on top of what is always made equal: paths, free ports, blanks at line ends;
                                a TEXT of blanks, or none, stands between quotation marks

Commands are run by bash in the top folder. Programs of the tree are called by their paths in build/release.
"""
import contextlib
import os
import random
import re
import signal
import socket
import subprocess
import tempfile
import threading
import time

import project
from book_pages import DOCS

PATIENCE = 300.0  # seconds for a command to end or a text to come; a compiler on a busy machine needs many


class BackgroundCommand:
    def __init__(self, command, environment):
        self.process = subprocess.Popen(["bash", "-c", command], cwd=project.ROOT, env=environment,
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                        start_new_session=True)
        self.output, self.shown = b"", 0
        self.changed = threading.Condition()
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        while True:
            part = self.process.stdout.read1(65536)
            with self.changed:
                self.output += part
                self.changed.notify_all()
            if not part:
                return

    def wait_for(self, text):
        with self.changed:
            return self.changed.wait_for(lambda: text.encode() in self.output[self.shown:] and self.output.endswith(b"\n"),
                                         PATIENCE)

    def rest(self):
        with self.changed:
            text, self.shown = self.output[self.shown:], len(self.output)
        return text.decode(errors="replace")

    def end(self, number):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)
        self.process.wait(PATIENCE)
        self.reader.join(PATIENCE)


class Recording:
    def __init__(self, path):
        self.path = path
        self.name = path.stem
        self.steps = []
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if line.strip() and not line.startswith("#"):
                word, _, rest = line.partition(" ")
                if word not in ("build", "ports", "folder", "set", "limit", "&", "wait", "$", "signal", "keep", "lines", "sub"):
                    raise project.Stop(f"{self.where(number)}: '{word}' is not known; see scripts/lib/book_record.py")
                self.steps.append((number, word, rest))

    def where(self, number):
        return f"{self.path.relative_to(project.ROOT)}:{number}"

    def targets(self):
        return [target for _, word, rest in self.steps if word == "build" for target in rest.split()]

    def commands(self):
        return [(number, rest) for number, word, rest in self.steps if word in "&$"]

    def run(self):
        """What the page shows, from a run of now."""
        ports, substitutions, out, background = {}, [], [], []
        keep, lines = None, None
        environment, limit, folders = dict(os.environ), PATIENCE, {}

        def real(text):
            for given, temporary in folders.items():
                text = re.sub(rf"(?<![\w/.]){re.escape(given)}(?![\w.])", temporary.name, text)
            return re.sub(r"\b\d{4,5}\b", lambda found: ports.get(found[0], found[0]), text)

        def shown(text):
            for given, temporary in folders.items():
                text = text.replace(temporary.name, given)
            back = {free: given for given, free in ports.items()}
            text = re.sub(r"\b\d{4,5}\b", lambda found: back.get(found[0], found[0]), text)
            text = text.replace(f"{project.ROOT}/", "").replace("../../", "")
            text = re.sub(r"((?:127\.0\.0\.1|\[::1?\]|0\.0\.0\.0):)\d{5}\b", r"\1PORT", text)
            for pattern, replacement in substitutions:
                text = re.sub(pattern, replacement, text, flags=re.MULTILINE)
            return [line.rstrip() for line in text.splitlines()]

        try:
            for number, word, rest in self.steps:
                if word == "ports":
                    ports.update(zip(rest.split(), free_ports(len(rest.split()))))
                elif word == "set":
                    name, _, value = rest.partition("=")
                    environment[name] = real(value)
                elif word == "folder":
                    folders[rest] = tempfile.TemporaryDirectory(prefix="harbor-record-")
                elif word == "limit":
                    limit = float(rest)
                elif word == "sub":
                    pattern, arrow, replacement = rest.partition(" => ")
                    if not arrow:
                        raise project.Stop(f"{self.where(number)}: expected 'sub REGEX => TEXT'")
                    quoted = re.fullmatch(r'"(.*)"', replacement)  # nothing, or blanks at the end of a line
                    substitutions.append((pattern, quoted[1] if quoted else replacement))
                elif word == "keep":
                    keep = re.compile(rest)
                elif word == "lines":
                    lines = [int(part) for part in rest.split("-")]
                elif word == "&":
                    out.append(f"$ {rest} &")
                    background.append(BackgroundCommand(real(rest), environment))
                elif word == "wait":
                    if not background or not background[-1].wait_for(real(rest)):
                        said = background[-1].rest() if background else ""
                        raise project.Stop(f"{self.where(number)}: waited for '{rest}' in vain; what came:\n{said}")
                    out += shown(background[-1].rest())
                elif word == "signal":
                    out.append(f"$ kill -{rest} %1")
                    background[-1].end(getattr(signal, f"SIG{rest}"))
                    out += shown(background[-1].rest())
                elif word == "$":
                    out.append(f"$ {rest}")
                    text = shown(self.command(number, real(rest), environment, limit))
                    if keep:
                        text = [line for line in text if keep.search(line)]
                    if lines:
                        text = text[lines[0] - 1:lines[1]]
                    out += text
                    keep = lines = None
        finally:
            for command in background:
                command.end(signal.SIGKILL)
            for temporary in folders.values():
                temporary.cleanup()
        while out and not out[-1]:
            out.pop()
        return "\n".join(out) + "\n"

    def command(self, number, text, environment, limit):
        process = subprocess.Popen(["bash", "-c", text], cwd=project.ROOT, env=environment, stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            output, _ = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            output, _ = process.communicate()
            raise project.Stop(f"{self.where(number)}: '{text}' did not end within {limit:.0f} s; what came:\n"
                               f"{output.decode(errors='replace')}") from None
        return output.decode(errors="replace")


def free_ports(count):
    """Ports that nobody uses, below those that the kernel gives to clients (from 32768 on Linux, 49152 elsewhere): those
    may be taken by any connection that somebody opens before the program under observation binds them."""
    ports = []
    while len(ports) < count:
        port = random.randrange(15000, 32000)
        with socket.socket() as one, contextlib.suppress(OSError):
            one.bind(("", port))
            if str(port) not in ports:
                ports.append(str(port))
    return ports


def recordings(names=()):
    found = {path.stem: path for path in sorted((DOCS / "recordings").glob("*.cmd"))}
    unknown = [name for name in names if name not in found]
    if unknown:
        raise project.Stop(f"there is no docs/recordings/{unknown[0]}.cmd; there are: {', '.join(found) or 'none'}")
    return [Recording(found[name]) for name in (names or found)]


def build_for(chosen):
    targets = sorted({target for recording in chosen for target in recording.targets()})
    if targets:
        project.build(*targets)


def record(names):
    """scripts/docs --record: writes the .txt files anew."""
    chosen = recordings(names)
    build_for(chosen)
    for recording in chosen:
        start = time.monotonic()
        text = recording.run()
        target = recording.path.with_suffix(".txt")
        changed = not target.exists() or target.read_text(encoding="utf-8") != text
        target.write_text(text, encoding="utf-8")
        project.say(f"{recording.name}: {'changed' if changed else 'as it was'} ({time.monotonic() - start:.1f} s)")
    return 0
