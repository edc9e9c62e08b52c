"""The gates: the matrix of which chapter's tests pass on which program, and how large the steps of the ladder are.

A test that passes on the chapter before its own teaches nothing, and a chapter that breaks an earlier test takes away what
was learned. Both are invisible to ctest, which runs each test on one program; so here every test of chapters 1 to N runs
on chapter N's program, and every test of N also on that of N-1, where it has to fail. The same goes for unit tests, which
are compiled against the other chapter's code: there, not compiling is the usual way to fail.
"""
import re
import shlex
import subprocess
import tempfile
import time
from pathlib import Path

import project
from black_box import PASSED, TIMED_OUT, Pool, list_cases, run_case

# A test that is going to fail waits in vain until its deadline: on that side of the matrix the deadline is shortened to
# this part of the usual one, and the whole case gets this many seconds.
SHORT_PATIENCE = 0.3
SHORT_LIMIT = 60

MAX_CODE_LINES = 1500  # of chapter 06, without tests, comments and blank lines
MAX_STEP = 200  # changed lines between two chapters, counted in the same way: reported, not enforced


def before(numbers, number):
    """The chapter before this one, or None."""
    index = numbers.index(number)
    return numbers[index - 1] if index else None


def check_gates(arguments):
    numbers = list(project.chapters())
    seconds = project.build()
    project.say(f"gates: built in {seconds:.0f} s")
    pool = Pool(arguments.jobs or 4)
    holes = black_box_matrix(numbers, pool) + unit_matrix(numbers, pool) + sizes(numbers)
    for hole in holes:
        project.say(f"HOLE: {hole}")
    return not holes, "no hole in the matrix" if not holes else f"{len(holes)} holes, listed above"


def print_table(title, rows, columns, cell):
    project.say(f"\n{title}")
    table = [["", *(f"tests {column}" for column in columns)]]
    table += [[row, *(cell(row, column) for column in columns)] for row in rows]
    widths = [max(len(line[i]) for line in table) for i in range(len(table[0]))]
    for line in table:
        project.say("  " + "  ".join(text.ljust(width) for text, width in zip(line, widths)).rstrip())
    project.say()


def summarise(outcomes, must_pass):
    """A cell of the table, and the outcomes that are holes."""
    if not outcomes:
        return "–", []
    wrong = [outcome for outcome in outcomes if (outcome.how == PASSED) != must_pass]
    count = len(outcomes)
    if wrong:
        return f"HOLE: {len(wrong)} of {count} {'fail' if must_pass else 'pass'}", wrong
    if must_pass:
        return f"{count}/{count} pass", []
    slow = sum(outcome.how == TIMED_OUT for outcome in outcomes)
    return f"all {count} fail" + (f" ({slow} by time-out)" if slow else ""), []


def describe_holes(wrong, must_pass):
    """One text for each test that is a hole, with every program it is one on, and what it said where it failed."""
    by_case = {}
    for outcome in wrong:
        by_case.setdefault((outcome.number, outcome.case), []).append(outcome)
    for (number, case), outcomes in by_case.items():
        where = ", ".join(f"{o.program} ({o.how})" if o.how == TIMED_OUT else o.program for o in outcomes)
        if must_pass:
            lines = "\n".join("    " + line for line in outcomes[0].output.strip().splitlines()[:50])
            yield f"tests {number}, '{case}' fails on {where}; on {outcomes[0].program} it says:\n{lines}"
        else:
            yield f"tests {number}, '{case}' passes on {where} already: it does not test what chapter {number} brings"


