"""The exercises: for every chapter a starter that builds, passes what came before and fails what it is there to learn, a
solution that passes, three hints for each test, and a place in the starter that asks for it.

The starters are made anew, and built together in build/exercises. A starter's code is that of the chapter before, so its
program is mostly the same to the byte; where `scripts/check all` has let the gates judge that program by the same tests a
moment ago, those verdicts are taken and not asked for a second time.
"""
import os
import shutil
import subprocess
import time

import black_box
import gates
import hints
import project
import starter
from black_box import PASSED, TIMED_OUT

BUILD = "exercises"  # beside the presets' build folders


def write_starters(numbers):
    """All starters, as folders of one CMake project, so that Asio and the harness are built once."""
    folder = project.build_folder(BUILD) / "starters"
    names = {number: project.chapters()[number].name for number in numbers}
    for number, name in names.items():
        files = starter.write_starter(number, folder / name)
        for path in (folder / name).iterdir():
            if path.name not in files:
                path.unlink()  # of an earlier run
    lines = ["# Made by scripts/check exercises: the starters, built together.", "cmake_minimum_required(VERSION 3.20)",
             "project(harbor_starters LANGUAGES CXX)", f'add_subdirectory("{project.ROOT}/harness" harness)',
             *(f"add_subdirectory({name})" for name in names.values())]
    text = "\n".join(lines) + "\n"
    cmake = folder / "CMakeLists.txt"
    if not cmake.exists() or cmake.read_text(encoding="utf-8") != text:
        cmake.write_text(text, encoding="utf-8")
    return folder


def build_starters(numbers):
    """Returns the programs by number, and what is wrong with those that do not build."""
    source, build = write_starters(numbers), project.build_folder(BUILD)
    environment = dict(os.environ)
    if shutil.which("ccache"):
        environment.setdefault("CMAKE_CXX_COMPILER_LAUNCHER", "ccache")
    configured = subprocess.run(["cmake", "-S", source, "-B", build, "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release"],
                                env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, text=True, check=False)
    if configured.returncode != 0:
        raise project.Stop(f"{configured.stdout}\nthe starters cannot be configured, see above")
    status, output = project.ninja([f"ch{number}_program" for number in numbers], BUILD, keep_going=True)
    programs = {number: build / project.chapters()[number].name / starter.program_name(number) for number in numbers}
    holes = []
    if status != 0:
        broken = [number for number in numbers if project.ninja([f"ch{number}_program"], BUILD)[0] != 0]
        holes.append(f"the starter of {', '.join(broken)} does not build:\n{output}")
        programs = {number: path for number, path in programs.items() if number not in broken}
    return programs, holes


def text_holes(number, cases):
    """What is missing in the chapter's exercise.md and hints.md, and in the starter that is made of the former."""
    given, places = hints.read_hints(number), starter.read_places(number)
    asked = {case for place in places.values() for case in place.tests}
    tests = "".join(path.read_text(encoding="utf-8") for path in (project.chapters()[number] / "tests").glob("*.cpp"))
    for case in cases:
        if case not in given:
            yield f"hints.md of {number}: no hints for '{case}'"
        if case not in asked:
            yield f"exercise.md of {number}: no place asks for '{case}'"
    for case in sorted({*given, *asked} - set(cases)):
        if f'"{case}"' not in tests:  # it may be there and left out on this machine, which has no IPv6
            yield f"exercise.md or hints.md of {number}: there is no test '{case}'"
    for case, texts in given.items():
        if len(texts) != len(hints.TIERS) or not all(texts) or len(set(texts)) != len(texts):
            yield f"hints.md of {number}: '{case}' has {len(texts)} hints; {len(hints.TIERS)} different ones are wanted"

    previous = starter.before(number)
    files = starter.starter_files(number)
    old = starter.code_of(starter.load(previous)) if previous else {"main.cpp": starter.EMPTY_MAIN}
    for name, text in files.items():
        if name == "CMakeLists.txt":
            continue
        if "//! [" in text:
            yield f"the starter of {number} has a marker of the book left in {name}"
        code = [line for line in gates.code_of(text) if line != "#pragma once" or name in old]
        if code != gates.code_of("\n".join(old.get(name, []))):
            yield f"the starter of {number} differs from the chapter before in more than comments: {name}"
    for place in places.values():
        if not any(f"{starter.MARK} ----- {place.name} -----" in text for text in files.values()):
            yield f"the starter of {number} has no place {place.name}"


