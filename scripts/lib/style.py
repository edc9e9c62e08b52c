"""Formatting and clang-tidy, over the files that are ours."""
import concurrent.futures
import json
import os
import re
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path

import project

# One version for everybody: what another version of these tools says differs in details nobody should have to discuss.
CLANG_FORMAT = "clang-format-19"
CLANG_TIDY = "clang-tidy-19"


def need(tool):
    if shutil.which(tool) is None:
        raise project.Stop(f"{tool} is not installed; scripts/bootstrap --all installs it")
    return tool


def our_files():
    """Every file that is in git or about to be."""
    listed = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=project.ROOT,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
    if listed.returncode != 0:
        raise project.Stop(f"cannot list the files of the repository: {listed.stderr.strip()}")
    paths = (project.ROOT / name for name in sorted(set(listed.stdout.split("\0"))) if name)
    return [path for path in paths if path.is_file()]


def check_format(_):
    need(CLANG_FORMAT)
    files = our_files()
    problems = []

    sources = [path for path in files if path.suffix in (".cpp", ".hpp")]
    if sources:
        result = subprocess.run([CLANG_FORMAT, "--dry-run", "-Werror", *sources], stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        if result.returncode != 0:
            names = sorted({line.split(":")[0] for line in result.stdout.splitlines() if "clang-format-violations" in line})
            problems += [f"{os.path.relpath(name, project.ROOT)}: not formatted; {CLANG_FORMAT} -i mends it" for name in names]
            problems += [] if names else [result.stdout]

    for path in files:
        name = path.relative_to(project.ROOT)
        if name.parts[:3] == ("harbor", "fuzz", "corpus"):
            continue  # what fuzzers begin with: bytes, whatever they look like
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # a picture
        if path.suffix in (".patch", ".cmd"):
            continue  # where a blank at the end of a line means something
        problems += [f"{name}:{number}: blanks at the end of the line"
                     for number, line in enumerate(text.split("\n"), 1) if line != line.rstrip()]
        if text and not text.endswith("\n"):
            problems.append(f"{name}: no newline at the end")
        problems += [f"{name}: {problem}" for problem in syntax(path, text)]

    for problem in problems:
        project.say(problem)
    return not problems, f"{len(files)} files" if not problems else f"{len(problems)} problems in {len(files)} files"


def syntax(path, text):
    """What the interpreters and parsers of the files that nobody compiles say against them."""
    first = text.split("\n", 1)[0]
    if path.suffix == ".py" or (first.startswith("#!") and "python" in first):
        try:
            compile(text, str(path), "exec")
        except SyntaxError as error:
            yield f"line {error.lineno}: {error.msg}"
    elif path.suffix == ".sh" or (first.startswith("#!") and "sh" in first):
        result = subprocess.run(["bash", "-n", path], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        if result.returncode != 0:
            yield result.stdout.strip()
    elif path.suffix == ".json":
        try:
            json.loads(text)
        except ValueError as error:
            yield str(error)


def translation_units(only):
    """Our sources in groups that clang-tidy can read as one translation unit, as entries of a compile database.

    Nearly all of the time goes into the headers of Asio and Catch2, so files of one folder that are compiled alike are
    read together: the first is the file of the entry, the others are included before it. That takes a tenth of the time
    of one run for each file. (Naming the first file, rather than a new one that includes them all, keeps the search for
    .clang-tidy where it belongs.)
    """
    database = json.loads((project.configure() / "compile_commands.json").read_text(encoding="utf-8"))
    ours = {str(path) for path in our_files()}
    groups = {}
    for entry in database:
        name = entry["file"]
        arguments = shlex.split(entry["command"])
        output = arguments[arguments.index("-o") + 1]
        # asio_library.cpp holds nothing but Asio, and a chapter's unit tests are there again for other chapters and harbor.
        if name not in ours or name.endswith("asio_library.cpp") or re.search(r"_unit_tests_of_|harbor_chapter_unit_tests", output):
            continue
        if not only.search(os.path.relpath(name, project.ROOT)):
            continue
        # The database is g++'s: clang does not know its switch for coroutines, and Asio 1.22 does not know clang's.
        compiler = arguments.index("-o")
        start = 2 if Path(arguments[0]).name == "ccache" else 1
        flags = tuple(word for word in arguments[start:compiler] if word != "-fcoroutines")
        files = groups.setdefault((str(Path(name).parent), flags), [])
        if name not in files:
            files.append(name)

    entries = []
    for (folder, flags), files in sorted(groups.items()):
        files.sort(key=lambda name: Path(name).name != "main.cpp")
        entries.append(unit(folder, flags, files))
    return entries


def unit(folder, flags, files):
    first, *others = files
    command = ["c++", *flags, "-Wno-unknown-warning-option", "-DASIO_HAS_CO_AWAIT", "-DASIO_HAS_STD_COROUTINE"]
    for name in others:
        command += ["-include", name]
    return {"directory": folder, "file": first, "arguments": [*command, first], "flags": flags, "files": files}


def run_tidy(entry, folder):
    """What clang-tidy has against one group: the text of each finding."""
    command = {key: entry[key] for key in ("directory", "file", "arguments")}
    with tempfile.TemporaryDirectory(dir=folder) as database:
        (Path(database) / "compile_commands.json").write_text(json.dumps([command]), encoding="utf-8")
        result = subprocess.run([CLANG_TIDY, "-p", database, "--quiet", entry["file"]], stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace", check=False)
    if "compilation database" in result.stderr:  # it would go on without any flags
        raise project.Stop(f"{CLANG_TIDY} cannot read its compile database:\n{result.stderr}")
    if result.returncode == 0:
        return []
    clash = {found[1] for found in re.finditer(r"(?m)^(/\S+?):\d+:\d+: error: .*\[clang-diagnostic-", result.stdout)}
    if len(entry["files"]) > 1 and clash:
        # Files that do not go together, say because of a name that two have in their unnamed namespaces. The errors name the
        # later of the two: those make a group of their own, and if that is no help, each file stands alone.
        later = [name for name in entry["files"] if name in clash]
        rest = [name for name in entry["files"] if name not in clash]
        groups = [rest, later] if rest and later else [[name] for name in entry["files"]]
        return [finding for names in groups for finding in run_tidy(unit(entry["directory"], entry["flags"], names), folder)]
    findings = [block for block in re.split(r"(?m)^(?=/\S+:\d+:\d+: (?:warning|error):)", result.stdout) if block.strip()]
    return findings or [f"{entry['file']}:\n{result.stderr}"]


def check_tidy(arguments):
    need(CLANG_TIDY)
    entries = translation_units(re.compile(arguments.only or ""))
    folder = project.build_folder() / "tidy"
    folder.mkdir(exist_ok=True)
    # A large group that comes last would leave the other core idle.
    entries.sort(key=lambda entry: -len(entry["files"]))

    progress = project.Progress()
    found = {}
    workers = int(os.environ.get("CMAKE_BUILD_PARALLEL_LEVEL") or os.cpu_count() or 1)
    with concurrent.futures.ThreadPoolExecutor(workers) as threads:
        pending = [threads.submit(run_tidy, entry, folder) for entry in entries]
        for done, future in enumerate(concurrent.futures.as_completed(pending), 1):
            progress.show(f"clang-tidy: {done} of {len(pending)} groups of files")
            for finding in future.result():
                found[finding] = None  # one in a header comes once for each group that includes it
    progress.clear()
    for finding in found:
        project.say(finding.rstrip().replace(f"{project.ROOT}/", ""))
    files = sum(len(entry["files"]) for entry in entries)
    return not found, f"{len(found)} findings in {files} files" if found else f"{files} files"
