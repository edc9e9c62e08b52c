"""Terminal output of the book: recorded from real commands, and compared with a fresh run by scripts/check book.

docs/recordings/NAME.cmd says what to type; docs/recordings/NAME.txt is what the page shows. A .cmd has lines like these:

    build ch01_program          targets that must have been built; not shown
    ports 9001 9002             while recording, free ports take the place of these; in the text it is these again
    folder work                 while recording, a new empty folder takes the place of this one
    set NAME=VALUE              a variable for the commands that follow, which the text does not show
    limit 1800                  seconds that the whole recording may take, instead of 300
    & echo --id A 9001          a command that goes on in the background
    wait listening on           until the command in the background has printed this; shows what it has printed
    $ nc -N 127.0.0.1 9001      a command; shows it and all that it prints
    signal TERM                 sent to the command in the background, waits for its end; shows the rest of its output
    keep REGEX                  of the next command's output only the lines that match
    lines 3-12                  of the next command's output only these lines
    silent                      the next command prints nothing; any other has to print something
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

PATIENCE = 300.0  # seconds for a recording; a compiler on a busy machine needs many
DEATH = 10.0  # seconds for what was killed to be gone


class BackgroundCommand:
    def __init__(self, command, environment):
        self.process = subprocess.Popen(["bash", "-c", command], cwd=project.ROOT, env=environment,
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                        start_new_session=True)
        self.output, self.shown, self.ended = b"", 0, False
        self.changed = threading.Condition()
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        while True:
            part = self.process.stdout.read1(65536)
            with self.changed:
                self.output += part
                self.ended = not part
                self.changed.notify_all()
            if not part:
                return

    def wait_for(self, text, seconds):
        """Whether the text comes. It does not once the command has ended."""
        def there():
            return text.encode() in self.output[self.shown:] and self.output.endswith(b"\n")

        with self.changed:
            self.changed.wait_for(lambda: there() or self.ended, seconds)
            return there()

    def rest(self):
        with self.changed:
            text, self.shown = self.output[self.shown:], len(self.output)
        return text.decode(errors="replace")

    def end(self, number, seconds):
        """Sends a signal; whether the command ends and says nothing more."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)
        start = time.monotonic()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(seconds)
            self.reader.join(max(0.0, seconds - (time.monotonic() - start)))
        if self.reader.is_alive():
            return False
        self.process.stdout.close()
        return self.process.poll() is not None


class Recording:
    def __init__(self, path):
        self.path = path
        self.name = path.stem
        self.steps = []
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if line.strip() and not line.startswith("#"):
                word, _, rest = line.partition(" ")
                if word not in ("build", "ports", "folder", "set", "limit", "&", "wait", "$", "signal", "keep", "lines", "silent",
                                "sub"):
                    raise project.Stop(f"{self.where(number)}: '{word}' is not known; see scripts/lib/book_record.py")
                self.steps.append((number, word, rest))

    def where(self, number):
        return f"{self.path.relative_to(project.ROOT)}:{number}"

    def targets(self):
        return [target for _, word, rest in self.steps if word == "build" for target in rest.split()]

    def commands(self):
        return [(number, rest) for number, word, rest in self.steps if word in "&$"]

    def shows(self):
        """The lines with commands that the text has to have, in order, and whether output has to follow: None is either."""
        shown, silent = [], False
        for _, word, rest in self.steps:
            if word == "&":
                shown.append((f"$ {rest} &", None))
            elif word == "signal":
                shown.append((f"$ kill -{rest} %1", None))
            elif word == "$":
                shown.append((f"$ {rest}", not silent))
                silent = False
            elif word == "silent":
                silent = True
            elif word == "wait" and shown:
                shown[-1] = (shown[-1][0], True)  # it waited for words, which are output
        return shown

    def faults(self, text):
        """What shows that a text cannot come from a run of these commands, as (line, words)."""
        shown, lines = self.shows(), text.splitlines()
        starts = [index for index, line in enumerate(lines) if line.startswith("$ ")]
        if starts[:1] != [0]:
            yield 1, "does not begin with a command; it is no recording"
            return
        for (command, prints), start, end in zip(shown, starts, [*starts[1:], len(lines)]):
            if lines[start] != command:
                yield start + 1, f"the command is not the recipe's, '{command[2:]}'"
                return
            output = any(line.strip() for line in lines[start + 1:end])
            if prints and not output:
                yield start + 1, "the output of this command is missing; one that prints nothing has 'silent' in its recipe"
            elif prints is False and output:
                yield start + 2, "this command has 'silent' in its recipe, and prints something"
        if len(starts) < len(shown):
            yield len(lines), f"the recipe's command '{shown[len(starts)][0][2:]}' is missing"
        elif len(starts) > len(shown):
            yield starts[len(shown)] + 1, "the recipe has no such command"

    def run(self):
        """What the page shows, from a run of now."""
        ports, substitutions, out, background, groups = {}, [], [], [], []
        keep, lines = None, None
        environment, folders = dict(os.environ), {}
        limit = next((float(rest) for _, word, rest in self.steps if word == "limit"), PATIENCE)
        end = time.monotonic() + limit

        def left():
            return max(0.0, end - time.monotonic())

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
                    if not background or not background[-1].wait_for(real(rest), left()):
                        said = background[-1].rest() if background else ""
                        raise project.Stop(f"{self.where(number)}: waited for '{rest}' in vain; what came:\n{said}")
                    out += shown(background[-1].rest())
                elif word == "signal":
                    out.append(f"$ kill -{rest} %1")
                    if not background[-1].end(getattr(signal, f"SIG{rest}"), left()):
                        raise project.Stop(f"{self.where(number)}: SIG{rest} did not end the command within {limit:.0f} s from"
                                           f" the start; what came:\n{background[-1].rest()}")
                    out += shown(background[-1].rest())
                elif word == "$":
                    out.append(f"$ {rest}")
                    text = shown(self.command(number, real(rest), environment, left(), groups))
                    if keep:
                        text = [line for line in text if keep.search(line)]
                    if lines:
                        text = text[lines[0] - 1:lines[1]]
                    out += text
                    keep = lines = None
        finally:
            for command in background:
                command.end(signal.SIGKILL, DEATH)
            for group in groups:  # what a command has left running, "… &"
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(group, signal.SIGKILL)
            for temporary in folders.values():
                temporary.cleanup()
        while out and not out[-1]:
            out.pop()
        return "\n".join(out) + "\n"

    def command(self, number, text, environment, seconds, groups):
        process = subprocess.Popen(["bash", "-c", text], cwd=project.ROOT, env=environment, stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)
        if text.endswith("&"):
            groups.append(process.pid)
        output = b""
        try:
            output, _ = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            with contextlib.suppress(subprocess.TimeoutExpired):  # the pipe may be held by somebody in another group
                output, _ = process.communicate(timeout=DEATH)
            raise project.Stop(f"{self.where(number)}: '{text}' did not end in the {seconds:.0f} s that were left; what came:\n"
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
    chosen, faults = recordings(names), 0
    build_for(chosen)
    for recording in chosen:
        start = time.monotonic()
        text = recording.run()
        target = recording.path.with_suffix(".txt")
        changed = not target.exists() or target.read_text(encoding="utf-8") != text
        target.write_text(text, encoding="utf-8")
        project.say(f"{recording.name}: {'changed' if changed else 'as it was'} ({time.monotonic() - start:.1f} s)")
        for number, words in recording.faults(text):
            faults += 1
            project.say(f"{target.relative_to(project.ROOT)}:{number}: {words}")
    return 1 if faults else 0
