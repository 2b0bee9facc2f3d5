// Tests where NVIDIA's libraries are looked for, with a library of this process in their place.
#include "kernels/cuda/loaded_library.h"

#include <cstdlib>
#include <dlfcn.h>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <omp.h>

#include "tests/support/complaints.h"
#include "tests/support/temporary_folder.h"

namespace vergence {
namespace {

namespace fs = std::filesystem;

constexpr const char* name = "libvergence_stand_in.so.9";

/// Sets an environment variable during a scope.
class Variable {
 public:
  Variable(const char* name, const std::string& value) : name_(name) {
    if (const char* before = std::getenv(name)) before_ = before;
    ::setenv(name, value.c_str(), 1);
  }
  ~Variable() { ::setenv(name_, before_.c_str(), 1); }

 private:
  const char* name_;
  std::string before_;
};

/// Copies OpenMP's library into `folder` under the stand-in's name.
void put_library(const fs::path& folder) {
  Dl_info found;
  ASSERT_NE(dladdr(reinterpret_cast<void*>(&omp_get_max_threads), &found), 0);
  fs::create_directories(folder);
  fs::copy_file(found.dli_fname, folder / name);
}

int threads_by(const LoadedLibrary& library) {
  int (*threads)() = nullptr;
  library.find(threads, "omp_get_num_procs");
  return threads();
}

std::string complaint(const std::string& built_with = "") {
  return message_of<Error>([&] { LoadedLibrary(name, built_with); });
}

TEST(LoadedLibrary, SaysWhereItLooked) {
  const TemporaryFolder empty;
  const Variable path("PATH", empty / "bin"), home("HOME", empty.path()), python("VIRTUAL_ENV", empty.path());
  const Variable own("VERGENCE_CUDA_LIBRARIES", empty / "here:" + empty / "there");
  expect_contains(complaint("/built/with"), {join(name, " cannot be loaded"), empty / "here", empty / "there",
                                             "LD_LIBRARY_PATH", "/built/with", "Python's nvidia packages"});
}

TEST(LoadedLibrary, IsFoundInTheFoldersThatAreNamed) {
  const TemporaryFolder folder;
  put_library(folder / "mine");
  EXPECT_GT(threads_by(LoadedLibrary(name, folder / "mine")), 0);
  const Variable own("VERGENCE_CUDA_LIBRARIES", folder / "none::" + folder / "mine");
  const LoadedLibrary library(name, "");
  EXPECT_GT(threads_by(library), 0);
  int (*absent)() = nullptr;
  EXPECT_EQ(message_of<Error>([&] { library.find(absent, "no_such_function"); }),
            join(name, " has no function no_such_function"));
}

TEST(LoadedLibrary, IsFoundWherePipPutsIt) {
  const TemporaryFolder folder;
  const Variable home("HOME", folder / "home"), python("VIRTUAL_ENV", "");
  const Variable path("PATH", folder / "prefix/bin" + ":" + folder / "empty/bin/");
  EXPECT_TRUE(pip_folders_of(name).empty());
  const std::string of_path = folder / "prefix/lib/python3.12/dist-packages/nvidia/cudnn/lib";
  const std::string of_user = folder / "home/.local/lib/python3.11/site-packages/nvidia/cu13/lib";
  put_library(of_user);
  put_library(of_path);
  EXPECT_EQ(pip_folders_of(name), (std::vector<std::string>{of_path, of_user}));
  EXPECT_GT(threads_by(LoadedLibrary(name, "")), 0);
  const Variable environment("VIRTUAL_ENV", folder / "home/.local");
  EXPECT_EQ(pip_folders_of(name), (std::vector<std::string>{of_user, of_path}));
}

TEST(LoadedLibrary, AFileThatIsNoLibraryIsNamedAndTheNextIsTaken) {
  const TemporaryFolder folder;
  const Variable path("PATH", ""), home("HOME", "");
  fs::create_directories(folder / "broken");
  std::ofstream(folder / "broken/" + name) << "no library";
  const Variable own("VERGENCE_CUDA_LIBRARIES", folder / "broken");
  expect_contains(complaint(), {folder / "broken/" + name + ": file too short"});
  put_library(folder / "good");
  EXPECT_GT(threads_by(LoadedLibrary(name, folder / "good")), 0);
}

TEST(LoadedLibrary, AnUnusableOneIsNamedAndTheNextIsTaken) {
  const TemporaryFolder folder;
  const Variable path("PATH", ""), home("HOME", "");
  put_library(folder / "old");
  put_library(folder / "good");
  const Variable own("VERGENCE_CUDA_LIBRARIES", folder / "old");
  int looked_at = 0;
  const LoadedLibrary::Fault first_alone = [&](const LoadedLibrary&) {
    return ++looked_at == 1 ? std::string("version 1 is too old") : "";
  };
  EXPECT_GT(threads_by(LoadedLibrary(name, folder / "good", first_alone)), 0);
  EXPECT_EQ(looked_at, 2);
  const std::string why =
      message_of<Error>([&] { LoadedLibrary(name, folder / "good", [](const LoadedLibrary&) { return "too old"; }); });
  expect_contains(why, {folder / "old/" + name + ": too old", folder / "good/" + name + ": too old"});
}

}  // namespace
}  // namespace vergence
