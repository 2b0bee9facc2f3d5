// Python's pickles as plain data.
#include <set>

#include "datasets/readers/pickled_array.h"
#include "tests/fuzz/fuzz_target.h"

namespace {

using namespace vergence;

/// Every value that can be reached, each once: lists may hold themselves.
std::set<const PickleValue*> reachable(const PickleValue& root) {
  std::set<const PickleValue*> seen{&root};
  std::vector<const PickleValue*> waiting{&root};
  while (!waiting.empty()) {
    const PickleValue* value = waiting.back();
    waiting.pop_back();
    for (const PickleValue* child : value->children)
      if (seen.insert(child).second) waiting.push_back(child);
  }
  return seen;
}

void check_array(const Pickle& pickle, const PickleValue* value) {
  PickledArray array;
  if (!accepts("file: ", [&] { array = pickled_array(pickle, value); })) return;
  must(array.type.size() == 3, "an array has a type of numbers");
  __extension__ unsigned __int128 size = static_cast<std::uint64_t>(array.type[2] - '0');
  for (const std::int64_t side : array.shape) {
    must(side >= 0, "a side of an array is not negative");
    size *= static_cast<std::uint64_t>(side);
  }
  must(size == array.bytes.size(), "an array has the bytes of its shape");
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view file(reinterpret_cast<const char*>(data), size);
  accepts("file: ", [&] {
    const Pickle pickle(file, "file");
    std::size_t links = 0, letters = 0;
    for (const PickleValue* value : reachable(pickle.root())) {
      links += value->children.size();
      letters += std::set<char>(value->bytes.begin(), value->bytes.end()).size();  // every byte can be read
      const bool array = value->kind == PickleValue::Kind::object;
      accepts("file: ", [&] {
        must(pickled_integer(pickle, *value).has_value() || value->kind != PickleValue::Kind::integer,
             "an integer is one");
        const std::string told = described(pickle, *value);
        must(!told.empty() && told.size() < 400 && is_one_line(told), "a value is described in a few words");
      });
      must(!array || value->children.size() == 2 || value->children.size() == 3, "an object has two or three parts");
      must(value->kind != PickleValue::Kind::dict || value->children.size() % 2 == 0, "every key has a value");
      if (array) check_array(pickle, value);
    }
    must(links <= 4 * size && letters <= 256 * size, "values are made by the file's bytes");
    check_array(pickle, pickle.root().at("data"));
  });
  return 0;
}
