// The file of --classes.
#include <set>

#include "datasets/readers/images/list.h"
#include "tests/fuzz/fuzz_target.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace vergence;
  const std::string path = write_input("classes.txt", {reinterpret_cast<const char*>(data), size});
  std::vector<std::string> names;
  if (!accepts("--classes: " + path, [&] { names = read_class_names(path); })) return 0;
  must(!names.empty() && std::set<std::string>(names.begin(), names.end()).size() == names.size(), "no name twice");
  std::string again = "\xef\xbb\xbf# a comment\r\n";
  for (const std::string& name : names) {
    must(name.find_first_not_of(" \t\v\f\r") != std::string::npos && name[0] != '#',
         "a name is no comment, and not blank");
    must(name.find('\n') == std::string::npos && name.find('\0') == std::string::npos, "a name is a line of text");
    must(!name.ends_with('\r'), "a carriage return ends a line");
    again += name + "\r\n \t\n";
  }
  write_input("classes.txt", again);
  must(read_class_names(path) == names, "names read back as they are");
  return 0;
}