def under_name(program, name):
    """The program under another name, beside it."""
    if program.name == name:
        return program
    link = program.with_name(name)
    link.unlink(missing_ok=True)
    os.link(program, link)
    return link


def runs_of(number, numbers, cases, program):
    """What is to be run for one chapter: (column, number of the tests, case, program, must it pass)."""
    for earlier in numbers:
        if earlier < number and program:
            # The starter is what the chapter before has made: for chapter 02 that is an echo server, and goes by that name.
            as_before = under_name(program, starter.program_name(starter.before(number)))
            yield from (("earlier", earlier, case, as_before, True) for case in cases[earlier])
    if program:
        yield from (("own", number, case, program, False) for case in cases[number])
    yield from (("solution", number, case, project.program_of(number), True) for case in cases[number])


def judge_all(numbers, cases, programs, jobs):
    """All runs; the program of an outcome is the chapter and the column of the table that it counts for."""
    work = []
    for chapter in numbers:
        for column, number, case, program, must_pass in runs_of(chapter, numbers, cases, programs.get(chapter)):
            executable = project.tests_of(number)
            patience, limit = (None, 180) if must_pass else (gates.SHORT_PATIENCE, gates.SHORT_LIMIT)
            work.append((number, case, (chapter, column), lambda executable=executable, case=case, program=program,
                         patience=patience, limit=limit: black_box.judge(executable, case, program, patience, limit)))
    # Those that fail wait the longest, so they go first and the short ones fill the gaps.
    work.sort(key=lambda item: item[2][1] != "own")
    start, known = time.monotonic(), len(black_box.KNOWN)
    outcomes = black_box.Pool(jobs).run(work, "exercises")
    project.say(f"exercises: {len(outcomes)} verdicts in {time.monotonic() - start:.0f} s; "
                f"{len(outcomes) - len(black_box.KNOWN) + known} of them were known, of the same program")
    return outcomes


def verdicts(chapter, outcomes):
    """The cells of a chapter's row that tests have to fill, and the holes."""
    cells, holes = [], []
    for column, must_pass in (("earlier", True), ("own", False), ("solution", True)):
        text, wrong = gates.summarise([o for o in outcomes if o.program == (chapter, column)], must_pass)
        cells.append(text)
        for outcome in wrong:
            what = "the solution" if column == "solution" else "the starter"
            ended = "passes" if outcome.how == PASSED else "ends by time-out" if outcome.how == TIMED_OUT else "fails"
            said = "" if outcome.how == PASSED else ":\n" + outcome.output.strip()[-3000:]
            holes.append(f"{what} of {chapter} {ended} test '{outcome.case}' of {outcome.number}{said}")
    return cells, holes


def coverage(chapter, cases):
    """The cells about hints and places."""
    given = hints.read_hints(chapter)
    asked = {case for place in starter.read_places(chapter).values() for case in place.tests}
    complete = sum(len(given.get(case, [])) == len(hints.TIERS) for case in cases)
    return [f"{len(hints.TIERS)} for each of {complete}" if complete == len(cases) else
            f"HOLE: {len(cases) - complete} lack some", f"{sum(case in asked for case in cases)} of {len(cases)}"]


def check_exercises(arguments):
    start = time.monotonic()
    numbers = list(project.chapters())
    project.build(*(f"ch{number}_{what}" for number in numbers for what in ("program", "tests")))
    cases = {number: black_box.list_cases(project.tests_of(number)) for number in numbers}
    programs, holes = build_starters(numbers)
    project.say(f"exercises: built in {time.monotonic() - start:.0f} s")
    outcomes = judge_all(numbers, cases, programs, arguments.jobs)

    rows = [["", "starter", "earlier tests", "its own tests", "the solution", "hints", "asked for"]]
    for chapter in numbers:
        cells, found = verdicts(chapter, outcomes)
        rows.append([project.chapters()[chapter].name, "builds" if chapter in programs else "HOLE", *cells,
                     *coverage(chapter, cases[chapter])])
        holes += [*found, *text_holes(chapter, cases[chapter])]
    widths = [max(len(row[index]) for row in rows) for index in range(len(rows[0]))]
    project.say()
    for row in rows:
        project.say("  " + "  ".join(text.ljust(size) for text, size in zip(row, widths)).rstrip())
    project.say()
    for hole in holes:
        project.say(f"HOLE: {hole}")
    return not holes, f"{len(numbers)} chapters" if not holes else f"{len(holes)} holes, listed above"
