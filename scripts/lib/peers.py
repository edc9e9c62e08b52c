"""The peers: HAProxy and nginx, judged by the tests of chapters 02 to 04 through the adapters in harness/adapters.

The tests are the contract's, and the contract is stricter than what these balancers promise, so each has a short list of
deviations. The list is part of the check: a test that is not on it must pass, and one that is on it must fail, so that the
list cannot grow old unnoticed. Where failing is luck, the test is run a dozen times and the count is reported.

A run in which all is as listed writes the comparison into docs/generated/peers.md, for the book. The counts of luck are
not in it, so that it changes only when the tests, the list or the versions do.
"""
import os
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import project
from black_box import PASSED, Pool, list_cases, run_case
from gates import SHORT_LIMIT, SHORT_PATIENCE, describe_holes

CHAPTERS = ("02", "03", "04")
JOBS = 8
TABLE = project.ROOT / "docs" / "generated" / "peers.md"  # the book shows it
RUNS_OF_LUCK = 12

# Tests of the environment: it is the adapter that reads it.
BY_THE_ADAPTER = ("black_box_configuration.cpp", "black_box_backend_list.cpp", "black_box_dev_seed.cpp",
                  "black_box_worker_count.cpp")

NO_RESET_TO_CLIENTS = ("A reset of the backend reaches the client as a clean end of stream: an answer that was cut off looks "
                       "like a whole one.")
NO_RESET_TO_BACKENDS = ("A reset of the client reaches the backend as a clean end of stream: a request that was cut off looks "
                        "like a whole one.")
ENDS_EARLY = ("When both sides end their streams while much is still on its way in both directions, the connection is sometimes "
              "reset, or ended, before all of it has arrived (3 of 24 runs on a busy machine).")
DRAWS_TWICE = ("`random(2)` may draw the same server twice, and then compares it with itself, so the busier of two is taken "
               "now and then.")

DEVIATIONS = {
    "haproxy": {
        "a reset of the backend resets the client": NO_RESET_TO_CLIENTS,
        "an answer cut off by a reset does not pass for a whole one": NO_RESET_TO_CLIENTS,
        "a reset reaches a client that has half-closed": NO_RESET_TO_CLIENTS,
        "power-of-two never picks the busier of two": DRAWS_TWICE,
        "power-of-two with eight clients at once never picks the busier of two": DRAWS_TWICE,
    },
    "nginx": {
        "a reset of the backend resets the client": NO_RESET_TO_CLIENTS,
        "an answer cut off by a reset does not pass for a whole one": NO_RESET_TO_CLIENTS,
        "a reset reaches a client that has half-closed": NO_RESET_TO_CLIENTS,
        "a reset of the client resets the backend": NO_RESET_TO_BACKENDS,
        "an upload cut off by a reset does not pass for a whole one": NO_RESET_TO_BACKENDS,
    },
}
LUCK = {
    "haproxy": {
        "32 MiB in each direction at the same time arrive unchanged": ENDS_EARLY,
        "power-of-two never picks the busiest but does not know the idlest": DRAWS_TWICE,
        "every name of power-of-two stands for it": DRAWS_TWICE,
    },
    "nginx": {},
}


def programs():
    """The column's name, the executable, and the version, of each program that is compared."""
    found = {"harbor": ("Harbor", project.program_of("harbor"), "")}
    for name, title, question in (("haproxy", "HAProxy", ["haproxy", "-v"]), ("nginx", "nginx", ["nginx", "-v"])):
        path = os.environ["PATH"] + ":/usr/sbin"
        if shutil.which(name, path=path) is None:
            raise project.Stop(f"{name} is not installed; scripts/bootstrap --all installs it")
        answer = subprocess.run(question, env={**os.environ, "PATH": path}, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, text=True, check=False).stdout
        version = re.search(r"\d+\.\d+\.\d+", answer)
        if version is None:
            raise project.Stop(f"{' '.join(question)} does not tell its version:\n{answer}")
        found[name] = (title, project.ROOT / "harness" / "adapters" / name, version[0])
    return found


def subjects(number):
    """What each test file is about, by the names of its cases: the beginning of the file's first sentence."""
    found = {}
    for path in sorted((project.chapters()[number] / "tests").glob("black_box_*.cpp")):
        text = path.read_text(encoding="utf-8")
        comment = " ".join(line[2:].strip() for line in re.match(r"(?://.*\n)+", text)[0].splitlines())
        title = re.split(r"[:.](?: |$)", comment, maxsplit=1)[0]
        for case in list_cases(project.tests_of(number)):
            if f'"{case}"' in text:
                found[case] = (path.name, title)
    return found


def left_behind(folder):
    """Processes that were started with TMPDIR=folder and still run; waits a little for those that are about to end."""
    mark = f"TMPDIR={folder}\0".encode()
    for _ in range(100):
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if mark in (process / "environ").read_bytes() + b"\0":
                    found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"))
            except OSError:
                pass  # ended, or not ours
        if not found:
            return []
        time.sleep(0.05)
    return found


