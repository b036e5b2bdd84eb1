"""No tracked file names a path of one machine, or a host that software is fetched from: the tools know those."""

import re

# Written in pieces, so that this file keeps its own rule.
PATHS = re.compile(r"(?<![\w.$}/~-])/(?:" + "|".join(["ro" + "ot", "ho" + "me", "wo" + "rk", "Us" + "ers"]) + r")/[\w.]")
HOSTS = re.compile("|".join(["py" + r"pi\.org", r"python" + r"hosted\.org", r"deb\.deb" + r"ian\.org",
                             r"hugging" + r"face\.co\b", r"github" + r"usercontent"]))
TEXT = (".hpp", ".cpp", ".txt", ".cmake", ".py", ".md", ".json", ".in", ".sh", ".yml")


def is_text(name):
    last = name.rsplit("/", 1)[-1]
    return name.endswith(TEXT) or "." not in last or last.startswith(".")


def faults(tree):
    found = []
    for name in filter(is_text, tree.names):
        for number, line in enumerate(tree.read(name).splitlines(), 1):
            for what, pattern in (("a path of one machine", PATHS), ("a host to download from", HOSTS)):
                match = pattern.search(line)
                if match:
                    found.append(f"{name}:{number}: {what}: {match.group()}")
    return found


CLEAN = {"README.md": "build/work/x lies in ~/work/x or $HOME/x\n"}
PLANTED = [
    {"jobs/run": "cd /ho" + "me/me/x\n"},
    {"lib/a.cpp": '"/ro' + 'ot/.cache"\n'},
    {"jobs/get": "wget https://py" + "pi.org/x\n"},
]
