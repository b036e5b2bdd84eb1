"""Every device source is compiled with the others, and every entry of the table of device kernels that it provides is
called by a conformance case, whose program runs on device views (`device_subjects`)."""

import re

from source_tree import blank_comments_and_strings

LIST = "kernels/CMakeLists.txt"
CASES = "validation/unit/kernels/"
SUBJECTS = CASES + "CMakeLists.txt"
ENTRY = re.compile(r"^\s*kernels\.(\w+) = ", re.M)
HELPER = re.compile(r"^(?:void|bool)\s+(\w+)\(", re.M)


def listed(tree):
    """The device sources, from CMake's lists of them."""
    text = " ".join(re.findall(r"(?:set|list\(APPEND)\s*\(?\s*device_sources\s([^)]*)\)", tree.read(LIST)))
    return {"kernels/" + name for name in text.split() if name.endswith((".cu", ".cpp"))}


def programs(tree):
    """What the conformance programs of the device subjects are made of."""
    text = tree.read(SUBJECTS)
    subjects = set(re.search(r"set\(device_subjects ([^)]*)\)", text).group(1).split())
    sources = []
    for subject, files in re.findall(r"trireme_test\(kernels\.(\w+) SOURCES ([^)]*)\)", text):
        if subject in subjects:
            sources += [CASES + name for name in files.split() if name.endswith(".cpp")]
    return " ".join(blank_comments_and_strings(tree.read(name)) for name in sources if name in tree.names)


def faults(tree):
    if LIST not in tree.names:
        return []
    found = []
    known, cases = listed(tree), programs(tree)
    kernels = {name: tree.read(name) for name in tree.select(".cu", under=("kernels",))}
    for name, text in kernels.items():
        if name not in known:
            found.append(f"{name}:1: is not among the device_sources of {LIST}")
    table = {name: ENTRY.findall(tree.read(name)) for name in sorted(known) if name in tree.names}
    for name, entries in table.items():
        for entry in entries:
            if not re.search(rf"\b{entry}\(", cases):
                found.append(f"{name}:1: no device case of {CASES} calls {entry}()")
        helpers = HELPER.findall(tree.read(name)) if name.endswith(".cu") else []
        used = any(re.search(rf"\b{helper}\(", tree.read(other)) for helper in helpers for other in table if other != name)
        if name.endswith(".cu") and not entries and not used:
            found.append(f"{name}:1: provides no entry of the table of device kernels, nor a call for one that does")
    return found


CLEAN = {
    LIST: "set(device_sources a/a_cuda.cu b/b_cuda.cu b/c_cuda.cu)\n",
    SUBJECTS: "trireme_test(kernels.a SOURCES a_test.cpp)\ntrireme_test(kernels.b SOURCES b_test.cpp THREADS 2)\n"
              "set(device_subjects a b)\n",
    "kernels/a/a_cuda.cu": "void provide_a(K& kernels) {\n  kernels.a_forward = f;\n}\n",
    "kernels/b/b_cuda.cu": "void provide_b(K& kernels) {\n  kernels.b_forward = f;\n}\n",
    "kernels/b/c_cuda.cu": "void help_c(int x) {}\n",
    CASES + "a_test.cpp": "TEST(A, Works) { a_forward(1); }\n",
    CASES + "b_test.cpp": "TEST(B, Works) { b_forward(help_c(2)); }\n",
    "kernels/b/b.cpp": "",
}
CLEAN["kernels/b/b_cuda.cu"] += "void f() { help_c(1); }\n"
PLANTED = [
    {CASES + "a_test.cpp": "TEST(A, Works) { b_forward(1); }  // a_forward(1)\n"},
    {SUBJECTS: CLEAN[SUBJECTS].replace("subjects a b", "subjects b")},
    {"kernels/d/d_cuda.cu": "void provide_d(K& kernels) {\n  kernels.a_forward = f;\n}\n"},
    {"kernels/b/b_cuda.cu": "void provide_b(K& kernels) {\n  kernels.b_forward = f;\n}\n"},
]
