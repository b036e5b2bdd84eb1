#!/usr/bin/env python3
"""Applies one rule about the source: run.py RULE --root CHECKOUT [--build DIR] [--strict].

A rule is a module with
  faults(tree)   messages "path:line: what is wrong", none for a clean tree
  PLANTED        list of {path: text}: small trees with a fault each, which the rule must find; a text may be a
                 function of the tree's folder that makes it
  CLEAN          {path: text}: the same without the faults, which the rule must accept
  missing()      optional: why the rule cannot run here (a tool that is not installed), or None
  remarks(tree)  optional: lines worth printing that fail nothing
The planted trees run first: a rule that misses its own planted fault fails. Exit 0 clean, 1 faults, 77 cannot run.
"""

import argparse
import importlib
import pathlib
import sys
import tempfile

from source_tree import SourceTree

CANNOT_RUN = 77


def planted_tree(folder, files):
    for name, text in files.items():
        path = pathlib.Path(folder) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text(path.parent) if callable(text) else text)
    return SourceTree(folder)


def self_test(rule):
    """Messages about a rule that does not find what was planted for it."""
    wrong = []
    if not rule.PLANTED:
        wrong.append("the rule has no planted fault")
    for files in rule.PLANTED:
        with tempfile.TemporaryDirectory() as folder:
            if not rule.faults(planted_tree(folder, {**rule.CLEAN, **files})):
                wrong.append(f"the planted fault in {', '.join(files)} was not found")
    with tempfile.TemporaryDirectory() as folder:
        wrong += [f"found in a clean tree: {fault}" for fault in rule.faults(planted_tree(folder, rule.CLEAN))]
    return wrong


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("rule")
    parser.add_argument("--root", required=True)
    parser.add_argument("--build")
    parser.add_argument("--strict", action="store_true")
    arguments = parser.parse_args()
    rule = importlib.import_module(arguments.rule)

    reason = rule.missing() if hasattr(rule, "missing") else None
    if reason:
        print(f"{arguments.rule} cannot run: {reason}")
        return 1 if arguments.strict else CANNOT_RUN
    wrong = self_test(rule)
    if wrong:
        print("\n".join(wrong))
        return 1
    tree = SourceTree(arguments.root, arguments.build)
    for line in rule.remarks(tree) if hasattr(rule, "remarks") else []:
        print(line)
    faults = rule.faults(tree)
    print("\n".join(faults))
    print(f"{arguments.rule}: {len(faults)} faults; {len(rule.PLANTED)} of {len(rule.PLANTED)} planted faults found")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
