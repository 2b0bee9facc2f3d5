// Runs a fuzz target on files, as libFuzzer's own main does with files for arguments, with any compiler.
//   fuzz_replay_READER FILE_OR_FOLDER...
#include <algorithm>
#include <exception>
#include <filesystem>
#include <vector>

#include "tests/fuzz/fuzz_target.h"

namespace {

namespace fs = std::filesystem;

std::vector<std::string> files_of(const fs::path& path) {
  std::vector<std::string> files;
  if (!fs::is_directory(path)) return {path.string()};
  for (const fs::directory_entry& entry : fs::directory_iterator(path)) files.push_back(entry.path().string());
  std::sort(files.begin(), files.end());
  return files;
}

}  // namespace

int main(int count, char** arguments) {
  std::string running = "nothing";
  try {
    int runs = 0;
    for (int i = 1; i < count; ++i) {
      for (const std::string& file : files_of(arguments[i])) {
        running = file;
        std::fprintf(stderr, "%s\n", file.c_str());  // the last line where the process is ended
        const std::string bytes = vergence::read_file(file);
        LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
        ++runs;
      }
    }
    std::printf("%d inputs\n", runs);
    return runs > 0 ? 0 : 1;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s: not refused by a UsageError: %s\n", running.c_str(), error.what());
    return 1;
  }
}
