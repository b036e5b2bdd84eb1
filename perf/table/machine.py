"""What was measured where: commit, CPU, threads, date, and the limits of the machine in that minute."""

import datetime
import hashlib
import json
import os
import platform
import re
import subprocess

from contest import Contender


def cpu_fields():
    with open("/proc/cpuinfo") as lines:
        first = lines.read().split("\n\n")[0]
    return dict(re.findall(r"^([^\t:]+?)\s*: (.*)$", first, re.M))


def facts(bench):
    cpu = cpu_fields()
    isa = [flag for flag in cpu.get("flags", "").split() if re.match(r"avx|fma|f16c|amx", flag)]
    version = subprocess.run([bench.build / "apps/trireme-pretrain", "--version"], stdout=subprocess.PIPE, text=True)
    commit = re.search(r"\((.*)\)", version.stdout)
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": commit.group(1) if commit else "unknown",
        "cpu": f"{cpu.get('model name', platform.machine())}, family {cpu.get('cpu family')}, model {cpu.get('model')}",
        "cores": os.cpu_count(),
        "threads": bench.threads,
        "flags": " ".join(isa),
        "load": f"{os.getloadavg()[0]:.1f} at the start",
        "processes": bench.processes,
    }


def name(machine):
    """Of the machine's baselines: machines of one name have the same CPU, instructions and cores."""
    text = f"{machine['cpu']} {machine['flags']} {machine['cores']} {machine['threads']}"
    return re.sub(r"[^a-z0-9]+", "-", machine["cpu"].split(",")[0].lower()) + "-" + hashlib.sha1(
        text.encode()).hexdigest()[:8]


def limits(bench, threads=None):
    """The limits as one more contender, so that they are measured between the turns of the others."""
    command = [bench.build / "perf/limits/perf_limits", "--threads", threads or bench.threads,
               "--seconds", 0.1 if bench.tiny else 1.5, "--megabytes", 4 if bench.tiny else 128]
    return Contender("limits", command, lambda finished: json.loads(finished.output))
