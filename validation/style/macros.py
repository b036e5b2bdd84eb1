"""No function macros: errors, checks and loops are functions and templates."""

import re

DEFINE = re.compile(r"^\s*#\s*define\s+\w+\(")


def faults(tree):
    return [f"{name}:{number}: a function macro: {line.strip()}"
            for name in tree.cpp()
            for number, line in enumerate(tree.read(name).splitlines(), 1) if DEFINE.match(line)]


CLEAN = {"lib/a.cpp": "#define NAME (1)\n// #define F(x) x\n"}
PLANTED = [{"lib/a.hpp": "#define F(x) x\n"}, {"lib/a.cpp": "#  define CHECK(x)\n"}]