def black_box_matrix(numbers, pool):
    cases = {number: list_cases(project.tests_of(number)) for number in numbers if project.tests_of(number).exists()}
    must_pass, must_fail = [], []
    for program in [*numbers, "harbor"]:
        for number, names in cases.items():
            executable, path = project.tests_of(number), project.program_of(program)
            if program == "harbor" or number <= program:
                must_pass += [(number, case, program,
                               lambda executable=executable, case=case, path=path: run_case(executable, case, path))
                              for case in names]
            elif before(numbers, number) == program:
                must_fail += [(number, case, program,
                               lambda executable=executable, case=case, path=path:
                               run_case(executable, case, path, SHORT_PATIENCE, SHORT_LIMIT))
                              for case in names]

    start = time.monotonic()
    # Those that fail wait the longest, so they go first and the short ones fill the gaps.
    outcomes = pool.run(must_fail + must_pass, "black-box tests")
    cells, wrong = {}, {True: [], False: []}
    for program in [*numbers, "harbor"]:
        for number in numbers:
            good = program == "harbor" or number <= program
            text, found = summarise([o for o in outcomes if o.program == program and o.number == number], good)
            cells[program, number] = text
            wrong[good] += found
    print_table(f"black-box tests ({len(outcomes)} runs, {time.monotonic() - start:.0f} s); rows are programs:",
                [*numbers, "harbor"], numbers, lambda row, column: cells[row, column])
    for outcome in outcomes:
        if outcome.how == TIMED_OUT:
            project.say(f"  timed out: tests {outcome.number}, '{outcome.case}' on {outcome.program}")
    return [*describe_holes(wrong[True], True), *describe_holes(wrong[False], False)]


def unit_matrix(numbers, pool):
    """The unit tests of every chapter against the code of its own, of later ones, and of the one before."""
    chapters = project.chapters()
    with_units = [number for number in numbers if any((chapters[number] / "tests").glob("unit_*.cpp"))]
    start = time.monotonic()
    targets = {}
    for code in numbers:
        for number in with_units:
            if number == code:
                targets[code, number] = f"ch{code}_unit_tests"
            elif number < code or before(numbers, number) == code:
                targets[code, number] = f"ch{code}_unit_tests_of_{number}"
    good = {pair: target for pair, target in targets.items() if pair[1] <= pair[0]}
    bad = {pair: target for pair, target in targets.items() if pair[1] > pair[0]}

    holes = []
    status, output = project.ninja(good.values(), keep_going=True)
    if status != 0:
        broken = [target for target in good.values() if project.ninja([target])[0] != 0]
        holes.append(f"{', '.join(broken)} must build and does not:\n{output}")
        good = {pair: target for pair, target in good.items() if target not in broken}

    work, cells = [], {pair: "HOLE: does not build" for pair in targets}
    for (code, number), target in good.items():
        executable = find_executable(code, target)
        work += [(number, case, code, lambda executable=executable, case=case: run_case(executable, case))
                 for case in list_cases(executable)]
    for (code, number), target in bad.items():
        executable, cells[code, number], found = build_expecting_failure(code, number, target)
        holes += found
        if executable is not None:
            work += [(number, case, code, lambda executable=executable, case=case:
                      run_case(executable, case, patience=SHORT_PATIENCE, limit=SHORT_LIMIT))
                     for case in list_cases(executable)]

    outcomes = pool.run(work, "unit tests")
    wrong = {True: [], False: []}
    for code, number in targets:
        must_pass = number <= code
        judged = [o for o in outcomes if o.program == code and o.number == number]
        if judged:
            text, found = summarise(judged, must_pass)
            wrong[must_pass] += found
            cells[code, number] = ", ".join(part for part in (cells[code, number] if not must_pass else "", text) if part)
    print_table(f"unit tests ({len(outcomes)} runs, {time.monotonic() - start:.0f} s with building); rows are code:",
                numbers, with_units, lambda row, column: cells.get((row, column), "–"))
    return [*holes, *describe_holes(wrong[True], True), *describe_holes(wrong[False], False)]


def find_executable(code, target):
    return project.build_folder() / "chapters" / project.chapters()[code].name / target


