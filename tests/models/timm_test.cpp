// The folder for timm that a failure leaves. tests/tools/export_test.py loads whole ones.
#include "models/export/timm.h"

#include <csignal>
#include <filesystem>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include "engine/io/files.h"
#include "models/encoders/resnet.h"
#include "tests/support/temporary_folder.h"

namespace vergence {
namespace {

/// No file grows beyond this many bytes meanwhile.
class FileLimit {
 public:
  explicit FileLimit(rlim_t bytes) : handler_(std::signal(SIGXFSZ, SIG_IGN)) {
    ::getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit less{bytes, before_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &less);
  }
  ~FileLimit() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, handler_);
  }
  FileLimit(const FileLimit&) = delete;
  FileLimit& operator=(const FileLimit&) = delete;

 private:
  rlimit before_{};
  void (*handler_)(int);
};

TEST(TimmFolder, AFailedExportCanBeRepeated) {
  const TemporaryFolder folder;
  const ResNetSettings settings{.encoder = "resnet18", .width = 64, .stem = Stem::imagenet};
  const Exported exported{.trained = {make_resnet(settings, {cpu_backend(), 3}), {}, {}},
                          .mean = {0.5, 0.4, 0.3},
                          .std = {0.2, 0.25, 0.3},
                          .short_side = 32};
  {
    const FileLimit limit(1 << 20);
    EXPECT_THROW(write_timm_folder(folder / "made", exported), Error);
  }
  EXPECT_FALSE(file_exists(folder / "made/model.safetensors"));
  write_timm_folder(folder / "made", exported);
  for (const char* name : {"config.json", "README.md", "model.safetensors"})
    EXPECT_TRUE(file_exists(folder / ("made/" + std::string(name)))) << name;
}

}  // namespace
}  // namespace vergence
