"""Runs single black-box test cases against any program, several at a time, and says how each one ended.

A test case is run as a process of its own: one that crashes or hangs takes nothing else with it, and most cases wait for
sockets rather than work, so four at a time keep two cores busy.
"""
import collections
import concurrent.futures
import os
import re
import signal
import subprocess
import sys
import time

import project

# How a case ended.
PASSED, FAILED, TIMED_OUT = "passed", "failed", "timed out"

Outcome = collections.namedtuple("Outcome", "number case program how output seconds")


def list_cases(executable):
    """The names of the test cases in a Catch2 executable."""
    if not executable.exists():
        raise project.Stop(f"{executable} is missing; scripts/test builds it")

    def ask(*arguments):
        return subprocess.run([executable, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, check=False)

    # Catch2 version 2 knows only the first form (and returns how many there are), version 3 only the second.
    result = ask("--list-test-names-only")
    if "Unrecognised token" in result.stderr + result.stdout or not result.stdout.strip():
        result = ask("--list-tests", "--verbosity", "quiet")
    names = [line.strip() for line in result.stdout.splitlines() if line.strip()]
    if not names:
        raise project.Stop(f"{executable} lists no test cases:\n{result.stdout}{result.stderr}")
    return names


def run_case(executable, case, program=None, patience=None, limit=180):
    """Runs one case, for black-box tests against the program; returns how it ended and what it printed."""
    environment = dict(os.environ)
    if program is not None:
        environment["HARBOR_UNDER_TEST"] = str(program)
    if patience is not None:
        environment["HARBOR_PATIENCE"] = str(patience)
    # A session of its own, so that what a hanging test has started can be ended with it.
    with subprocess.Popen([executable, case], env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, errors="replace", start_new_session=True) as process:
        try:
            output, _ = process.communicate(timeout=limit)
        except BaseException as error:
            os.killpg(process.pid, signal.SIGKILL)
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
            output, _ = process.communicate()
            return TIMED_OUT, output
    # "No test cases matched" has the status 0 in Catch2 version 2: a name that cannot be passed on is no pass.
    if process.returncode == 0 and re.search(r"No test(s| cases) (ran|matched)", output):
        return FAILED, output
    return (PASSED if process.returncode == 0 else FAILED), output


class Pool:
    """Runs test cases, so many at a time."""

    def __init__(self, jobs):
        self.jobs = jobs

    def run(self, work, label):
        """work: (number, case, program name, function that returns how it ended and its output)."""
        progress = project.Progress()
        outcomes = []

        def one(number, case, program, function):
            start = time.monotonic()
            how, output = function()
            return Outcome(number, case, program, how, output, time.monotonic() - start)

        with concurrent.futures.ThreadPoolExecutor(self.jobs) as threads:
            pending = [threads.submit(one, *item) for item in work]
            try:
                for done in concurrent.futures.as_completed(pending):
                    outcomes.append(done.result())
                    progress.show(f"{label}: {len(outcomes)} of {len(pending)}")
            except BaseException:
                for item in pending:
                    item.cancel()
                raise
        progress.clear()
        return outcomes


def check_flakes(arguments):
    """Every chapter's black-box tests on its own program and on harbor, many times, while another process burns a core."""
    runs, only = arguments.amount or 50, re.compile(arguments.only or "")
    project.build()
    work = []
    for number in project.chapters():
        executable = project.tests_of(number)
        for case in list_cases(executable):
            for program in (number, "harbor"):
                name = f"{number}: {case} (on {'harbor' if program == 'harbor' else 'its own program'})"
                if only.search(name):
                    path = project.program_of(program)
                    work.append((number, name, program,
                                 lambda executable=executable, case=case, path=path: run_case(executable, case, path)))
    if not work:
        raise project.Stop(f"no test case matches '{arguments.only}'")

    failures = collections.Counter()
    examples = {}
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"], stdin=subprocess.DEVNULL)
    try:
        for run in range(1, runs + 1):
            start = time.monotonic()
            outcomes = Pool(arguments.jobs).run(work, f"run {run} of {runs}")
            bad = [outcome for outcome in outcomes if outcome.how != PASSED]
            for outcome in bad:
                failures[outcome.case] += 1
                examples[outcome.case] = outcome
            project.say(f"run {run:>3} of {runs}: {len(outcomes) - len(bad)} passed, {len(bad)} failed"
                        f" ({time.monotonic() - start:.0f} s){''.join(f', {outcome.case}' for outcome in bad)}")
    finally:
        busy.terminate()
        busy.wait()

    for case, count in failures.most_common():
        project.say(f"\n{count} of {runs} runs failed: {case}; the last time it said:")
        project.say(examples[case].output)
    return not failures, f"{runs} runs of {len(work)} test cases, {sum(failures.values())} failures"
