"""Every C++ file is as clang-format 14 writes it with the checkout's .clang-format."""

import pathlib
import shutil
import subprocess

TOOL = "clang-format-14"


def missing():
    return None if shutil.which(TOOL) else f"{TOOL} is not installed (jobs/local/install-deps --references)"


def faults(tree):
    names = tree.cpp()
    if not names:
        return []
    run = subprocess.run([TOOL, "--style=file", "--dry-run", "--Werror", *names], cwd=tree.root,
                         stderr=subprocess.PIPE, text=True)
    return [line for line in run.stderr.splitlines() if ": error:" in line]


STYLE = (pathlib.Path(__file__).parents[2] / ".clang-format").read_text()
CLEAN = {".clang-format": STYLE, "lib/a.cpp": "int f(int a) { return a; }\n"}
PLANTED = [{"lib/a.cpp": "int f( int a ) {return a;}\n"}, {"lib/b.hpp": "int  x;\n"}]