def build_expecting_failure(code, number, target):
    """Builds chapter `number`'s unit tests against the code of the chapter before, file by file.

    Returns an executable made of the files that do compile, or None; a text for the table; and holes. A file that fails
    must do so by its own words: an error anywhere else, say in a header of the harness, would prove nothing.
    """
    sources = sorted((project.chapters()[number] / "tests").glob("unit_*.cpp"))
    status, output = project.ninja([target], keep_going=True)
    if status == 0:
        return find_executable(code, target), "", []

    refused, holes = set(), []
    # ninja prints "FAILED: the object file" (later versions "FAILED: [code=1] …"), the command, and the compiler's words.
    for block in re.split(r"^FAILED: ", output, flags=re.MULTILINE)[1:]:
        source = next((path for path in sources if f"{path.name}.o" in block.splitlines()[0]), None)
        if source is None:
            holes.append(f"{target}: this should have built:\n{block}")
        elif re.search(rf"^{re.escape(str(source))}:\d+:\d+: (fatal )?error:", block, re.MULTILINE):
            refused.add(source)
        else:
            holes.append(f"{target}: {source.name} is refused, but not for what it says itself:\n{block}")
    if holes:
        return None, "HOLE: build broken", holes

    compiled = [path for path in sources if path not in refused]
    if not compiled:
        return None, f"{'does' if len(refused) == 1 else f'{len(refused)} files do'} not build", []
    # The others are judged by their cases: the target's own link command, without the objects that do not exist.
    folder = project.build_folder()
    link = subprocess.run(["ninja", "-C", folder, "-t", "commands", target], stdout=subprocess.PIPE, text=True,
                          check=True).stdout.splitlines()[-1]
    output_file = str(find_executable(code, target).relative_to(folder))
    kept = [word for word in shlex.split(link) if not any(word.endswith(f"/{path.name}.o") for path in refused)]
    # CMake wraps the command as ": && command && :".
    kept = [word for word in kept if word not in (":", "&&")]
    result = subprocess.run(kept, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if result.returncode != 0:
        return None, "HOLE: build broken", [f"{target} without {', '.join(p.name for p in refused)}:\n{result.stdout}"]
    return folder / output_file, f"{len(refused)} of {len(sources)} files do not build", []


# What is neither comment nor blank. Strings are matched only so that a // inside one is not taken for a comment.
TOKENS = re.compile(r"""(?P<comment>//[^\n]*|/\*.*?\*/)|R"(\w*)\(.*?\)\2"|"(?:\\.|[^"\\\n])*"|(?<!\w)'(?:\\.|[^'\\\n])+'""",
                    re.DOTALL)


def code_lines(path):
    text = path.read_text(encoding="utf-8")
    text = TOKENS.sub(lambda found: "\n" * found.group().count("\n") if found.group("comment") else found.group(), text)
    return [line.rstrip() for line in text.splitlines() if line.strip()]


def sources_of(folder):
    return sorted(path for path in folder.glob("*") if path.suffix in (".cpp", ".hpp"))


def changed(old, new):
    """Lines added and removed between two folders, as git counts them."""
    result = subprocess.run(["git", "diff", "--no-index", "--numstat", "--minimal", "--no-renames", old, new],
                            stdout=subprocess.PIPE, text=True, check=False)
    counts = [line.split("\t")[:2] for line in result.stdout.splitlines()]
    return sum(int(added) for added, _ in counts), sum(int(removed) for _, removed in counts)


def sizes(numbers):
    """The sources of each chapter without tests: how long they are, and how far from the chapter before."""
    chapters = project.chapters()
    project.say("sources without tests; \"code\" leaves out comments and blank lines:")
    project.say(f"  {'':<20}  {'lines':>6}  {'code':>6}  {'added':>6}  {'removed':>7}  code against the chapter before")
    holes = []
    with tempfile.TemporaryDirectory(prefix="harbor-gates-") as folder:
        previous = None
        for number in numbers:
            sources = sources_of(chapters[number])
            lines = sum(len(path.read_text(encoding="utf-8").splitlines()) for path in sources)
            stripped = Path(folder) / number
            stripped.mkdir()
            code = 0
            for path in sources:
                text = code_lines(path)
                code += len(text)
                (stripped / path.name).write_text("\n".join(text) + "\n", encoding="utf-8")
            row = f"  {chapters[number].name:<20}  {lines:>6}  {code:>6}"
            if previous is not None:
                added, removed = changed(previous, stripped)
                row += f"  {added:>6}  {removed:>7}"
                if added + removed > MAX_STEP:
                    row += f"  {added + removed} changed, more than {MAX_STEP}"
            project.say(row)
            previous = stripped
        if code > MAX_CODE_LINES:
            holes.append(f"chapter {numbers[-1]} has {code} lines of code, the limit is {MAX_CODE_LINES}")
    project.say()
    return holes