def check_peers(arguments):
    compared = programs()
    project.build("harbor_program", *(f"ch{number}_tests" for number in CHAPTERS))
    cases = {number: list_cases(project.tests_of(number)) for number in CHAPTERS}
    for name in DEVIATIONS:
        both = set(DEVIATIONS[name]) & set(LUCK[name])
        unknown = {*DEVIATIONS[name], *LUCK[name]} - {case for names in cases.values() for case in names}
        if both or unknown:
            raise project.Stop(f"the deviations of {name} are listed twice, or of no test: {sorted(both | unknown)}")

    work = []
    with tempfile.TemporaryDirectory(prefix="harbor-peers-") as folder:
        os.makedirs(os.path.join(folder, "run"))
        surroundings = {"TMPDIR": os.path.join(folder, "run")}
        for number, names in cases.items():
            executable = project.tests_of(number)
            for name, (_, path, _) in compared.items():
                for case in names:
                    deviates = case in DEVIATIONS.get(name, ())
                    patience, limit = (SHORT_PATIENCE, SHORT_LIMIT) if deviates else (None, 180)
                    runs = RUNS_OF_LUCK if case in LUCK.get(name, ()) else 1
                    work += [(number, case, name, lambda executable=executable, case=case, path=path, patience=patience,
                              limit=limit: run_case(executable, case, path, patience, limit, surroundings))] * runs
        start = time.monotonic()
        outcomes = Pool(arguments.jobs or JOBS).run(work, "peers")
        seconds = time.monotonic() - start
        orphans = left_behind(surroundings["TMPDIR"])
        files = os.listdir(surroundings["TMPDIR"])

    holes = [f"this process outlived its test: {orphan}" for orphan in orphans]
    holes += [f"this file outlived its test: {file}" for file in files]
    surprises = [o for o in outcomes if o.how != PASSED
                 and o.case not in DEVIATIONS.get(o.program, ()) and o.case not in LUCK.get(o.program, ())]
    holes += describe_holes(surprises, True)
    holes += [f"'{o.case}' passes on {o.program}, and is on the list of its deviations" for o in outcomes
              if o.how == PASSED and o.case in DEVIATIONS.get(o.program, ())]
    project.say(f"peers: {len(outcomes)} runs of tests in {seconds:.0f} s")
    report(compared, outcomes, write=not holes)
    for hole in holes:
        project.say(f"HOLE: {hole}")
    counts = ", ".join(f"{compared[name][0]} deviates in {len(DEVIATIONS[name])} tests" +
                       (f" and by luck in {len(LUCK[name])}" if LUCK[name] else "") for name in DEVIATIONS)
    return not holes, f"of {sum(map(len, cases.values()))} tests {counts}" + (f"; {len(holes)} holes" if holes else "")


def report(compared, outcomes, write):
    """The comparison as Markdown: what each file asks for, with the numbers of tests passed, then every deviation. Tests
    that fail by luck are counted apart."""
    heads = [f"{title} {version}".strip() for title, _, version in compared.values()]
    lines = ["| what is asked for | tests | " + " | ".join(heads) + " |", "|---|---|" + "---|" * len(heads)]
    by_adapter = False
    for number in CHAPTERS:
        groups = {}
        for case, (file, title) in subjects(number).items():
            groups.setdefault((file, title), []).append(case)
        for (file, title), names in groups.items():
            own = [o for o in outcomes if o.number == number and o.case in names]
            cells = []
            for name in compared:
                lucky = [case for case in names if case in LUCK.get(name, ())]
                passed = [case for case in names if case not in lucky and
                          all(o.how == PASSED for o in own if (o.program, o.case) == (name, case))]
                cells.append("all" if len(passed) == len(names) else f"**{len(passed)} of {len(names)}**" +
                             (f", and by luck {len(lucky)}" if lucky else ""))
            mark = " ¹" if file in BY_THE_ADAPTER else ""
            by_adapter |= bool(mark)
            lines.append(f"| {number}: {title}{mark} | {len(names)} | {' | '.join(cells)} |")
    if by_adapter:
        lines += ["", "¹ The environment is read by the adapter, which refuses what the contract refuses; HAProxy and nginx "
                  "have no part in the refusals."]
    lines += ["", "| deviation | tests |", "|---|---|"]
    reasons = {}
    for name in DEVIATIONS:
        for case, reason in {**DEVIATIONS[name], **LUCK[name]}.items():
            if case in LUCK[name]:
                own = [o for o in outcomes if (o.program, o.case) == (name, case)]
                failed = sum(o.how != PASSED for o in own)
                project.say(f"peers: {compared[name][0]} failed '{case}' in {failed} of {len(own)} runs")
            luck = " (by luck)" if case in LUCK[name] else ""
            reasons.setdefault((compared[name][0], reason), []).append(case + luck)
    lines += [f"| {title}: {reason} | {'<br>'.join(names)} |" for (title, reason), names in reasons.items()]
    project.say("\n" + "\n".join(lines) + "\n")
    if write:
        TABLE.parent.mkdir(parents=True, exist_ok=True)
        TABLE.write_text("\n".join(lines) + "\n", encoding="utf-8")
