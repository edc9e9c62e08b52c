"""scripts/check site: the site as a reader gets it. Every link leads somewhere, and a browser shows every page.

The browser is Chromium without a window. It loads a page of ours that opens the site's pages one after the other in a
frame, looks at them, uses the search and the dark-mode toggle, and leaves what it found in its own document, which
Chromium prints (--dump-dom). So it takes no driver, and nothing leaves the loopback address.
"""
import contextlib
import functools
import http.server
import json
import re
import shutil
import subprocess
import tempfile
import threading
import urllib.parse
from html.parser import HTMLParser

import book_pages
import book_site
import project
from book_source import Broken

HTML = book_pages.BUILD / "html"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
SIZES = ((1280, 900), (390, 844))


def check_site(_):
    try:
        book = book_site.build(quiet=True)
    except Broken as broken:
        raise project.Stop(str(broken)) from None
    dead, links, external = dead_links()
    browser = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if browser is None:
        raise project.Stop(f"none of {', '.join(BROWSERS)} is installed; scripts/bootstrap --all installs one")
    problems = dead + in_browser(browser, book)
    for problem in problems:
        project.say(problem)
    if problems:
        return False, f"{len(problems)} problems, listed above"
    return True, (f"{links} links in {len(list(HTML.glob('*.html')))} pages lead somewhere ({external} to other sites not followed),"
                  f" {len(book.pages)} pages of the book looked at in a browser at {' and '.join(str(w) for w, _ in SIZES)} pixels")


# --- links ------------------------------------------------------------------------------------------------------------


class Links(HTMLParser):
    def __init__(self):
        super().__init__()
        self.names, self.targets = set(), []

    def handle_starttag(self, tag, attributes):
        for name, value in attributes:
            if name == "id" or (name == "name" and tag == "a"):
                self.names.add(value)
            elif name in ("href", "src") and value is not None:
                self.targets.append((self.getpos()[0], value))

    handle_startendtag = handle_starttag


def dead_links():
    """Links of the site that lead nowhere; how many there are within it, and to other sites."""
    pages = {}
    for path in HTML.rglob("*.html"):
        parser = Links()
        parser.feed(path.read_text(encoding="utf-8", errors="replace"))
        pages[path] = parser
    dead, links, external = [], 0, 0
    for path, parser in sorted(pages.items()):
        for line, target in parser.targets:
            if re.match(r"[a-z]+:", target):
                external += target.startswith("http")
                continue
            links += 1
            file, _, fragment = target.partition("#")
            other = (path.parent / urllib.parse.unquote(file.partition("?")[0])).resolve() if file else path
            where = f"{path.relative_to(HTML)}:{line}"
            if not other.is_file():
                dead.append(f"{where}: the link to '{target}' leads to no file")
            elif fragment and other in pages and urllib.parse.unquote(fragment) not in pages[other].names:
                dead.append(f"{where}: the link to '{target}' leads to no place in that page")
    # The sidebar is data of a script.
    for number, line in enumerate((HTML / "navtreedata.js").read_text(encoding="utf-8").splitlines(), 1):
        for target in re.findall(r'"([\w-]+\.html)[#"]', line):
            links += 1
            if not (HTML / target).is_file():
                dead.append(f"navtreedata.js:{number}: the sidebar's link to '{target}' leads to no file")
    return dead, links, external


# --- browser ----------------------------------------------------------------------------------------------------------

