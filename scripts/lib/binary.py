"""Two looks at the program: is it hardened as it should be, and does valgrind find it clean."""
import os
import re
import shlex
import shutil
import subprocess

import project
from black_box import FAILED, PASSED, Pool, run_case


def readelf(*arguments):
    command = ["readelf", "--wide", *arguments]
    return subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, check=True).stdout


def demands(program, library):
    """What is demanded of the program, each with whether it is so."""
    header, segments = readelf("--file-header", program), readelf("--segments", program)
    dynamic, symbols = readelf("--dynamic", program), readelf("--dyn-syms", program)
    # `LOAD offset address address size size R E align`
    loads = re.findall(r"^ +LOAD +(?:0x\w+ +){5}([RWE ]{3}) ", segments, re.MULTILINE)
    stack = re.search(r"^ +GNU_STACK +(?:0x\w+ +){5}([RWE ]{3}) ", segments, re.MULTILINE)
    yield "position-independent (PIE)", "DYN (Position-Independent" in header and "PIE" in dynamic
    yield "the tables of the linker are read-only (RELRO)", "GNU_RELRO" in segments
    yield "all of them, from the start (BIND_NOW)", bool(re.search(r"\(FLAGS\) +.*BIND_NOW|FLAGS_1.*NOW", dynamic))
    mixed = [flags for flags in loads if "W" in flags and "E" in flags]
    yield "no segment is writable and executable", bool(loads) and not mixed
    yield "the stack is not executable", stack is not None and "E" not in stack.group(1)
    yield "canaries on the stack", "__stack_chk_fail" in symbols
    yield "calls that the C library checks (FORTIFY)", "_chk@GLIBC" in symbols.replace("__stack_chk_fail@GLIBC", "")
    yield "no run path that others could fill", "RPATH" not in dynamic and "RUNPATH" not in dynamic
    if "X86-64" in readelf("--file-header", program):
        # In the program itself the linker keeps the mark only if every object has it, and Debian 12's crt1.o has none.
        marks = re.findall(r"x86 feature: (.*)", readelf("--notes", library))
        objects = len(re.findall(r"^File: ", readelf("--file-header", library), re.MULTILINE))
        marked = [mark for mark in marks if "IBT" in mark and "SHSTK" in mark]
        text = f"jumps and returns are marked for the processor (CET) in all {objects} objects"
        yield text, len(marked) == objects > 0


def check_binary(_):
    """Reads from the program itself which protections it was compiled with."""
    project.build("harbor_program")
    program = project.program_of("harbor")
    holes = 0
    for text, holds in demands(program, program.parent / "libharbor_library.a"):
        project.say(f"  {'yes' if holds else 'NO '}  {text}")
        holes += not holds
    return holes == 0, f"{program.relative_to(project.ROOT)}: {holes or 'no'} protection missing"


VALGRIND = ["valgrind", "--quiet", "--error-exitcode=99", "--leak-check=full", "--num-callers=30",
            "--errors-for-leak-kinds=definite,indirect", "--show-leak-kinds=definite,indirect",
            f"--suppressions={project.ROOT / 'harbor' / 'tests' / 'valgrind.supp'}"]
# A part that is done in minutes: by file, what has memory and descriptors of its own; then connections.
UNIT_FILES = ("unit_task", "unit_pools", "unit_ready_set", "unit_timer_wheel", "unit_notify", "unit_options",
              "unit_log")
LEFT_OUT = "~*that nobody reads"  # measures a time, in which valgrind gets a tenth of the work done
UNIT_CASES = ("each way to end is counted under its own name and no other",
              "half closes may stay for as long as they like and both directions still work")
BLACK_BOX_CASES = ("a connection that has ended leaves a line in the access log",
                   "connections that are open when the program ends are in the access log",
                   "who sends no whole request in time is told so")


def check_valgrind(arguments):
    """Unit tests of what keeps memory of its own, and whole connections through the program."""
    if shutil.which("valgrind") is None:
        raise project.Stop("valgrind is not installed; scripts/bootstrap --all installs it")
    project.build("harbor_program", "harbor_tests", "harbor_unit_tests")
    folder = project.build_folder() / "harbor"
    wrapper = project.build_folder() / "valgrind" / "harbor"
    wrapper.parent.mkdir(exist_ok=True)
    under_valgrind = shlex.join([*VALGRIND, str(project.program_of("harbor"))])
    wrapper.write_text(f'#!/bin/sh\nexec {under_valgrind} "$@"\n', encoding="utf-8")
    wrapper.chmod(0o755)

    def unit(*chosen):
        environment = dict(os.environ, HARBOR_PATIENCE="10")
        command = [*VALGRIND, folder / "harbor_unit_tests", *chosen]
        result = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, text=True, errors="replace", check=False)
        ran = result.returncode == 0 and "All tests passed" in result.stdout
        return (PASSED if ran else FAILED), result.stdout

    # Catch2 takes the name of a file for a tag, if asked to.
    work = [("unit", name, "harbor", lambda name=name: unit("--filenames-as-tags", f"[#{name}]{LEFT_OUT}"))
            for name in UNIT_FILES]
    work += [("unit", case, "harbor", lambda case=case: unit(case)) for case in UNIT_CASES]
    work += [("black box", case, "harbor", lambda case=case: run_case(folder / "harbor_tests", case, wrapper, 10, 600))
             for case in BLACK_BOX_CASES]
    outcomes = Pool(min(arguments.jobs or 2, os.cpu_count() or 1)).run(work, "valgrind")
    bad = [outcome for outcome in outcomes if outcome.how != PASSED]
    for outcome in bad:
        project.say(f"\n{outcome.number}: {outcome.case}: {outcome.how}\n{outcome.output[-6000:]}")
    return not bad, f"{len(work)} files and cases, {len(bad)} not clean"
