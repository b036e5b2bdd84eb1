#!/usr/bin/env python3
"""The comparison of golden_test.cpp with every element, against the PyTorch that is installed here.

    live_test.py DUMP_CASES GOLDEN_TEST FOLDER
"""

import os
import pathlib
import subprocess
import sys

import make_goldens

dump_cases, golden_test, folder = sys.argv[1], sys.argv[2], pathlib.Path(sys.argv[3])
subprocess.run([dump_cases, folder], check=True)
make_goldens.make(folder, folder, everything=True)
result = subprocess.run([golden_test], env={**os.environ, "TRIREME_GOLDENS": str(folder)})
sys.exit(result.returncode)
