#!/usr/bin/env python3
"""local_names_test.py FOLDER

Fails where two sources of a room of the source tree FOLDER define the same name in an anonymous namespace. A whole build
compiles several files of a room as one (VERGENCE_UNITY): there two such functions become overloads, and a call may find the
other file's, without a word from the compiler. Left out are kernels, which are never compiled together, and the files that
define an objective, which CMakeLists.txt keeps apart.
Before that it looks at two small sources with one name of each kind in common.
"""
import collections
import pathlib
import re
import sys

ROOMS = ["engine", "models", "datasets", "ssl"]
ANONYMOUS = re.compile(r"^namespace \{\n(.*?)^\}  // namespace$", re.MULTILINE | re.DOTALL)
# What begins in the first column: clang-format indents all that lies deeper.
TYPE = re.compile(r"^(?:struct|class|union|enum(?: class)?) (\w+)", re.MULTILINE)
ALIAS = re.compile(r"^using (\w+) =", re.MULTILINE)
FUNCTION = re.compile(r"^(?!using |struct |class |union |enum |#|//|return )[\w:\[][^()={;\n]*?[ *&>](\w+)\(", re.MULTILINE)
VARIABLE = re.compile(r"^(?!using |struct |class |union |enum |namespace |#|//|return )[\w:][^()={;\n]*[ *&>](\w+)(?:\[\w*\])?(?: =|\{|;)", re.MULTILINE)


def names_of(text):
    for body in ANONYMOUS.findall(text):
        for pattern in (TYPE, ALIAS, FUNCTION, VARIABLE):
            yield from pattern.findall(body)


def defines_objective(path):
    folder = path.parent
    return folder.name == "objectives" or folder.parent.name == "objectives" and path.stem == folder.name


def problems_of(sources):
    """sources: {path: text} of one room."""
    files = collections.defaultdict(set)
    for path, text in sources.items():
        for name in names_of(text):
            files[name].add(path)
    for name, paths in sorted(files.items()):
        if len(paths) > 1:
            yield f"{name} is defined in the anonymous namespaces of {', '.join(sorted(paths))}"


def test_of_the_test():
    first = """namespace vergence {
namespace {

namespace fs = std::filesystem;
using Row = std::vector<int>;
struct Plan {
  int check(int x) { return x; }
};
enum class Kind { a };
constexpr std::array<int, 2> sizes{1, 2};
std::atomic<bool> flag;
const char* const words[] = {"a"};
template <class Number>
std::string text(Number value) {
  return text(value);
}
[[noreturn]] void refuse(const Plan& plan,
                         int line) {
  throw 1;
}

}  // namespace
void shared() {}
}  // namespace vergence
"""
    common = ["Row", "Plan", "Kind", "sizes", "flag", "words", "text", "refuse"]
    found = list(problems_of({"a.cpp": first, "b.cpp": first}))
    missed = [name for name in common if f"{name} is defined in the anonymous namespaces of a.cpp, b.cpp" not in found]
    if missed or len(found) != len(common) or list(problems_of({"a.cpp": first})):
        sys.exit(f"local_names_test.py: missed {missed} in\n" + "\n".join(found))


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: local_names_test.py FOLDER")
    test_of_the_test()
    root = pathlib.Path(sys.argv[1])
    problems, count = [], 0
    for room in ROOMS:
        sources = {str(path.relative_to(root)): path.read_text(encoding="utf-8")
                   for path in (root / room).rglob("*.cpp") if not defines_objective(path)}
        count += sum(len(set(names_of(text))) for text in sources.values())
        problems += problems_of(sources)
    print("\n".join(problems) or f"{count} names in anonymous namespaces, each once in its room")
    sys.exit(1 if problems or not count else 0)


if __name__ == "__main__":
    main()