TEST_PAGE = """<!DOCTYPE html><html><head><meta charset="utf-8"><title>test</title></head><body><script>
const problems = [];
const sleep = ms => new Promise(resolve => setTimeout(resolve, ms));
async function until(condition) {
    for (let i = 0; i < 100; ++i) {
        try { if (condition()) return true; } catch (error) { /* not there yet */ }
        await sleep(50);
    }
    return false;
}
async function open(url, width, height) {
    document.querySelectorAll("iframe").forEach(frame => frame.remove());
    const frame = document.createElement("iframe");
    frame.style.cssText = `width:${width}px;height:${height}px;border:0`;
    document.body.append(frame);
    await new Promise(resolve => { frame.onload = resolve; frame.src = url; });
    return frame;
}
const shown = element => element && element.getClientRects().length > 0 && element.getBoundingClientRect().width > 0;
async function look(page, width, height, titles) {
    const complain = text => problems.push(`${page.url} at ${width} pixels: ${text}`);
    localStorage.clear();
    const frame = await open(page.url, width, height);
    const doc = frame.contentDocument, win = frame.contentWindow;
    if (!await until(() => doc.querySelector(".header .title")?.textContent.trim() === page.title)) {
        complain(`the title is '${doc.querySelector(".header .title")?.textContent.trim()}', not '${page.title}'`);
    }
    for (const image of doc.images) {
        if (shown(image) && image.naturalWidth === 0) complain(`the picture ${image.src} does not load`);
    }
    for (const figure of doc.querySelectorAll("figure.picture")) {
        const svg = figure.querySelector("svg");
        if (!shown(svg) || svg.getBoundingClientRect().height < 20) complain(`the picture ${figure.dataset.picture} is not to be seen`);
    }
    for (const listing of doc.querySelectorAll("figure:not(details figure) > pre")) {
        if (!shown(listing)) complain("a listing is not to be seen");
    }
    for (const text of doc.querySelectorAll(".contents :is(p, li, h1, h2, h3)")) {
        const words = text.textContent.trim().slice(0, 60);
        if (shown(text) && text.scrollWidth > text.clientWidth + 1) complain(`this is cut off at the edge: '${words}'`);
        if (/^H/.test(text.tagName) && /[<`]/.test(words)) complain(`the heading '${words}' shows its markup`);
    }
    const wide = doc.documentElement.scrollWidth;
    if (wide > width) complain(`the page is ${wide} pixels wide`);

    if (width >= 1000) {
        if (!await until(() => shown(doc.querySelector("#nav-tree a.index\\\\.html, #nav-tree .item a")))) complain("there is no sidebar");
        const selected = () => [...doc.querySelectorAll("#nav-tree .selected")].map(item => item.textContent.trim());
        if (!await until(() => selected().some(text => text.includes(page.title)))) {
            complain(`the sidebar marks '${selected()}', not '${page.title}'`);
        }
        const names = [...doc.querySelectorAll("#nav-tree .item a")].map(link => link.textContent.trim());
        const order = titles.filter(title => names.includes(title));
        const there = names.filter(name => titles.includes(name));
        if (order.join("|") !== there.join("|")) complain(`the sidebar's order is ${there.join(", ")}`);
    } else if (!await until(() => shown(doc.querySelector("#main-menu-state, .main-menu-btn")))) {
        complain("there is no menu");
    }

    const toggle = () => doc.querySelector("doxygen-awesome-dark-mode-toggle");
    if (!await until(() => shown(toggle()))) {
        complain("there is no dark-mode toggle");
    } else {
        const colours = () => {
            const text = doc.querySelector("figure.picture svg text");
            return [win.getComputedStyle(doc.documentElement).getPropertyValue("--page-background-color").trim(),
                    win.getComputedStyle(doc.documentElement).getPropertyValue("--book-add").trim(),
                    text ? win.getComputedStyle(text).fill : "" ];
        };
        const light = colours();
        toggle().click();
        if (!await until(() => doc.documentElement.classList.contains("dark-mode"))) complain("the toggle does not make it dark");
        const dark = colours();
        light.forEach((colour, index) => {
            if (colour && colour === dark[index]) complain(`in the dark the colour ${colour} stays as it was`);
        });
        toggle().click();
    }
}
async function search(url, text, expected) {
    const frame = await open(url, 1280, 900);
    const doc = frame.contentDocument;
    const complain = what => problems.push(`search for '${text}': ${what}`);
    let field = null;
    if (!await until(() => shown(field = doc.querySelector("#MSearchField")))) return complain("there is no search field");
    field.focus();
    field.value = text;
    field.dispatchEvent(new frame.contentWindow.KeyboardEvent("keyup", { key: text.at(-1), keyCode: 65, bubbles: true }));
    const results = () => {
        const inner = doc.querySelector("#MSearchResults");
        return inner.contentDocument || doc;
    };
    const found = () => [...results().querySelectorAll(".SRResult, .SREntry")].filter(shown).map(item => item.textContent);
    if (!await until(() => found().some(item => item.includes(expected)))) complain(`'${expected}' is not among [${found().slice(0, 5)}]`);
}
(async () => {
    const job = JOB;
    try {
        for (const page of job.pages) for (const [width, height] of job.sizes) await look(page, width, height, job.titles);
        for (const [text, expected] of job.searches) await search("index.html", text, expected);
        await open(job.hint, 1280, 900);
    } catch (error) {
        problems.push(`the test itself failed: ${error.stack}`);
    }
    document.querySelectorAll("iframe").forEach(frame => frame.remove());
    document.body.textContent = "RESULT" + JSON.stringify(problems) + "END";
})();
</script></body></html>
"""


