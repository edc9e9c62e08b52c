"""Runs the fuzz targets (harbor/fuzz): each for so many seconds, from the corpora that are kept in the repository.

What a run has found to be new goes to build/fuzz/corpus, and the next run on this machine goes on from there. To take
what is worth keeping into the repository:

  build/fuzz/harbor/fuzz/fuzz_NAME -merge=1 harbor/fuzz/corpus/NAME build/fuzz/corpus/NAME

A finding is a file, in build/fuzz/findings. The check says which, and the command that plays it again.
"""
import os
import re
import shutil
import subprocess

import project
from black_box import FAILED, PASSED, Pool

# The longest input that makes sense for each.
TARGETS = {"config": 512, "options": 512, "metrics": 256, "admin": 12288, "session": 256}
COMPILER = "clang++-19"  # the one of the preset


def executable(name):
    return project.build_folder("fuzz") / "harbor" / "fuzz" / f"fuzz_{name}"


def run_target(name, seconds):
    folder = project.build_folder("fuzz")
    new = folder / "corpus" / name
    findings = folder / "findings"
    for path in (new, findings):
        path.mkdir(parents=True, exist_ok=True)
    source = project.ROOT / "harbor" / "fuzz"
    # A single input takes milliseconds. The limit is for those without an end, not for a machine that is busy.
    command = [executable(name), f"-max_total_time={seconds}", f"-max_len={TARGETS[name]}", "-timeout=60",
               "-rss_limit_mb=2048", "-print_final_stats=1", f"-artifact_prefix={findings}/{name}-"]
    dictionary = source / f"{name}.dict"
    if dictionary.exists():
        command.append(f"-dict={dictionary}")
    environment = dict(os.environ, UBSAN_OPTIONS="print_stacktrace=1")
    result = subprocess.run([*command, new, source / "corpus" / name], env=environment, stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", check=False)
    return (PASSED if result.returncode == 0 else FAILED), result.stdout


def last(pattern, text):
    found = re.findall(pattern, text)
    return int(found[-1]) if found else 0


def check_fuzz(arguments):
    """Every target for so many seconds; a finding fails the check, and so does a target that has tried nothing."""
    if shutil.which(COMPILER) is None:
        raise project.Stop(f"{COMPILER} is not installed; scripts/bootstrap --all installs it")
    seconds = arguments.runs or 60
    only = re.compile(arguments.only or "")
    names = [name for name in TARGETS if only.search(name)]
    if not names:
        raise project.Stop(f"no fuzz target matches '{arguments.only}'; there are {', '.join(TARGETS)}")
    project.build(*(f"fuzz_{name}" for name in names), preset="fuzz")
    # A fuzzer that has to wait for a processor finds nothing.
    pool = Pool(min(arguments.jobs or 2, os.cpu_count() or 1))
    work = [(name, name, name, lambda name=name: run_target(name, seconds)) for name in names]
    outcomes = pool.run(work, f"fuzzing for {seconds} s each")

    inputs, failed = 0, []
    for outcome in sorted(outcomes, key=lambda outcome: names.index(outcome.case)):
        count = last(r"stat::number_of_executed_units: (\d+)", outcome.output)
        inputs += count
        good = outcome.how == PASSED and count > 0
        edges = last(r"cov: (\d+)", outcome.output)
        project.say(f"  fuzz_{outcome.case:<8} {count:>9} inputs, {edges:>5} edges reached, "
                    f"{'no finding' if good else 'FAILED, see below'}")
        if not good:
            failed.append(outcome)
    for outcome in failed:
        project.say(f"\nfuzz_{outcome.case}:\n{outcome.output[-8000:]}")
        for path in re.findall(r"Test unit written to (\S+)", outcome.output):
            project.say(f"to see it again: {executable(outcome.case).relative_to(project.ROOT)} {path}")
    found = ", ".join(outcome.case for outcome in failed) or "none"
    return not failed, f"{len(outcomes)} targets, {seconds} s each, {inputs} inputs, findings: {found}"
