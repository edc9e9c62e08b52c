"""Mutants: programs with one safeguard removed or one mistake put in. They test the tests.

Each is a file harness/mutants/NAME.patch: what the mistake is, which tests it must fail, and the patch against one chapter.

    The first end of stream closes both directions.

    Fails: the late answer of a backend reaches a client that has half-closed
    Fails too: a slow reader gets all of an answer whose backend has closed long ago
    Because: the client is closed together with the backend, with bytes still to be written.

    --- a/chapters/02_tcp_proxy/relay.cpp
    +++ b/chapters/02_tcp_proxy/relay.cpp
    @@ -1,2 +1,3 @@
    …

`Fails` names the tests that are there for this mistake, `Fails too` those that fail along with them, with the reason, and
`May fail` those for which it is luck. `Fails in unit_NAME.cpp` names a unit test, for what cannot be seen from outside.
`Under: ThreadSanitizer` builds the program that way and runs only the tests it names: the mistake is a data race, and
whether a race does any harm in one run is luck, while the sanitizer sees it whenever it is possible.

`patch -p1` understands these files too; here they are applied by content and not by line numbers. The lines that go, with
their context, must be found in the chapter exactly once, whatever has been added above them; lines that only mark a snippet
for the book (`//! [ch02:relay]`) are looked through.
"""
import concurrent.futures
import json
import os
import platform
import re
import shlex
import shutil
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

import project
from black_box import PASSED, TIMED_OUT, Pool, list_cases, run_case
from gates import SHORT_LIMIT, SHORT_PATIENCE

FOLDER = project.ROOT / "harness" / "mutants"
TABLE = project.ROOT / "docs" / "generated" / "mutants.md"  # the book shows it
JOBS = 8
MARKER = re.compile(r"\s*//! \[[\w:.-]+\]\s*")
SANITIZERS = {"ThreadSanitizer": "tsan"}  # by the name in the file, the preset


@dataclass
class Hunk:
    old: list
    new: list


@dataclass
class Mutant:
    name: str
    what: str = ""
    chapter: str = ""
    fails: list = field(default_factory=list)  # black-box tests
    fails_too: dict = field(default_factory=dict)  # black-box tests, with the reason
    may_fail: dict = field(default_factory=dict)
    units: list = field(default_factory=list)  # (file, test)
    preset: str = "release"
    hunks: dict = field(default_factory=dict)  # by the name of the file in the chapter

    @property
    def must_fail(self):
        return [*self.fails, *self.fails_too]


# -------------------------------------------------------------------------------------------------- reading the files


def parse(name, text):
    """The mutant that a file describes. Raises Stop, naming the file, when it is not one."""
    mutant = Mutant(name)

    def wrong(why):
        return project.Stop(f"harness/mutants/{name}.patch: {why}")

    start = re.search(r"^--- ", text, re.MULTILINE)
    if start is None:
        raise wrong("there is no patch in it")
    description, _, header = text[:start.start()].partition("\n\n")
    mutant.what = " ".join(description.split())
    waiting = []  # tests whose reason is still to come
    for number, line in enumerate(header.splitlines(), description.count("\n") + 3):
        key, colon, value = (part.strip() for part in line.partition(": "))
        unit = re.fullmatch(r"Fails in (unit_\w+\.cpp)", key)
        if not line.strip():
            continue
        if not colon or not value:
            raise wrong(f"line {number} is no `Key: value`: {line}")
        if key == "Fails":
            mutant.fails.append(value)
        elif unit:
            mutant.units.append((unit[1], value))
        elif key in ("Fails too", "May fail"):
            waiting.append((mutant.fails_too if key == "Fails too" else mutant.may_fail, value))
        elif key == "Because" and waiting:
            for tests, test in waiting:
                tests[test] = value
            waiting = []
        elif key == "Under" and value in SANITIZERS:
            mutant.preset = SANITIZERS[value]
        else:
            raise wrong(f"line {number} is not understood: {line}")
    if waiting:
        raise wrong(f"no `Because:` for '{waiting[0][1]}'")
    if not mutant.what or not (mutant.fails or mutant.units):
        raise wrong("it must say what the mistake is, and name a test that it fails")
    named = [*mutant.must_fail, *mutant.may_fail, *(test for _, test in mutant.units)]
    if len(set(named)) != len(named):
        raise wrong("a test is named twice")

    mutant.chapter, mutant.hunks = parse_patch(text[start.start():], wrong)
    return mutant


