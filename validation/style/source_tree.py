"""The files that belong to the project, as the rules see them."""

import pathlib
import re
import subprocess

COMMENT_OR_STRING = re.compile(
    r'//[^\n]*|/\*.*?\*/|R"(\w*)\(.*?\)\1"|"(?:\\.|[^"\\\n])*"|(?<![0-9a-fA-F])\'(?:\\.|[^\'\\\n])+\'', re.S)


def blank_comments_and_strings(text):
    """The C++ text with comments and literals replaced by spaces; line numbers stay."""
    return COMMENT_OR_STRING.sub(lambda m: re.sub(r"[^\n]", " ", m.group()), text)


class SourceTree:
    """A checkout, or a planted tree without git: then every file below the root counts."""

    def __init__(self, root, build=None):
        self.root = pathlib.Path(root)
        self.build = pathlib.Path(build) if build else None
        if (self.root / ".git").exists():
            # Files not added yet count too, so that a rule speaks before the commit.
            listed = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
                                    cwd=self.root, check=True, stdout=subprocess.PIPE, text=True).stdout.split("\0")
            names = [name for name in listed if name and (self.root / name).is_file()]
        else:
            names = [str(p.relative_to(self.root)) for p in self.root.rglob("*") if p.is_file()]
        self.names = sorted(names)

    def select(self, *suffixes, under=()):
        """Names with one of these suffixes, below one of these folders (any folder when none is given)."""
        return [n for n in self.names
                if n.endswith(suffixes) and (not under or n.split("/", 1)[0] in under)]

    def read(self, name):
        return (self.root / name).read_text(encoding="utf-8", errors="replace")

    def cpp(self):
        return self.select(".hpp", ".cpp", ".cu", ".cuh")
