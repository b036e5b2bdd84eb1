"""A deck's header says what problem it is, how to run it, what to compare it with and what to expect."""

import re

WANTED = ["Problem", "Run", "Reference", "Expected"]


def faults(tree):
    found = []
    for name in tree.select(".json", under=("inputs",)):
        header = re.match(r"(?:\s*//[^\n]*\n)*", tree.read(name)).group()
        found += [f"{name}:1: the header has no line '// {word}:'" for word in WANTED
                  if not re.search(rf"^//[ \t]*{word}:[ \t]*\S", header, re.M)]
    return found


CLEAN = {"inputs/a/deck.json": "// Problem:  x\n// Run:      x\n// Reference: x\n// Expected: x\n{}\n"}
PLANTED = [{"inputs/b.json": "{}\n"},
           {"inputs/b.json": "// Problem: x\n// Run: x\n// Reference:\n// Expected: x\n{}\n"}]
