"""Harbor with system calls that go wrong: a preloaded library (harbor/tests/faults_preload) spoils them, from a seed.

Three parts. A driver (harbor/tests/black_box_faults.cpp) runs a hundred seeds and looks at every byte, at the
descriptors and at the sums of the counters. All black-box tests run with faults of the kind that nobody may notice, and
have to pass. And they run with faults of all kinds: there a test may fail, because a connection was broken off, but the
program may not crash, end or hang. (Under the sanitizers the driver runs with `scripts/check sanitizers`, a few fresh
seeds each time: what leaks is found there.)
"""
import os
import random
import re
import subprocess

import project
from black_box import FAILED, PASSED, TIMED_OUT, Pool, list_cases, run_case

DRIVER = "a fault *"
SEEDS_AT_A_TIME = 10
# What nobody may notice, and no rarer than in a storm.
UNNOTICED = "kind=unnoticed,rate=0.1"
# Without the calls that a start makes: where it ends with a reason, which is right, a test sees nothing of the rest.
# (The driver spoils those too.)
ALL = "kind=all,rate=0.03,calls=accept+connect+epoll_wait+pipe2+pipe_size+recv+send+splice_in+splice_out"
# The words with which the harness says that the program, and not a connection, has come to an end.
ENDED = re.compile(r"ended by itself during the test|printed a sanitizer report|a sanitizer reported|killed by SIG"
                   r"|terminate called|but still runs after")


def tests():
    return project.build_folder() / "harbor" / "harbor_tests"


def run_driver(first, count):
    environment = dict(os.environ, HARBOR_FAULT_SEEDS=f"{first}+{count}",
                       HARBOR_UNDER_TEST=str(project.program_of("harbor")))
    try:
        result = subprocess.run([tests(), DRIVER], env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, text=True, errors="replace", check=False, timeout=900)
    except subprocess.TimeoutExpired as expired:
        return TIMED_OUT, f"{expired.stdout or ''}\nseeds {first}+{count}: no end after {expired.timeout:.0f} s"
    # A pattern that matches no test case is no failure for Catch2, but it has tried nothing.
    ran = result.returncode == 0 and "All tests passed" in result.stdout
    return (PASSED if ran else FAILED), result.stdout


def driver(first, seeds, pool):
    """Runs the seeds; returns what failed and how often each kind of call was spoilt, and made."""
    work = []
    for at in range(0, seeds, SEEDS_AT_A_TIME):
        count = min(SEEDS_AT_A_TIME, seeds - at)
        work.append(("driver", f"seeds {first + at}+{count}", "harbor",
                     lambda at=at, count=count: run_driver(first + at, count)))
    outcomes = pool.run(work, "faults")
    counts = {}
    for outcome in outcomes:
        for name, spoilt, made in re.findall(r"^faults: (\w+) (\d+) of (\d+)$", outcome.output, re.MULTILINE):
            before = counts.get(name, (0, 0))
            counts[name] = (before[0] + int(spoilt), before[1] + int(made))
    return [outcome for outcome in outcomes if outcome.how != PASSED], counts


def wrapper(kind, seed):
    """A program to put under test: harbor, with the faults around it."""
    folder = project.build_folder() / "faults" / kind.split(",")[0].split("=")[1]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "harbor"
    library = project.build_folder() / "harbor" / "libharbor_faults.so"
    path.write_text(f"#!/bin/sh\nLD_PRELOAD={library} HARBOR_FAULTS=seed={seed},{kind} "
                    f"exec {project.program_of('harbor')} \"$@\"\n", encoding="utf-8")
    path.chmod(0o755)
    return path


def suite(kind, seed, pool, judge):
    """Every black-box test of the chapters, and of harbor, on harbor with faults.

    Returns how many there were, how many of them passed, and those that `judge` rejects.
    """
    program = wrapper(kind, seed)
    work = []
    executables = {number: project.tests_of(number) for number in project.chapters()}
    for number, executable in {**executables, "harbor": tests()}.items():
        for case in list_cases(executable):
            if not case.startswith("a fault "):  # these preload the library themselves
                work.append((number, f"{number}: {case}", "harbor",
                             lambda executable=executable, case=case: run_case(executable, case, program)))
    outcomes = pool.run(work, f"all tests, {kind}")
    passed = sum(outcome.how == PASSED for outcome in outcomes)
    return len(outcomes), passed, [outcome for outcome in outcomes if not judge(outcome)]


def survived(outcome):
    return outcome.how != TIMED_OUT and not ENDED.search(outcome.output)


def check_faults(arguments):
    """The driver with so many seeds, then every black-box test twice."""
    seeds = arguments.runs or 100
    first = arguments.seed if arguments.seed is not None else random.SystemRandom().randrange(1_000_000_000)
    project.build("harbor_program", "harbor_faults", "harbor_tests", *(f"ch{n}_tests" for n in project.chapters()))
    project.say(f"faults: scripts/check faults {seeds} --seed {first} repeats this")
    pool = Pool(arguments.jobs or 4)

    failed, counts = driver(first, seeds, pool)
    for name, (spoilt, made) in sorted(counts.items()):
        project.say(f"  {name:<13} {spoilt:>7} of {made:>8} calls spoilt")
    # A hundred seeds get at every kind of call, or the library does not do what it is for.
    never = [name for name, (spoilt, _) in counts.items() if spoilt == 0] if seeds >= 100 else []
    if never:
        project.say(f"faults: not a single one of these calls was spoilt: {', '.join(never)}")
    total, _, noticed = suite(UNNOTICED, first, pool, lambda outcome: outcome.how == PASSED)
    _, passed, ended = suite(ALL, first, pool, survived)

    for outcome in [*failed, *noticed, *ended]:
        project.say(f"\n{outcome.case}: {outcome.how}\n{outcome.output[-6000:]}")
    spoilt = sum(spoilt for spoilt, _ in counts.values())
    text = (f"{seeds} seeds, {spoilt} calls spoilt, {len(failed)} failures; of {total} tests {len(noticed)} noticed "
            f"what nobody may notice; with all faults {passed} passed, and the program ended or hung in {len(ended)}")
    return not failed and not never and not noticed and not ended, text
