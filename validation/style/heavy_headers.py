"""Headers that cost seconds to compile, or that belong to one back end, stay where they belong."""

import re

# (what is included, where it may stand, why)
RULES = [
    (r"<Kokkos_[^>]*>", r"kernels/.*\.cpp|kernels/base/parallel\.hpp", "Kokkos stays inside kernels"),
    (r'"kernels/base/parallel\.hpp"', r"(kernels|validation/unit/kernels)/.*\.cpp",
     "Kokkos stays inside the sources of kernels"),
    (r"<(oneapi/)?dnnl[^>]*>", r"kernels/(gemm/.*|base/runtime)\.cpp",
     "oneDNN stays inside kernels/gemm"),
    (r"<CLI/[^>]*>", r"apps/[^/]*/main\.cpp", "the command line is parsed in main.cpp"),
    (r"<nlohmann/json\.hpp>", r".*\.cpp|validation/.*", "a header takes <nlohmann/json_fwd.hpp>"),
    (r"<mpi\.h>", r"(io|lib/comm|lib/checkpoint|apps|validation|perf)/.*", "ranks talk through lib/comm"),
]


def faults(tree):
    found = []
    for name in tree.cpp():
        for number, line in enumerate(tree.read(name).splitlines(), 1):
            match = re.match(r'\s*#\s*include\s+(["<].*[">])', line)
            if not match:
                continue
            for what, where, why in RULES:
                if re.fullmatch(what, match.group(1)) and not re.fullmatch(where, name):
                    found.append(f"{name}:{number}: includes {match.group(1)}: {why}")
    return found


CLEAN = {
    "kernels/norm/norm_kokkos.cpp": '#include "kernels/base/parallel.hpp"\n',
    "kernels/base/parallel.hpp": "#include <Kokkos_Core.hpp>\n",
    "kernels/gemm/gemm_onednn.cpp": "#include <dnnl.hpp>\n",
    "apps/data/main.cpp": "#include <CLI/CLI.hpp>\n",
    "lib/deck/deck.hpp": "#include <nlohmann/json_fwd.hpp>\n",
    "lib/comm/mpi.cpp": "#include <mpi.h>\n",
}
PLANTED = [
    {"lib/nn/layer.cpp": "#include <Kokkos_Core.hpp>\n"},
    {"kernels/norm/norm.hpp": "#include <Kokkos_Core.hpp>\n"},
    {"kernels/norm/norm.hpp": '#include "kernels/base/parallel.hpp"\n'},
    {"kernels/norm/norm.cpp": "#include <oneapi/dnnl/dnnl.hpp>\n"},
    {"lib/deck/command_line.cpp": "#include <CLI/CLI.hpp>\n"},
    {"lib/deck/other.hpp": "#include <nlohmann/json.hpp>\n"},
    {"kernels/norm/norm.cpp": "#include <mpi.h>\n"},
]
