"""Runs the fuzz targets (harbor/fuzz): each for so many seconds, from the corpora that are kept in the repository.

What a run has found to be new goes to build/fuzz/corpus, and the next run on this machine goes on from there. To take what
is worth keeping into the repository: build/fuzz/harbor/fuzz/fuzz_NAME -merge=1 harbor/fuzz/corpus/NAME build/fuzz/corpus/NAME
"""
import os
import re
import subprocess

import project
from black_box import FAILED, PASSED, Pool

# The longest input that makes sense for each.
TARGETS = {"config": 512, "options": 512, "metrics": 256, "admin": 12288, "session": 256}


def run_target(name, seconds):
    folder = project.build_folder("fuzz")
    new = folder / "corpus" / name
    findings = folder / "findings"
    for path in (new, findings):
        path.mkdir(parents=True, exist_ok=True)
    source = project.ROOT / "harbor" / "fuzz"
    command = [folder / "harbor" / "fuzz" / f"fuzz_{name}", f"-max_total_time={seconds}", f"-max_len={TARGETS[name]}",
               "-timeout=30", "-rss_limit_mb=2048", "-print_final_stats=1", f"-artifact_prefix={findings}/{name}-"]
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
    seconds = arguments.amount or 30
    project.build(*(f"fuzz_{name}" for name in TARGETS), preset="fuzz")
    # The machine has few cores, and a fuzzer that has to wait for one finds nothing.
    pool = Pool(min(arguments.jobs, os.cpu_count() or 1))
    only = re.compile(arguments.only or "")
    work = [(name, name, name, lambda name=name: run_target(name, seconds)) for name in TARGETS if only.search(name)]
    outcomes = pool.run(work, f"fuzzing for {seconds} s each")
    inputs = 0
    for outcome in sorted(outcomes, key=lambda outcome: outcome.case):
        count = last(r"stat::number_of_executed_units: (\d+)", outcome.output)
        inputs += count
        project.say(f"  fuzz_{outcome.case:<8} {count:>9} inputs, {last(r'cov: ([0-9]+)', outcome.output):>5} edges reached, "
                    f"{'no finding' if outcome.how == PASSED else 'FOUND SOMETHING'}")
        # A target that cannot even start has tried nothing.
        if outcome.how != PASSED or count == 0:
            project.say(outcome.output[-8000:])
    failed = [outcome.case for outcome in outcomes if outcome.how != PASSED]
    idle = [outcome.case for outcome in outcomes
            if outcome.how == PASSED and last(r"stat::number_of_executed_units: (\d+)", outcome.output) == 0]
    return not failed and not idle, f"{len(outcomes)} targets, {inputs} inputs, findings: {', '.join(failed + idle) or 'none'}"