def parse_patch(text, wrong):
    chapter, hunks, current = "", {}, None
    for line in text.splitlines():
        target = re.fullmatch(r"\+\+\+ b/chapters/(\d\d)_\w+/(\w+\.[ch]pp)(\t.*)?", line)
        if target:
            if chapter not in ("", target[1]):
                raise wrong("it changes two chapters")
            chapter, current = target[1], hunks.setdefault(target[2], [])
        elif line.startswith("--- "):
            current = None
        elif line.startswith("@@") and current is not None:
            current.append(Hunk([], []))
        elif current and line[:1] in (" ", "-", "+", ""):  # some editors strip the blank of an empty context line
            if line[:1] != "+":
                current[-1].old.append(line[1:])
            if line[:1] != "-":
                current[-1].new.append(line[1:])
        else:
            raise wrong(f"this line of the patch is not understood: {line}")
    if not any(hunks.values()):
        raise wrong("the patch changes no file of a chapter")
    return chapter, hunks


def apply(text, hunks, where):
    """The text with the hunks applied, each at the one place where its old lines stand. Markers are dropped."""
    lines = [line for line in text.splitlines() if not MARKER.fullmatch(line)]
    for number, hunk in enumerate(hunks, 1):
        places = [i for i in range(len(lines) - len(hunk.old) + 1) if lines[i:i + len(hunk.old)] == hunk.old]
        if len(places) != 1 or not hunk.old:
            found = "are not there" if not places else f"are there {len(places)} times"
            raise project.Stop(f"{where}: the lines that hunk {number} replaces {found}:\n" +
                               "\n".join(f"    {line}" for line in hunk.old))
        lines[places[0]:places[0] + len(hunk.old)] = hunk.new
    return "\n".join(lines) + "\n"


def load(only):
    mutants = [parse(path.stem, path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("*.patch"))]
    chosen = sorted((mutant for mutant in mutants if re.search(only or "", mutant.name)), key=lambda m: (m.chapter, m.name))
    if not chosen:
        raise project.Stop(f"no mutant in {FOLDER} matches '{only or ''}'")
    return chosen


# ---------------------------------------------------------------------------------------------------------- building


def includes(folder):
    """Which of the folder's files each of them includes, directly or not; itself among them."""
    direct = {path.name: set(re.findall(r'^#include "(\w+\.hpp)"', path.read_text(encoding="utf-8"), re.MULTILINE))
              for path in folder.iterdir() if path.suffix in (".cpp", ".hpp")}

    def reach(name, seen):
        if name in direct and name not in seen:
            seen.add(name)
            for other in direct[name]:
                reach(other, seen)
        return seen

    return {name: reach(name, set()) for name in direct}


