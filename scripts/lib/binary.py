"""Reads from the program itself which protections it was compiled with."""
import re
import subprocess

import project


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
    project.build("harbor_program")
    program = project.program_of("harbor")
    holes = 0
    for text, holds in demands(program, program.parent / "libharbor_library.a"):
        project.say(f"  {'yes' if holds else 'NO '}  {text}")
        holes += not holds
    return holes == 0, f"{program.relative_to(project.ROOT)}: {holes or 'no'} protection missing"
