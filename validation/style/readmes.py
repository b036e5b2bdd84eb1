"""What a README names exists: links, paths, programs, scripts and their options. Blocks marked `sh run` are run.

In fenced `sh` blocks every line is a command: its script or program must exist, its options must be in the program's
--help, and its paths must be there. Words in capitals (RUN_DIR, N) stand for something of the reader's, and what
lies below build/, runs/ or ~ is made by the commands themselves.
"""

import os
import re
import shlex
import subprocess

FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```", re.M | re.S)
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
CODE = re.compile(r"`([^`\n]+)`")
MADE_LATER = ("build", "runs/", "~", "/", "$")
OPTION_HELP = {}  # help text by checkout and words of the command


def pages(tree):
    return [n for n in tree.names if n.rsplit("/", 1)[-1] in ("README.md", "REFERENCE.md", "SCHEMA.md")]


def top_folders(tree):
    return {n.split("/", 1)[0] for n in tree.names if "/" in n}


def programs(tree):
    """name of every program that apps/*/CMakeLists.txt builds"""
    found = set()
    for name in tree.names:
        if re.fullmatch(r"apps/[^/]+/CMakeLists\.txt", name):
            found |= set(re.findall(r"^\s*trireme_program\(\s*([\w-]+)", tree.read(name), re.M))
    return found


def exists(tree, path):
    path = path.rstrip("/")
    return path in tree.names or any(n.startswith(path + "/") for n in tree.names)


def help_text(tree, *command):
    """--help of a script of ours or of a built program, or of its subcommand; None where it is not built."""
    key = (tree.root, command)
    if key not in OPTION_HELP:
        name = command[0]
        path = tree.root / name if "/" in name else (tree.build or tree.root) / "apps" / name
        if not path.exists():
            return None
        run = subprocess.run([str(path), *command[1:], "--help"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                             text=True, timeout=60, cwd=tree.root, env={**os.environ, "OMP_NUM_THREADS": "1"})
        OPTION_HELP[key] = run.stdout
    return OPTION_HELP[key]


def faults_of_command(tree, line):
    words = shlex.split(line, comments=True)
    while words and re.fullmatch(r"\w+=\S*", words[0]):
        words.pop(0)
    if words and words[0] in ("mpirun", "srun"):  # the launcher's options are not ours
        ours = [i for i, w in enumerate(words) if w.rsplit("/", 1)[-1].startswith("trireme-")]
        words = words[ours[0]:] if ours else words
    if not words:
        return []
    found = []
    first = words[0][2:] if words[0].startswith("./") else words[0]
    command = first.rsplit("/", 1)[-1] if first.startswith("build") else first
    if command.startswith("trireme-"):
        if command not in programs(tree):
            return [f"there is no program {command}"]
    elif "/" in command:
        if not exists(tree, command):
            return [f"there is no {command}"]
        if not os.access(tree.root / command, os.X_OK):
            found.append(f"{command} is not executable")
    else:
        return []  # cmake, git, cd: the system's
    text = help_text(tree, command)
    if text is not None and len(words) > 1 and re.search(rf"^  {re.escape(words[1])}\b", text, re.M):
        text += help_text(tree, command, words[1])
    for word in words[1:]:
        option = word.split("=")[0]
        if option.startswith("--") and text is not None and option not in text:
            found.append(f"{command} --help does not know {option}")
        elif "/" in word and not word.startswith(("-",) + MADE_LATER) and "=" not in word:
            if word.split("/", 1)[0] in top_folders(tree) and not exists(tree, word):
                found.append(f"there is no {word}")
    return found


def run_block(tree, block):
    run = subprocess.run(["bash", "-euo", "pipefail", "-c", block], cwd=tree.root, stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT, text=True, timeout=100)
    return [] if run.returncode == 0 else [f"exit {run.returncode} of the block\n{block}{run.stdout}"]


def faults_of_page(tree, page):
    text = tree.read(page)
    folder = page.rsplit("/", 1)[0] + "/" if "/" in page else ""
    found = []
    for match in FENCE.finditer(text):
        info = match.group(1).split()
        line = text.count("\n", 0, match.start()) + 1
        if not info or info[0] != "sh":
            continue
        for command in match.group(2).replace("\\\n", " ").splitlines():
            found += [(line, fault) for fault in faults_of_command(tree, command)]
        if "run" in info[1:]:
            found += [(line, fault) for fault in run_block(tree, match.group(2))]
    prose = FENCE.sub(lambda m: re.sub(r"[^\n]", " ", m.group()), text)
    for match in LINK.finditer(prose):
        target = match.group(1)
        if "://" not in target and not exists(tree, os.path.normpath(folder + target)):
            found.append((text.count("\n", 0, match.start()) + 1, f"broken link {target}"))
    tops = top_folders(tree)
    for match in CODE.finditer(prose):
        path = match.group(1).split()[0]
        line = text.count("\n", 0, match.start()) + 1
        if re.fullmatch(r"[\w./-]+/[\w./-]*", path) and path.split("/", 1)[0] in tops and not exists(tree, path):
            found.append((line, f"there is no {path}"))
        if page.endswith("README.md") and path.startswith("trireme-") and path not in programs(tree):
            found.append((line, f"there is no program {path}"))
    return [f"{page}:{line}: {fault}" for line, fault in found]


def faults(tree):
    return [fault for page in pages(tree) for fault in faults_of_page(tree, page)]


def script(folder):
    path = folder / "go"
    path.write_text("")
    path.chmod(0o755)
    return '#!/bin/sh\n[ "$1" = part ] && echo "usage: go part --deep" || printf "usage: go --fast\\n  part  a subcommand\\n"\n'


CLEAN = {
    "README.md": "See [lib](lib/README.md), `lib/a.cpp`, `lib/`.\n```sh\njobs/go --fast lib/a.cpp  # quick\njobs/go part --deep\n"
                 "mpirun -n 2 build/apps/trireme-x RUN_DIR --set a/b=c\n```\n```sh run\ntrue\n```\n",
    "lib/README.md": "Up: [top](../README.md)\n",
    "lib/a.cpp": "",
    "jobs/go": script,
    "apps/x/CMakeLists.txt": "trireme_program(trireme-x SOURCES main.cpp)\n",
}
PLANTED = [
    {"README.md": "[lib](lib/GONE.md)\n"},
    {"README.md": "`lib/gone.cpp`\n"},
    {"README.md": "`trireme-gone`\n"},
    {"README.md": "```sh\njobs/gone\n```\n"},
    {"README.md": "```sh\njobs/go --slow\n```\n"},
    {"README.md": "```sh\njobs/go part --slow\n```\n"},
    {"README.md": "```sh\njobs/go lib/gone.cpp\n```\n"},
    {"README.md": "```sh\nmpirun -n 2 build/apps/trireme-gone\n```\n"},
    {"README.md": "```sh run\nfalse\n```\n"},
]