class Builder:
    """Builds mutants out of what is built already: only what a patch changes is compiled anew, into build/mutants/NAME."""

    def __init__(self, preset):
        self.folder = project.build_folder(preset)
        self.commands = {}  # by the object file
        for entry in json.loads((self.folder / "compile_commands.json").read_text(encoding="utf-8")):
            command = shlex.split(entry["command"])
            self.commands[command[command.index("-o") + 1]] = command
        self.ccache = ["ccache"] if shutil.which("ccache") else []

    def link_command(self, target):
        lines = subprocess.run(["ninja", "-C", self.folder, "-t", "commands", target], stdout=subprocess.PIPE, text=True,
                               check=True).stdout.splitlines()
        words = shlex.split(lines[-1])  # CMake's ": && command && : or what is to be done after it"
        return words[words.index("&&") + 1:words.index("&&", words.index("&&") + 1)]

    def run(self, command, mutant):
        result = subprocess.run(command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, text=True, errors="replace", check=False)
        if result.returncode != 0:
            raise project.Stop(f"harness/mutants/{mutant.name}.patch does not build:\n{shlex.join(command)}\n{result.stdout}")

    def build(self, mutant):
        """The paths of the program and, if unit tests are named, of a test executable made of their files."""
        chapter = project.chapters()[mutant.chapter]
        home = project.ROOT / "build" / "mutants" / mutant.name
        source = home / "src"
        shutil.rmtree(home, ignore_errors=True)
        source.mkdir(parents=True)
        for path in chapter.iterdir():
            if path.suffix in (".cpp", ".hpp"):
                shutil.copy(path, source)
        for name, hunks in mutant.hunks.items():
            where = f"harness/mutants/{mutant.name}.patch on {chapter.name}/{name}"
            if not (source / name).exists():
                raise project.Stop(f"{where}: there is no such file")
            (source / name).write_text(apply((source / name).read_text(encoding="utf-8"), hunks, where), encoding="utf-8")

        replaced = {}  # object files of the chapter that are compiled anew, and what stands in for them
        reached = includes(source)
        prefix = f"ch{mutant.chapter}"
        units = sorted({file for file, _ in mutant.units})
        for target, path, must in [
                *((f"{prefix}_code", path, False) for path in sorted(source.glob("*.cpp"))),
                (f"{prefix}_program", source / "main.cpp", False),
                *((f"{prefix}_unit_tests", chapter / "tests" / file, True) for file in units)]:
            within = f"tests/{path.name}" if must else path.name
            original = f"chapters/{chapter.name}/CMakeFiles/{target}.dir/{within}.o"
            if original in self.commands and (must or reached[path.name] & set(mutant.hunks)):
                replaced[original] = home / f"{target}-{path.name}.o"
                words = {str(chapter / path.name): str(path), f"-I{chapter}": f"-I{source}", original: str(replaced[original])}
                # -w: what a mistake leaves unused is part of the mistake.
                self.run([*self.ccache, *(words.get(word, word) for word in self.commands[original]), "-w"], mutant)

        def link(target, output, keep):
            command = [str(replaced.get(word, word)) for word in self.link_command(target) if keep(word)]
            command[command.index("-o") + 1] = str(output)
            self.run(command, mutant)
            return output

        program = link(f"{prefix}_program", home / project.program_of(mutant.chapter).name, lambda word: True)
        if not units:
            return program, None
        others = f"{prefix}_unit_tests.dir/tests/"
        return program, link(f"{prefix}_unit_tests", home / "unit_tests",
                             lambda word: others not in word or Path(word).name[:-2] in units)


def build_all(mutants):
    """Everything the run needs; returns the programs by the mutants' names, and how long it took."""
    start = time.monotonic()
    chapters = sorted({mutant.chapter for mutant in mutants})
    project.build(*(f"ch{chapter}_tests" for chapter in chapters),
                  *(f"ch{mutant.chapter}_unit_tests" for mutant in mutants if mutant.units))
    for preset in {mutant.preset for mutant in mutants} - {"release"}:
        project.build(*(f"ch{m.chapter}_program" for m in mutants if m.preset == preset), preset=preset)
    builders = {preset: Builder(preset) for preset in {mutant.preset for mutant in mutants}}

    progress = project.Progress()
    programs = {}
    workers = int(os.environ.get("CMAKE_BUILD_PARALLEL_LEVEL") or os.cpu_count() or 1)
    with concurrent.futures.ThreadPoolExecutor(workers) as threads:
        pending = {threads.submit(builders[mutant.preset].build, mutant): mutant for mutant in mutants}
        try:
            for done in concurrent.futures.as_completed(pending):
                programs[pending[done].name] = done.result()
                progress.show(f"building mutants: {len(programs)} of {len(pending)}")
        except BaseException:
            threads.shutdown(cancel_futures=True)
            raise
    progress.clear()
    return programs, time.monotonic() - start