class Handler(http.server.SimpleHTTPRequestHandler):
    test_page = b""

    def do_GET(self):
        if self.path == "/book-test.html":
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(self.test_page)))
            self.end_headers()
            self.wfile.write(self.test_page)
        else:
            super().do_GET()

    def log_message(self, *_):
        pass


def flags(profile):
    return ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
            "--disable-component-update", "--disable-sync", "--hide-scrollbars", "--disable-dev-shm-usage",
            f"--user-data-dir={profile}"]


def in_browser(browser, book):
    pages = [{"url": page.url, "title": page.title} for page in book.pages]
    first = next(page for page in book.pages if page.chapter)
    job = {"pages": pages, "titles": [page.title for page in book.pages], "sizes": SIZES, "hint": first.url,
           "searches": [(first.title[:2] if first.title[:2].strip() else first.title, first.title), ("Backend", "Backend")]}
    handler = type("TestHandler", (Handler,), {"test_page": TEST_PAGE.replace("JOB", json.dumps(job)).encode()})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(handler, directory=str(HTML)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        with tempfile.TemporaryDirectory(prefix="harbor-browser-") as profile:
            seconds = 120 + 20 * len(pages)
            command = [browser, *flags(profile), f"--virtual-time-budget={seconds * 1000}", "--dump-dom",
                       f"{address}/book-test.html"]
            try:
                result = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        text=True, errors="replace", timeout=seconds * 2, check=False)
            except subprocess.TimeoutExpired:
                raise project.Stop(f"the browser was not through the pages after {seconds * 2} s, and was ended") from None
        found = re.search(r"RESULT(\[.*\])END", result.stdout, re.DOTALL)
        if not found:
            raise project.Stop(f"the browser did not finish; its words:\n{result.stderr[-3000:]}\n{result.stdout[-2000:]}")
        problems = json.loads(found[1].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))
        take_screenshots(browser, address, book)
    finally:
        server.shutdown()
    return problems


def take_screenshots(browser, address, book):
    """For the eye: the start and the first chapter, wide and narrow, in build/docs/screenshots."""
    folder = book_pages.BUILD / "screenshots"
    folder.mkdir(exist_ok=True)
    for page in [book.pages[0], next(page for page in book.pages if page.chapter)]:
        for width, height in SIZES:
            # A busy machine may take longer than that: the check has its result without them.
            with tempfile.TemporaryDirectory(prefix="harbor-browser-") as profile, \
                    contextlib.suppress(subprocess.TimeoutExpired):
                subprocess.run([browser, *flags(profile), f"--window-size={width},{height * 3}", "--virtual-time-budget=5000",
                                f"--screenshot={folder / f'{page.id}_{width}.png'}", f"{address}/{page.url}"],
                               stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=120,
                               check=False)
