"""The references: chapters 02 to 06 once more, in Python, judged by the same black-box tests.

They prove that what the tests ask for is the contract and not C++. Nothing is left out: reference N has to pass every
black-box test of the chapters 01 to N, as chapter N's own program does.
"""
import time

import project
from black_box import PASSED, Pool, list_cases, run_case
from gates import describe_holes, print_table, summarise

JOBS = 8  # they wait for sockets, and for Python to start, more than they compute


def references():
    """The executables by the number of their chapter."""
    found = {path.stem[2:]: path for path in sorted((project.ROOT / "harness" / "reference").glob("ch[0-9][0-9].py"))}
    missing = [number for number in project.chapters() if number != "01" and number not in found]
    if missing:
        raise project.Stop(f"harness/reference has no {', '.join(f'ch{number}.py' for number in missing)}")
    return found


def check_references(arguments):
    programs = references()
    numbers = list(project.chapters())
    project.build(*(f"ch{number}_tests" for number in numbers))
    work = [(number, case, program, lambda executable=project.tests_of(number), case=case, path=path:
             run_case(executable, case, path))
            for program, path in programs.items()
            for number in numbers if number <= program
            for case in list_cases(project.tests_of(number))]

    start = time.monotonic()
    outcomes = Pool(arguments.jobs or JOBS).run(work, "references")
    cells, failed = {}, []
    for program in programs:
        for number in numbers:
            cells[program, number], wrong = summarise(
                [o for o in outcomes if o.program == program and o.number == number], must_pass=True)
            failed += wrong
    print_table(f"the references in Python ({len(outcomes)} runs, {time.monotonic() - start:.0f} s); no test is left out:",
                list(programs), numbers, lambda row, column: cells[row, column])
    for hole in describe_holes(failed, True):
        project.say(f"HOLE: {hole}")
    passed = sum(outcome.how == PASSED for outcome in outcomes)
    return not failed, f"{passed} of {len(outcomes)} runs of the chapters' tests passed on the references"