# ----------------------------------------------------------------------------------------------------------- judging


def without_randomised_addresses():
    """ThreadSanitizer before GCC 14 cannot map its shadow where the kernel randomises addresses by more than 28 bits."""
    bits = Path("/proc/sys/vm/mmap_rnd_bits")
    if not bits.exists() or int(bits.read_text()) <= 28:
        return []
    return ["setarch", platform.machine(), "--addr-no-randomize"]


def runner(executable, case, program, preset, hurry):
    """A function that runs one case. Who is expected to fail is not waited for as long as the others."""
    if preset == "tsan":
        return lambda: run_case(executable, case, program, prefix=without_randomised_addresses(),
                                environment={"TSAN_OPTIONS": "halt_on_error=1:second_deadlock_stack=1"})
    if hurry:
        return lambda: run_case(executable, case, program, SHORT_PATIENCE, SHORT_LIMIT)
    return lambda: run_case(executable, case, program)


def plan(mutants, programs, cases):
    """What is to be run. The chapters' own programs go first, on every test that a mutant is to fail and with as little
    patience: that it is the mutation that makes them fail is shown by their passing without it."""
    control = {}
    for mutant in mutants:
        for case in [*mutant.must_fail, *mutant.may_fail]:
            control[mutant.chapter, mutant.preset, case] = None
    work = [(chapter, case, "(none)", runner(project.tests_of(chapter), case, project.program_of(chapter, preset), preset, True))
            for chapter, preset, case in control]
    slow, quick = [], []
    for mutant in mutants:
        program, unit_tests = programs[mutant.name]
        for case in cases[mutant.chapter]:
            hurry = case in mutant.must_fail or case in mutant.may_fail
            if hurry or mutant.preset == "release":
                (slow if hurry else quick).append((mutant.chapter, case, mutant.name, runner(
                    project.tests_of(mutant.chapter), case, program, mutant.preset, hurry)))
        for _, case in mutant.units:
            quick.append((mutant.chapter, case, mutant.name, runner(unit_tests, case, None, "release", True)))
    return work + slow + quick  # those that fail wait the longest; the short ones fill the gaps


def unexpected(outcome, mutants):
    """Does it fail although it should pass, or pass although it should fail? `mutants` are by name."""
    mutant = mutants.get(outcome.program)
    if mutant is None:
        return outcome.how != PASSED  # a chapter's own program
    must = [*mutant.must_fail, *(case for _, case in mutant.units)]
    return outcome.how == PASSED if outcome.case in must else outcome.how != PASSED and outcome.case not in mutant.may_fail


def run_all(work, mutants, jobs):
    """Runs everything, and what came out unexpectedly once more, when nothing else of ours is running: a program that spins
    uses little of a processor that it shares with seven others, and some waits are shortened. What is unexpected twice
    counts. (That tests pass again and again on a busy machine is for scripts/check flakes.)"""
    functions = {(number, case, program): function for number, case, program, function in work}
    outcomes = Pool(jobs).run(work, "mutants")
    doubtful = [o for o in outcomes if unexpected(o, mutants)]
    if not doubtful or len(doubtful) > len(outcomes) // 10:
        return outcomes  # so many are no accident
    again = Pool(1).run([(o.number, o.case, o.program, functions[o.number, o.case, o.program]) for o in doubtful], "once more")
    for outcome in again:
        if not unexpected(outcome, mutants):
            project.say(f"mutants: as expected only when run alone: '{outcome.case}' on {outcome.program}")
    return [o for o in outcomes if o not in doubtful] + again


def judge(mutant, outcomes):
    """What is wrong with the outcomes of one mutant, as texts."""
    how = {outcome.case: outcome for outcome in outcomes}
    units = [case for _, case in mutant.units]
    for case in [*mutant.must_fail, *units]:
        if how[case].how == PASSED:
            yield f"'{case}' passes"
    for case, outcome in how.items():
        if outcome.how != PASSED and case not in [*mutant.must_fail, *mutant.may_fail, *units]:
            lines = "\n".join("    " + line for line in outcome.output.strip().splitlines()[:40])
            yield f"'{case}' {'times out' if outcome.how == TIMED_OUT else 'fails'} and is not named; it says:\n{lines}"


