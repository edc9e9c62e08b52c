"""What the Python scripts share: where things are, and a build that keeps quiet unless it fails.

The build is always the one of CMakePresets.json in build/PRESET, so that a script never compiles a second time what
scripts/test has compiled already.
"""
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


class Stop(Exception):
    """Ends the script with this message and status 1: something is missing or did not build."""


def say(text=""):
    print(text, flush=True)


class Progress:
    """One line that is rewritten in place on a terminal; elsewhere nothing, logs need no progress."""

    def __init__(self, stream=sys.stdout):
        self.stream = stream
        self.live = stream.isatty() and os.environ.get("TERM") != "dumb"

    def show(self, text):
        if self.live:
            width = shutil.get_terminal_size().columns - 1
            self.stream.write("\r\x1b[K" + text[:width])
            self.stream.flush()

    def clear(self):
        self.show("")


def bootstrap(*arguments):
    """Installs what is missing; what it says is only worth a line when it had something to do."""
    result = subprocess.run([ROOT / "scripts" / "bootstrap", *arguments], stdin=subprocess.DEVNULL, check=False,
                            stdout=subprocess.PIPE, text=True)
    if result.stdout.strip() not in ("bootstrap: nothing to install", "bootstrap: skipped (HARBOR_SKIP_BOOTSTRAP=1)"):
        print(result.stdout, end="", flush=True)
    if result.returncode != 0:
        raise Stop("scripts/bootstrap failed, see above")


def build_folder(preset="release"):
    return ROOT / "build" / preset


def configure(preset="release"):
    """Configures the build folder if it is new; ninja configures again by itself when a CMake file has changed."""
    folder = build_folder(preset)
    if (folder / "build.ninja").exists():
        return folder
    environment = dict(os.environ)
    if shutil.which("ccache"):
        environment.setdefault("CMAKE_CXX_COMPILER_LAUNCHER", "ccache")
    result = subprocess.run(["cmake", "--preset", preset], cwd=ROOT, env=environment, stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if result.returncode != 0:
        raise Stop(f"{result.stdout}\ncmake --preset {preset} failed, see above")
    return folder


def ninja(targets, preset="release", keep_going=False):
    """Builds the targets, showing how far it is. Returns ninja's status and everything it printed."""
    folder = configure(preset)
    command = ["ninja", "-C", str(folder)] + (["-k", "0"] if keep_going else [])
    if os.environ.get("CMAKE_BUILD_PARALLEL_LEVEL"):
        command += ["-j", os.environ["CMAKE_BUILD_PARALLEL_LEVEL"]]
    progress = Progress()
    output = []
    with subprocess.Popen([*command, *targets], env=dict(os.environ, NINJA_STATUS="[%f/%t] "), stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace") as process:
        try:
            for line in process.stdout:
                output.append(line)
                if re.match(r"\[\d+/\d+\]", line):
                    progress.show("building " + line.strip())
        except BaseException:
            process.terminate()
            raise
    progress.clear()
    return process.returncode, "".join(output)


def build(*targets, preset="release"):
    """Builds the targets (everything if none are named) or stops with the compiler's words."""
    start = time.monotonic()
    status, output = ninja(targets, preset)
    if status != 0:
        raise Stop(f"{output}\nthe build in {build_folder(preset)} failed, see above")
    return time.monotonic() - start


def chapters():
    """The folders of the chapters by their two-digit numbers, in order."""
    found = sorted((ROOT / "chapters").glob("[0-9][0-9]_*"))
    if not found:
        raise Stop(f"no chapters in {ROOT / 'chapters'}")
    return {folder.name[:2]: folder for folder in found if folder.is_dir()}


def program_of(number, preset="release"):
    """The path of a chapter's program, or of harbor."""
    if number == "harbor":
        return build_folder(preset) / "harbor" / "harbor"
    name = "echo" if number == "01" else "harbor"
    return build_folder(preset) / "chapters" / chapters()[number].name / name


def tests_of(number, preset="release"):
    """The path of the executable with a chapter's black-box tests."""
    return build_folder(preset) / "chapters" / chapters()[number].name / f"ch{number}_tests"


def run_main(main):
    """Runs a script's main and turns what can end it early into a message and a status."""
    try:
        sys.exit(main())
    except Stop as stop:
        print(f"{Path(sys.argv[0]).stem}: {stop}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print(f"{Path(sys.argv[0]).stem}: interrupted", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        # Whoever read our output has had enough of it; say no more, not even while the interpreter ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
