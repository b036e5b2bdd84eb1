"""Objects compiled for more than the baseline CPU define nothing that the linker may share with other objects.

A template or inline function emitted there is a weak symbol; the linker keeps one copy of it, and when it keeps this
one, code for an older CPU dies of an illegal instruction. Which files these are is read from compile_commands.json:
those with a -m option more than most have.
"""

import collections
import json
import pathlib
import shlex
import subprocess


def isa_options(entry):
    words = shlex.split(entry["command"]) if "command" in entry else entry["arguments"]
    # -march is replaced by a later one, so only the last counts; x86-64 is below every baseline.
    march = [w for w in words if w.startswith("-march=")][-1:]
    more = [w for w in words if w.startswith("-m") and not w.startswith(("-march=", "-mno-"))]
    return frozenset(more + [w for w in march if w != "-march=x86-64"])


def output_of(entry):
    words = shlex.split(entry["command"]) if "command" in entry else entry["arguments"]
    return pathlib.Path(entry["directory"]) / words[words.index("-o") + 1]


def shared_symbols(object_file):
    """Functions that the object defines and the linker may take for another object's."""
    listed = subprocess.run(["nm", "--defined-only", "--demangle", str(object_file)], check=True,
                            stdout=subprocess.PIPE, text=True).stdout
    return [line.split(" ", 2)[2] for line in listed.splitlines() if line.split(" ", 2)[1] in "WwiI"]


def faults(tree):
    commands = (tree.build or tree.root) / "compile_commands.json"
    if not commands.exists():
        return [f"{commands}: there is no such file: configure with CMAKE_EXPORT_COMPILE_COMMANDS"]
    entries = json.loads(commands.read_text())
    baseline = collections.Counter(isa_options(e) for e in entries).most_common(1)[0][0] if entries else frozenset()
    found = []
    for entry in entries:
        if isa_options(entry) <= baseline:
            continue
        if not output_of(entry).exists():
            found.append(f"{entry['file']}:1: its object is not built")
            continue
        found += [f"{entry['file']}:1: compiled with {' '.join(sorted(isa_options(entry) - baseline))} and defines "
                  f"the shared symbol {symbol}" for symbol in shared_symbols(output_of(entry))]
    return found


def compiled(text, option):
    """Makes a compile_commands.json with three plain files and one of `text` compiled with `option`."""
    def make(folder):
        entries = []
        for name, source, options in [("a", "", []), ("b", "", []), ("c", "", []), ("fast", text, [option])]:
            path = folder / f"{name}.cpp"
            path.write_text(source)
            command = ["c++", "-O1", "-march=x86-64-v3", *options, "-c", str(path), "-o", str(path.with_suffix(".o"))]
            subprocess.run(command, check=True)
            entries.append({"directory": str(folder), "file": str(path), "arguments": command})
        return json.dumps(entries)
    return make


LOOP = "static void scale(float* x) { x[0] *= 2; }\nvoid scale_fast(float* x) { scale(x); }\n"
TEMPLATE = "template <class T> __attribute__((noinline)) void f(T* x) { x[0] *= 2; }\nvoid g(float* x) { f(x); }\n"
CLEAN = {"compile_commands.json": compiled(LOOP, "-mavx512f")}
PLANTED = [{"compile_commands.json": compiled(TEMPLATE, "-mavx512f")},
           {"compile_commands.json": compiled(TEMPLATE, "-march=x86-64-v4")}]