def leave_out_what_is_not_here(mutant, cases):
    """Some tests exist only on some machines (those of IPv6): their names are in the sources and not in the list of cases.
    A name that is in neither is a mistake."""
    sources = "".join(path.read_text(encoding="utf-8")
                      for path in (project.chapters()[mutant.chapter] / "tests").glob("black_box_*.cpp"))
    for tests in (mutant.fails, mutant.fails_too, mutant.may_fail):
        for case in [case for case in tests if case not in cases]:
            if f'"{case}"' not in sources:
                raise project.Stop(f"harness/mutants/{mutant.name}.patch: chapter {mutant.chapter} has no test '{case}'")
            if tests is mutant.fails:
                tests.remove(case)
            else:
                del tests[case]


def check_mutants(arguments):
    mutants = load(arguments.only)
    programs, seconds = build_all(mutants)
    cases = {chapter: list_cases(project.tests_of(chapter)) for chapter in {mutant.chapter for mutant in mutants}}
    for mutant in mutants:
        leave_out_what_is_not_here(mutant, cases[mutant.chapter])
    project.say(f"mutants: {len(mutants)} built in {seconds:.0f} s")

    start = time.monotonic()
    outcomes = run_all(plan(mutants, programs, cases), {mutant.name: mutant for mutant in mutants}, arguments.jobs or JOBS)
    project.say(f"mutants: {len(outcomes)} runs of tests in {time.monotonic() - start:.0f} s\n")
    wrong = [f"without any mutant, tests {o.number}, '{o.case}' fails too:\n{o.output}"
             for o in outcomes if o.program == "(none)" and o.how != PASSED]
    dead = 0
    rows = []
    for mutant in mutants:
        own = [outcome for outcome in outcomes if outcome.program == mutant.name]
        failed = {outcome.case for outcome in own if outcome.how != PASSED}
        dead += bool(failed)
        wrong += [f"{mutant.name}: {text}" for text in judge(mutant, own)]
        killers = [case for case in [*mutant.fails, *(test for _, test in mutant.units)] if case in failed]
        rows.append((mutant, killers, len(failed) - len(killers)))
    report(rows, write=not wrong and not arguments.only)
    for text in wrong:
        project.say(f"HOLE: {text}")
    alive = len(mutants) - dead
    return not wrong, (f"{dead} of {len(mutants)} mutants are dead" + (f", {alive} alive" if alive else "") +
                       (f"; {len(wrong)} holes, listed above" if wrong else ""))


def report(rows, write):
    """The table, on the terminal and, if all is as it should be, as Markdown for the book. There the tests that fail by luck
    are not counted, so that it changes only when the mutants or the tests do."""
    width = max(len(mutant.name) for mutant, _, _ in rows)
    project.say(f"  chapter  {'mutant':<{width}}  killed by")
    text = ["| chapter | mutant | the mistake | killed by |", "|---|---|---|---|"]
    for mutant, killers, others in rows:
        lines = list(killers) or ["ALIVE" if not others else "none of the tests that are there for it"]
        under = ["(under ThreadSanitizer)"] if mutant.preset == "tsan" else []
        project.say(f"  {mutant.chapter:<7}  {mutant.name:<{width}}  {lines[0]}")
        for line in [*lines[1:], *under, *([f"(and {others} more)"] if others else [])]:
            project.say(f"  {'':<7}  {'':<{width}}  {line}")
        also = [f"(and {len(mutant.fails_too)} more)"] if mutant.fails_too else []
        text.append(f"| {mutant.chapter} | `{mutant.name}` | {mutant.what} | {'<br>'.join([*lines, *under, *also])} |")
    project.say()
    if write:
        TABLE.parent.mkdir(parents=True, exist_ok=True)
        TABLE.write_text("\n".join(text) + "\n", encoding="utf-8")
