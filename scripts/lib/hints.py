"""The hints of a chapter: three for each of its tests, each more concrete than the one before.

They are in the chapter's hints.md. A heading is the name of a test; headings that follow one another share what comes
after them, for tests that ask for the same thing:

    ## two backends are taken in turn and share exactly
    ## three backends are taken in turn and share exactly

    1. The idea.
    2. The call.
    3. The shape.

Lines that go on with a hint are indented by three blanks, as in any list of Markdown.
"""
import re

import project

TIERS = ("the idea", "the call to use", "the shape of the code")


def path_of(number):
    return project.chapters()[number] / "hints.md"


def read_hints(number):
    """The hints by the name of the test: a list of texts, three if the file is as it should be."""
    path = path_of(number)
    if not path.is_file():
        raise project.Stop(f"{path.relative_to(project.ROOT)} is missing")
    hints, names, fenced = {}, [], False
    for at, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        fenced ^= line.strip().startswith("```")
        item = re.match(r"(\d+)\. +(.*)$", line)
        if line.startswith("## ") and not fenced:
            if names and hints[names[-1]]:
                names = []
            names.append(line[3:].strip())
            if names[-1] in hints:
                raise project.Stop(f"{path.relative_to(project.ROOT)}:{at}: '{names[-1]}' is there twice")
            hints[names[-1]] = hints[names[0]] if len(names) > 1 else []
        elif item and names and not fenced:
            if int(item.group(1)) != len(hints[names[0]]) + 1:
                raise project.Stop(f"{path.relative_to(project.ROOT)}:{at}: hint {item.group(1)} is out of its place")
            hints[names[0]].append(item.group(2))
        elif names and hints[names[0]]:
            if line.strip() and not line.startswith("   "):
                raise project.Stop(f"{path.relative_to(project.ROOT)}:{at}: neither a heading nor a part of a hint "
                                   "(which is indented by three blanks)")
            hints[names[0]][-1] += "\n" + line[3:]
        elif names and line.strip():
            raise project.Stop(f"{path.relative_to(project.ROOT)}:{at}: text before the first hint of '{names[-1]}'")
    return {name: [text.strip() for text in texts] for name, texts in hints.items()}
