"""The chapters' tests as the book shows them: each test's name and the lesson that it prints when it fails."""
import re

import project

STRING = r'"(?:\\.|[^"\\])*"'
CASE = re.compile(rf'(?:TEST_CASE\(\s*({STRING})|REGISTER_TEST_CASE\(\s*\w+\s*,\s*({STRING}))')


class Case:
    """One test. did, cause and section are the words of its lesson(…); None where it has none."""

    def __init__(self, path, line, name, did, cause, section):
        self.path, self.line, self.name, self.did, self.cause, self.section = path, line, name, did, cause, section


def unquote(text):
    return re.sub(r"\\(.)", lambda found: {"n": "\n", "t": "\t"}.get(found[1], found[1]), text[1:-1])


def arguments_of(text):
    """The arguments of a call, as texts: adjacent strings joined, anything that is computed shown as …"""
    arguments, depth, current = [], 0, []
    for token in re.findall(rf'{STRING}|[(){{}}\[\],]|[^\s"(){{}}\[\],]+', text):
        if token == "," and depth == 0:
            arguments.append(current)
            current = []
            continue
        depth += (token in "([{") - (token in ")]}")
        if depth < 0:
            break
        current.append(token)
    arguments.append(current)
    result = []
    for tokens in arguments:
        words = []
        for token in tokens:
            if token.startswith('"'):
                words.append(unquote(token))
            elif token != "+" and (not words or words[-1] != "…"):
                words.append("…")
        result.append("".join(words))
    return result


def cases_of(folder, pattern="black_box_*.cpp"):
    """The test cases of a chapter's folder, file by file, in the order of the sources."""
    cases = []
    for path in sorted((folder / "tests").glob(pattern)):
        text = path.read_text(encoding="utf-8")
        found = list(CASE.finditer(text))
        for index, case in enumerate(found):
            body = text[case.end():found[index + 1].start() if index + 1 < len(found) else len(text)]
            lesson = re.search(r"\blesson\(", body) if case[1] else None
            did = cause = section = None
            if lesson:
                arguments = arguments_of(body[lesson.end():])
                if len(arguments) >= 3:
                    did, cause, section = arguments[:3]
            shown = path.relative_to(project.ROOT) if path.is_relative_to(project.ROOT) else path
            cases.append(Case(shown, text.count("\n", 0, case.start()) + 1,
                              unquote(case[1] or case[2]), did, cause, section))
    return cases


def file_says(path):
    """The first paragraph of a test file's opening comment."""
    words = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("//") or line.strip() == "//":
            break
        words.append(line[2:].strip())
    return " ".join(words)
