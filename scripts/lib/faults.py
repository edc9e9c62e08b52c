"""Harbor with system calls that go wrong: a preloaded library (harbor/tests/faults_preload) spoils them, from a seed.

Three parts. A driver (harbor/tests/black_box_faults.cpp) runs hundreds of seeds and looks at every byte, with the release
build and with AddressSanitizer. All black-box tests run with faults of the kind that nobody may notice, and have to pass.
And they run with faults of all kinds: there a test may fail, because a connection was broken off, but the program may not
crash, end, hang, or make a sanitizer speak.
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
ALL = "kind=all,rate=0.03"
# The words with which the harness says that the program, and not a connection, has come to an end.
ENDED = re.compile(r"ended by itself during the test|printed a sanitizer report|a sanitizer reported|killed by SIG"
                   r"|terminate called|Sanitizer: |runtime error: |but still runs after")


def tests(preset):
    return project.build_folder(preset) / "harbor" / "harbor_tests"


def sanitizer_options():
    """Those of the test presets, for programs that are started without ctest."""
    return {"ASAN_OPTIONS": "detect_leaks=1:strict_string_checks=1:check_initialization_order=1",
            "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1", "HARBOR_PATIENCE": "3"}


def run_driver(preset, first, count):
    environment = dict(os.environ, HARBOR_FAULT_SEEDS=f"{first}+{count}")
    if preset != "release":
        environment.update(sanitizer_options())
    try:
        result = subprocess.run([tests(preset), DRIVER], env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, text=True, errors="replace", check=False, timeout=900)
    except subprocess.TimeoutExpired as expired:
        return TIMED_OUT, f"{expired.stdout or ''}\nseeds {first}+{count}: no end after {expired.timeout:.0f} s"
    return (PASSED if result.returncode == 0 else FAILED), result.stdout


def driver(first, seeds, pool):
    """Runs the seeds; returns what failed and how often each kind of call was made, and spoilt."""
    work = []
    for preset, part in (("release", seeds), ("asan", max(1, seeds // 5))):
        for at in range(0, part, SEEDS_AT_A_TIME):
            count = min(SEEDS_AT_A_TIME, part - at)
            work.append((preset, f"seeds {first + at}+{count} with {preset}", preset,
                         lambda preset=preset, at=at, count=count: run_driver(preset, first + at, count)))
    outcomes = pool.run(work, "faults")
    counts = {}
    for outcome in outcomes:
        for name, spoilt, made in re.findall(r"^faults: (\w+) (\d+) of (\d+)$", outcome.output, re.MULTILINE):
            before = counts.get(name, (0, 0))
            counts[name] = (before[0] + int(spoilt), before[1] + int(made))
    return [outcome for outcome in outcomes if outcome.how != PASSED], counts


def wrapper(kind, seed, preset="release"):
    """A program to put under test: harbor, with the faults around it."""
    folder = project.build_folder(preset) / "faults" / kind.split(",")[0].split("=")[1]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "harbor"
    library = project.build_folder(preset) / "harbor" / "libharbor_faults.so"
    path.write_text(f"#!/bin/sh\nLD_PRELOAD={library} HARBOR_FAULTS=seed={seed},{kind} "
                    f"exec {project.program_of('harbor', preset)} \"$@\"\n", encoding="utf-8")
    path.chmod(0o755)
    return path


def suite(kind, seed, pool, judge, patience=None):
    """Every black-box test of the chapters, and of harbor, on harbor with faults; returns those that `judge` rejects."""
    program = wrapper(kind, seed)
    work = []
    for number, executable in [*((n, project.tests_of(n)) for n in project.chapters()), ("harbor", tests("release"))]:
        for case in list_cases(executable):
            if not case.startswith("a fault "):  # these preload the library themselves
                work.append((number, f"{number}: {case}", "harbor",
                             lambda executable=executable, case=case: run_case(executable, case, program, patience)))
    outcomes = pool.run(work, f"all tests, {kind}")
    return len(outcomes), [outcome for outcome in outcomes if not judge(outcome)]


def survived(outcome):
    return outcome.how != TIMED_OUT and not ENDED.search(outcome.output)


def check_faults(arguments):
    seeds = arguments.amount or 100
    first = arguments.seed if arguments.seed is not None else random.randrange(1_000_000_000)
    project.build()
    project.build("harbor_tests", "harbor_program", preset="asan")
    project.say(f"faults: seeds {first} to {first + seeds - 1}; scripts/check faults {seeds} --seed {first} repeats this")
    pool = Pool(arguments.jobs)

    failed, counts = driver(first, seeds, pool)
    for name, (spoilt, made) in sorted(counts.items()):
        project.say(f"  {name:<13} {spoilt:>7} of {made:>8} calls spoilt")
    never = [name for name, (spoilt, _) in counts.items() if spoilt == 0]
    harmless, noticed = suite(UNNOTICED, first, pool, lambda outcome: outcome.how == PASSED)
    harmful, ended = suite(ALL, first, pool, survived, patience=0.3)

    for outcome in [*failed, *noticed, *ended]:
        project.say(f"\n{outcome.case}: {outcome.how}\n{outcome.output[-6000:]}")
    if never and seeds >= 100:
        project.say(f"faults: not a single one of these calls was spoilt: {', '.join(never)}")
        failed.append(never)
    total = sum(spoilt for spoilt, _ in counts.values())
    return (not failed and not noticed and not ended,
            f"{seeds} seeds, {total} calls spoilt, {len(failed)} failures; of {harmless} tests {len(noticed)} noticed what "
            f"nobody may notice; in {harmful} tests the program ended, hung or crashed {len(ended)} times")
