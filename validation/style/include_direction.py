"""A folder includes only what is below it: kernels < io < lib < apps, and inside lib only what is to its left."""

import re

LADDER = ["kernels", "io", "lib", "apps"]
ON_TOP = ["validation", "perf"]  # these see everything, and nothing includes them
LIB = ["deck", "comm", "nn", "models", "program", "state", "optim", "checkpoint", "engine", "report", "plan"]
# Operations stand beside each other; what they may share lies in base, fp8, elementwise and gemm, in this order.
KERNELS_SHARED = [{"base"}, {"fp8"}, {"elementwise"}, {"gemm"}]
IO_ALSO = {"tokens": {"hdf5", "text"}}

INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.M)
GENERATED = {"trireme_version.hpp", "trireme_cpu_needs.hpp", "trireme_paths.hpp"}


def may_include(top, folder):
    """The other folders of kernels or io that `folder` may include."""
    if top == "io":
        return IO_ALSO.get(folder, set())
    allowed = set()
    for level in KERNELS_SHARED:
        if folder in level:
            return allowed
        allowed |= level
    return allowed


def reason_against(name, included):
    """Why `name` may not include `included`, or None."""
    here, there = name.split("/"), included.split("/")
    if there[0] not in LADDER + ON_TOP:
        return "includes are written from the top of the checkout"
    if there[0] in ON_TOP:
        if here[0] not in ON_TOP:
            return f"{here[0]} must not know {there[0]}"
        return None
    if here[0] in ON_TOP:
        return None
    if LADDER.index(there[0]) > LADDER.index(here[0]):
        return f"{there[0]} is above {here[0]}"
    if there[0] != here[0] or len(here) == 2 or here[1] == there[1]:
        return None
    if here[0] == "lib":
        if here[1] not in LIB or there[1] not in LIB:
            return "the folder has no place in the order of lib"
        return None if LIB.index(there[1]) < LIB.index(here[1]) else f"{there[1]} is right of {here[1]} in lib"
    if here[0] == "apps":
        return "a program does not include another one's files"
    allowed = may_include(here[0], here[1])
    if len(there) == 2 or there[1] in allowed:
        return None
    return f"{here[0]}/{here[1]} may include {', '.join(sorted(allowed)) or 'no other folder'}"


def faults(tree):
    known = set(tree.names)
    found = []
    for name in tree.cpp():
        text = tree.read(name)
        for match in INCLUDE.finditer(text):
            included = match.group(1)
            if included in GENERATED:
                continue
            reason = reason_against(name, included)
            if reason is None and included not in known:
                reason = "there is no such file"
            if reason:
                line = text.count("\n", 0, match.start(1)) + 1
                found.append(f'{name}:{line}: includes "{included}": {reason}')
    return found


CLEAN = {
    "kernels/base/a.hpp": "",
    "kernels/gemm/gemm.hpp": '#include "kernels/base/a.hpp"\n',
    "kernels/attention/attention.cpp": '#include "kernels/gemm/gemm.hpp"\n',
    "io/version.hpp": "",
    "io/hdf5/file.hpp": '#include "io/version.hpp"\n',
    "lib/deck/deck.hpp": '#include "kernels/gemm/gemm.hpp"\n',
    "lib/comm/grid.hpp": '#include "lib/deck/deck.hpp"\n',
    "apps/pretrain/main.cpp": '#include "lib/comm/grid.hpp"\n',
    "validation/unit/a_test.cpp": '#include "lib/comm/grid.hpp"\n',
}
PLANTED = [
    {"kernels/base/b.hpp": '#include "kernels/gemm/gemm.hpp"\n'},
    {"kernels/gemm/b.cpp": '#include "kernels/attention/attention.cpp"\n'},
    {"kernels/elementwise/b.cpp": '#include "kernels/gemm/gemm.hpp"\n'},
    {"kernels/norm/norm.cpp": '#include "kernels/attention/attention.cpp"\n'},
    {"kernels/gemm/b.cpp": '#include "io/version.hpp"\n'},
    {"io/hdf5/b.cpp": '#include "lib/deck/deck.hpp"\n'},
    {"lib/deck/b.cpp": '#include "lib/comm/grid.hpp"\n'},
    {"lib/other/b.cpp": '#include "lib/comm/grid.hpp"\n'},
    {"lib/comm/b.cpp": '#include "grid.hpp"\n'},
    {"lib/comm/b.cpp": '#include "validation/unit/a_test.cpp"\n'},
    {"lib/comm/b.cpp": '#include "lib/comm/gone.hpp"\n'},
    {"apps/data/main.cpp": '#include "apps/pretrain/main.cpp"\n'},
]
