"""Random histories against harbor (harbor/tests/histories), and the proof that they find what they look for."""
import json
import os
import random
import re
import shlex
import subprocess
import tempfile
from pathlib import Path

import project

# Mistakes that histories have to find: a file of harbor/, what it says, and what it says with the mistake.
MISTAKES = {
    "the half-close goes to the wrong side": (
        "relay.cpp", "::shutdown(to().fd(), SHUT_WR);", "::shutdown(from().fd(), SHUT_WR);"),
    "a reset overtakes the bytes before it": (
        "session.cpp", "if (!known || undelivered == 0 ||", "if (!known || undelivered >= 0 ||"),
    "a reset after a clean end is not noticed": (
        "relay.cpp", "        if (from().broken) {\n            fail_reading(ECONNRESET);\n            return false;\n        }\n", ""),
}
ENOUGH = 5000  # histories, in which each of these has to be found


def program():
    return project.build_folder() / "harbor" / "tests" / "histories" / "harbor_histories"


def run(count, seed, balancer, *more, quiet=False):
    command = [program(), "--count", str(count), "--seed", str(seed), "--program", str(balancer), *more]
    if not quiet:
        return subprocess.run(command, stdin=subprocess.DEVNULL, check=False).returncode, ""
    result = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                            check=False)
    return result.returncode, result.stdout


def check_histories(arguments):
    project.build("harbor_program", "harbor_histories")
    seed = random.SystemRandom().randrange(2**32) if arguments.seed is None else arguments.seed
    count = arguments.runs or 500
    status, _ = run(count, seed, project.program_of("harbor"))
    good, text = status == 0, f"{count} histories, seed {seed}"
    if good and arguments.self_test:
        missed = self_test(seed)
        good = not missed
        text += f"; of {len(MISTAKES)} mistakes built in, {len(missed)} missed"
    return good, text


def self_test(seed):
    """The mistakes that are not found."""
    missed = []
    with tempfile.TemporaryDirectory(prefix="harbor-mistakes-") as folder:
        for number, name in enumerate(MISTAKES):
            balancer = build_with(name, Path(folder) / str(number))
            status, said = run(ENOUGH, seed, balancer, "--shrink-seconds", "30", quiet=True)
            project.say(f"\nwith a mistake built in ({name}):\n{said.strip()}")
            if status != 1:
                missed.append(name)
    return missed


def build_with(name, folder):
    """harbor with one mistake: one file compiled again, and put into a copy of the library."""
    source, right, wrong = MISTAKES[name]
    text = (project.ROOT / "harbor" / source).read_text(encoding="utf-8")
    if text.count(right) != 1:
        raise project.Stop(f"harbor/{source} does not say, once, what the mistake '{name}' changes:\n{right}")
    folder.mkdir()
    (folder / source).write_text(text.replace(right, wrong), encoding="utf-8")

    build = project.build_folder()
    entries = json.loads((build / "compile_commands.json").read_text(encoding="utf-8"))
    original = str(project.ROOT / "harbor" / source)
    command = next(shlex.split(entry["command"]) for entry in entries if entry["file"] == original)
    output = command.index("-o") + 1
    member = Path(command[output]).name
    command[output] = str(folder / member)
    command[command.index(original)] = str(folder / source)
    must(command, build)

    library, balancer = folder / "libharbor_library.a", folder / "harbor"
    commands = subprocess.run(["ninja", "-t", "commands", "harbor/harbor"], cwd=build, stdout=subprocess.PIPE, text=True,
                              check=True).stdout.splitlines()
    link = re.sub(r"-o \S+", f"-o {shlex.quote(str(balancer))}", commands[-1])
    link = re.sub(r"\S*libharbor_library\.a", shlex.quote(str(library)), link)
    must(["cp", str(build / "harbor" / "libharbor_library.a"), str(library)], build)
    must(["ar", "r", str(library), str(folder / member)], build)
    must(["sh", "-c", link], build)
    if not os.access(balancer, os.X_OK):
        raise project.Stop(f"{balancer} was not linked by: {link}")
    return balancer


def must(command, folder):
    result = subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                            text=True, check=False)
    if result.returncode != 0:
        raise project.Stop(f"{shlex.join(map(str, command))}\n{result.stdout}")
