"""The top of the checkout holds the folders of the ladder and the files that tools look for there, nothing else."""

FOLDERS = {"kernels", "io", "lib", "apps", "jobs", "inputs", "validation", "perf", ".ci"}
FILES = {"CMakeLists.txt", "CMakePresets.json", "README.md", "CHANGELOG.md", "LICENSE", ".clang-format", ".clang-tidy",
         ".gitignore"}
WITHOUT_PAGE = {".ci"}


def faults(tree):
    found = [f"{name}:1: does not belong at the top" for name in tree.names if "/" not in name and name not in FILES]
    folders = {name.split("/", 1)[0] for name in tree.names if "/" in name}
    found += [f"{folder}/: no folder of the ladder" for folder in sorted(folders - FOLDERS)]
    found += [f"{folder}/: has no README.md" for folder in sorted(folders & FOLDERS - WITHOUT_PAGE)
              if f"{folder}/README.md" not in tree.names]
    return found


CLEAN = {"README.md": "", "lib/README.md": "", ".ci/run": ""}
PLANTED = [{"notes.txt": ""}, {"cmake/a.cmake": "", "cmake/README.md": ""}, {"io/a.cpp": ""}]
