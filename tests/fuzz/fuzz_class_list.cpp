// The file of --classes.
#include <algorithm>
#include <cctype>
#include <set>

#include "datasets/image_list.h"
#include "tests/fuzz/fuzz_target.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace vergence;
  const std::string path = write_input("classes.txt", {reinterpret_cast<const char*>(data), size});
  std::vector<std::string> names;
  if (!accepts("--classes: " + path, [&] { names = read_class_names(path); })) return 0;
  must(!names.empty() && std::set<std::string>(names.begin(), names.end()).size() == names.size(), "no name twice");
  std::string again;
  for (const std::string& name : names) {
    must(!name.empty() && name.find('#') == std::string::npos, "a name is a word before a comment");
    must(std::none_of(name.begin(), name.end(), [](unsigned char c) { return std::isspace(c) != 0; }), "one word");
    again += name + " and more # of this\r\n\n";
  }
  write_input("classes.txt", again);
  must(read_class_names(path) == names, "names read back as they are");
  return 0;
}
