"""Files of more than 600 lines are split; those of more than 400 are named. Functions have at most 80 lines of code."""

import re

from source_tree import blank_comments_and_strings

FILE_LIMIT = 600
FILE_REMARK = 400
FUNCTION_LIMIT = 80
NOT_A_FUNCTION = re.compile(r"\b(namespace|class|struct|union|enum|if|for|while|switch|catch|else|do|try|return)\b")


def opens_function(head):
    """Whether `head`, the text between the last ; { or } and a brace, declares a function or a lambda's body."""
    head = re.sub(r"^\s*(public|private|protected)\s*:", "", head)
    head = re.sub(r"^\s*template\s*<[^{;]*?>\s*(?=[\w:])", "", head, flags=re.S)
    head = re.sub(r"^\s*#.*$", "", head, flags=re.M)
    head = re.sub(r"\brequires\b[^\n]*", "", head)
    return "(" in head and not NOT_A_FUNCTION.search(head.split("(")[0]) and not re.search(r"=\s*$", head)


def functions(text):
    """(first line, lines of code, head) of every outermost function. Comments, blank lines and literals do not count."""
    code = blank_comments_and_strings(text)
    found = []
    stack = []  # for each open brace: start of its function, or None
    head_start = 0
    for place, sign in enumerate(code):
        if sign == "{":
            inside = any(entry is not None for entry in stack)
            head = code[head_start:place]
            start = head_start + len(head) - len(head.lstrip())
            stack.append(start if not inside and opens_function(head) else None)
        elif sign == "}" and stack:
            start = stack.pop()
            if start is not None:
                lines = sum(1 for line in code[start:place + 1].splitlines() if line.strip())
                found.append((code.count("\n", 0, start) + 1, lines, " ".join(code[start:start + 60].split())))
        if sign in "{};":
            head_start = place + 1
    return found


def remarks(tree):
    long_files = [(tree.read(n).count("\n"), n) for n in tree.cpp() + tree.select(".py")]
    return [f"{n}: {lines} lines; most files stay under {FILE_REMARK}"
            for lines, n in sorted(long_files, reverse=True) if lines > FILE_REMARK]


def faults(tree):
    found = []
    for name in tree.cpp() + tree.select(".py"):
        lines = tree.read(name).count("\n")
        if lines > FILE_LIMIT:
            found.append(f"{name}:{lines}: {lines} lines; a file has at most {FILE_LIMIT}")
    for name in tree.cpp():
        for first, lines, head in functions(tree.read(name)):
            if lines > FUNCTION_LIMIT:
                found.append(f"{name}:{first}: {lines} lines of code in '{head}'; a function has at most {FUNCTION_LIMIT}")
    return found


def body(lines):
    return "  step();\n" * lines


CLEAN = {
    "lib/a.cpp": "namespace a {\n" + "int x;\n" * 100 + "int f(int a) {\n" + body(78) + "}\n}\n",
    "lib/b.cpp": "struct B {\n" + "  int f() { return 1; }\n" * 100 + "};\nconst int table[] = {\n" + "  1,\n" * 90
                 + "};\n",
    "lib/text.cpp": 'const char* text() {\n  return R"x(' + "line {\n" * 100 + ')x";\n}\n',
    "lib/c.cpp": "// {\n" + 'const char* text = "{";\nchar c = \'{\';\n' + "int x;\n" * 100,
}
PLANTED = [
    {"lib/long.cpp": "int x;\n" * 601},
    {"lib/function.cpp": "namespace a {\nint f(int a) {\n" + body(79) + "}\n}\n"},
    {"lib/member.cpp": "int A::f(int a) const {\n  if (a) {\n" + body(79) + "  }\n}\n"},
    {"lib/construct.cpp": "A::A(int a)\n    : a_(a),\n      b_(a) {\n" + body(79) + "}\n"},
    {"lib/inline.hpp": "template <class T>\nstruct A {\n  void f(T t) {\n" + body(80) + "  }\n};\n"},
]
