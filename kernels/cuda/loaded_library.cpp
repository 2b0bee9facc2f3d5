#include "kernels/cuda/loaded_library.h"

#include <algorithm>
#include <cstdlib>
#include <dlfcn.h>
#include <filesystem>

namespace vergence {

namespace {

namespace fs = std::filesystem;

constexpr const char* own_variable = "VERGENCE_CUDA_LIBRARIES";

/// The parts of an environment variable, separated by colons.
std::vector<std::string> listed_in(const char* variable) {
  const char* value = std::getenv(variable);
  std::vector<std::string> parts;
  std::istringstream rest(value ? value : "");
  for (std::string part; std::getline(rest, part, ':');)
    if (!part.empty()) parts.push_back(part);
  return parts;
}

/// The folders in `folder` whose names begin with `prefix`, sorted by name; none if it cannot be read.
std::vector<fs::path> folders_in(const fs::path& folder, const std::string& prefix) {
  std::vector<fs::path> found;
  std::error_code failure;
  for (fs::directory_iterator at(folder, failure), end; !failure && at != end; at.increment(failure))
    if (at->path().filename().string().starts_with(prefix) && at->is_directory(failure)) found.push_back(at->path());
  std::ranges::sort(found);
  return found;
}

/// Folders that may contain lib/python3*: the virtual environment, the parents of PATH's folders in order, then
/// the user's.
std::vector<fs::path> python_prefixes() {
  std::vector<fs::path> prefixes;
  const auto add = [&](const fs::path& prefix) {
    if (!prefix.empty() && std::ranges::find(prefixes, prefix) == prefixes.end()) prefixes.push_back(prefix);
  };
  for (const std::string& environment : listed_in("VIRTUAL_ENV")) add(environment);
  for (const std::string& programs : listed_in("PATH")) {
    const fs::path folder = fs::path(programs).lexically_normal();
    add((folder.has_filename() ? folder : folder.parent_path()).parent_path());
  }
  for (const std::string& home : listed_in("HOME")) add(fs::path(home) / ".local");
  return prefixes;
}

}  // namespace

std::vector<std::string> pip_folders_of(const std::string& name) {
  std::vector<std::string> found;
  std::error_code failure;
  for (const fs::path& prefix : python_prefixes())
    for (const fs::path& python : folders_in(prefix / "lib", "python3"))
      for (const char* packages : {"site-packages", "dist-packages"})
        for (const fs::path& package : folders_in(python / packages / "nvidia", ""))
          if (fs::exists(package / "lib" / name, failure)) found.push_back(package / "lib");
  return found;
}

std::string LoadedLibrary::take(void* handle, const Fault& fault_of) {
  handle_ = handle;
  const std::string fault = fault_of ? fault_of(*this) : "";
  if (fault.empty()) return "";
  dlclose(handle);
  handle_ = nullptr;
  return fault;
}

LoadedLibrary::LoadedLibrary(const std::string& name, const std::string& built_with, const Fault& fault_of)
    : name_(name) {
  std::string failures;  // of files that exist
  const auto load = [&](const std::string& folder) {
    std::error_code failure;
    const std::string file = folder + "/" + name;
    if (handle_ || !fs::exists(file, failure)) return;
    if (void* handle = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL); !handle)
      failures += join("; ", dlerror());
    else if (const std::string fault = take(handle, fault_of); !fault.empty())
      failures += join("; ", file, ": ", fault);
  };
  const std::vector<std::string> named = listed_in(own_variable);
  for (const std::string& folder : named) load(folder);
  if (!handle_) {
    if (void* handle = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL)) {
      if (const std::string fault = take(handle, fault_of); !fault.empty()) failures += join("; the system's: ", fault);
    } else if (const std::string why = dlerror();
               why.find(name + ": cannot open shared object file") == std::string::npos) {
      failures += join("; ", why);
    }
  }
  if (!built_with.empty()) load(built_with);
  if (!handle_)
    for (const std::string& folder : pip_folders_of(name)) load(folder);
  if (handle_) return;
  std::string places = join(own_variable, named.empty() ? " (not set)" : "");
  for (const std::string& folder : named) places += join(" ", folder);
  places += ", LD_LIBRARY_PATH, the system's folders";
  if (!built_with.empty()) places += join(", ", built_with);
  throw Error(join(name, " cannot be loaded: looked in ", places, ", Python's nvidia packages beside PATH", failures));
}

void* LoadedLibrary::address(const char* name) const {
  void* found = dlsym(handle_, name);
  require(found != nullptr, name_, " has no function ", name);
  return found;
}

}  // namespace vergence
