"""Programs leave through main with a code of trireme::Exit; scripts use the same numbers; apps/README.md names them."""

import re

from source_tree import blank_comments_and_strings

ENUM = "kernels/base/error.hpp"
PAGE = "apps/README.md"
LEAVE = re.compile(r"(?<![\w.>:])(?:std::|::)?(?:_?exit|_Exit|quick_exit|MPI_Abort)\s*\(|std::(?:abort|terminate)\s*\(")
# A job whose other ranks hang, a second signal, and a CPU that cannot run the program; tests may die as they like.
MAY_LEAVE = ("lib/comm/world.cpp", "lib/engine/stop.cpp", "kernels/base/cpu_guard.cpp", "validation/", "perf/")


def codes(tree):
    text = tree.read(ENUM)
    body = re.search(r"enum class Exit[^{]*\{(.*?)\}", text, re.S).group(1)
    return {int(value) for value in re.findall(r"\bk\w+\s*=\s*(\d+)", body)}


def faults(tree):
    known = codes(tree)
    found = []
    for name in tree.cpp():
        if name.startswith(MAY_LEAVE):
            continue
        code = blank_comments_and_strings(tree.read(name))
        for number, line in enumerate(code.splitlines(), 1):
            if LEAVE.search(line):
                found.append(f"{name}:{number}: leaves without main: {line.strip()}")
            match = re.search(r"\breturn\s+(\d+)\s*;", line)
            if match and name.endswith("/main.cpp") and int(match.group(1)) not in known:
                found.append(f"{name}:{number}: {match.group(1)} is not an exit code of trireme::Exit")
    for name in tree.names:
        if not tree.read(name).startswith(("#!/usr/bin/env bash", "#!/bin/sh")):
            continue
        for number, line in enumerate(tree.read(name).splitlines(), 1):
            for value in re.findall(r"\bexit\s+(\d+)\b", line.split("#")[0]):
                if int(value) not in known:
                    found.append(f"{name}:{number}: exit {value} is not a code of trireme::Exit")
    if PAGE in tree.names:
        named = {int(v) for v in re.findall(r"(?:^|[:;])\s*(\d+) ", tree.read(PAGE), re.M)}
        found += [f"{PAGE}:1: exit code {value} is not explained" for value in sorted(known - named)]
    return found


CLEAN = {
    ENUM: "enum class Exit : int {\n  kOk = 0,  ///< fine\n  kUsage = 2,  ///< bad\n};\n",
    PAGE: "Exit codes: 0 done; 2 bad arguments.\n",
    "apps/a/main.cpp": "int main() { return 2; }  // never exit(7)\n",
    "jobs/run": "#!/usr/bin/env bash\nexit 2\n",
}
PLANTED = [
    {"lib/a.cpp": "void f() { std::exit(1); }\n"},
    {"lib/a.cpp": "void f() { MPI_Abort(MPI_COMM_WORLD, 1); }\n"},
    {"apps/a/main.cpp": "int main() {\n  return 7;\n}\n"},
    {"jobs/run": "#!/usr/bin/env bash\nexit 99\n"},
    {PAGE: "Exit codes: 0 done.\n"},
]
