"""Builds the site: pages and fragments (book_pages.py), the theme, and Doxygen over all of it."""
import re
import shutil
import subprocess
import time
from pathlib import Path

import book_pages
import project

THEMES = (Path("/usr/share/doxygen-awesome-css"), Path("/usr/local/share/doxygen-awesome-css"))
THEME_FILES = ("doxygen-awesome.css", "doxygen-awesome-sidebar-only.css",
               "doxygen-awesome-sidebar-only-darkmode-toggle.css", "doxygen-awesome-darkmode-toggle.js")
HEAD = """<script type="text/javascript" src="$relpath^doxygen-awesome-darkmode-toggle.js"></script>
<script type="text/javascript">DoxygenAwesomeDarkModeToggle.init()</script>
<script type="text/javascript" src="$relpath^harbor.js"></script>
</head>"""
DOXYFILE = "docs/Doxyfile"


def build(quiet=False):
    """Builds build/docs/html. Returns the Book; raises Stop with everything that is wrong."""
    start = time.monotonic()
    if shutil.which("doxygen") is None:
        raise project.Stop("doxygen is not installed; scripts/bootstrap --docs installs it")
    book = book_pages.Book()
    book.write()
    stop_on(book.problems)
    prepare_theme()
    shutil.rmtree(book_pages.BUILD / "html", ignore_errors=True)
    result = run(DOXYFILE)
    words = [line.replace(f"{project.ROOT}/", "") for line in result.stdout.splitlines() if line.strip()]
    if result.returncode != 0 or words:
        raise project.Stop("\n".join([*words, f"doxygen ended with status {result.returncode}, see above"]))
    if not quiet:
        count = len(list((book_pages.BUILD / "html").glob("*.html")))
        project.say(f"docs: {count} pages in {book_pages.BUILD / 'html'} ({time.monotonic() - start:.0f} s)")
    return book


def stop_on(problems):
    if problems:
        raise project.Stop("\n".join([*problems, f"{len(problems)} problems in the book, see above"]))


def run(*arguments):
    return subprocess.run(["doxygen", *arguments], cwd=project.ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, errors="replace", check=False)


def prepare_theme():
    """The theme's files, and Doxygen's own header and layout with our changes: made from what this version writes."""
    source = next((folder for folder in THEMES if (folder / THEME_FILES[0]).is_file()), None)
    if source is None:
        raise project.Stop("the theme doxygen-awesome-css is not installed; scripts/bootstrap --docs installs it")
    theme = book_pages.BUILD / "theme"
    shutil.rmtree(theme, ignore_errors=True)
    theme.mkdir(parents=True)
    for name in THEME_FILES:
        shutil.copy(source / name, theme / name)
    for path in (book_pages.DOCS / "theme").iterdir():
        shutil.copy(path, theme / path.name)

    # Without a configuration file, which names the header that does not exist yet.
    subprocess.run(["doxygen", "-w", "html", "header.html", "footer.html", "style.css"], cwd=theme, check=True,
                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    header = (theme / "header.html").read_text(encoding="utf-8")
    if header.count("</head>") != 1:
        raise project.Stop("doxygen's HTML header has no single </head> to put the theme's scripts before")
    header = header.replace("</head>", HEAD)
    (theme / "header.html").write_text(header, encoding="utf-8")

    subprocess.run(["doxygen", "-l", "layout.xml"], cwd=theme, check=True, stdin=subprocess.DEVNULL,
                   stdout=subprocess.DEVNULL)
    layout = (theme / "layout.xml").read_text(encoding="utf-8")
    navigation = (book_pages.BUILD / "navigation.xml").read_text(encoding="utf-8").strip()
    layout, count = re.subn(r"<navindex>.*?</navindex>", lambda _: navigation, layout, flags=re.DOTALL)
    if count != 1:
        raise project.Stop("doxygen's layout has no single <navindex> to put the reading order into")
    (theme / "layout.xml").write_text(layout, encoding="utf-8")
