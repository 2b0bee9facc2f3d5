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

Exported small_resnet() {
  const ResNetSettings settings{.encoder = "resnet18", .width = 64, .stem = Stem::imagenet};
  return {.trained = {make_resnet(settings, {cpu_backend(), 3}), {}, {}},
          .mean = {0.5, 0.4, 0.3},
          .std = {0.2, 0.25, 0.3},
          .short_side = 32};
}

TEST(TimmFolder, AFailedExportCanBeRepeated) {
  const TemporaryFolder folder;
  const Exported exported = small_resnet();
  {
    const FileLimit limit(1 << 20);
    EXPECT_THROW(write_timm_folder(folder / "made", exported), Error);
  }
  EXPECT_FALSE(file_exists(folder / "made/model.safetensors"));
  write_timm_folder(folder / "made", exported);
  for (const char* name : {"config.json", "README.md", "model.safetensors"})
    EXPECT_TRUE(file_exists(folder / ("made/" + std::string(name)))) << name;
}

TEST(TimmFolder, ItsCardClaimsNoMoreThanIsKnown) {
  const TemporaryFolder folder;
  Exported exported = small_resnet();
  const auto card_of = [&](const Metadata& about) {
    exported.trained.metadata = about;
    write_timm_folder(folder / "made", exported);
    return folder.bytes("made/README.md");
  };
  const Metadata own{{"objective", "simclr"}, {"dataset", "cifar10"}, {"epoch", "5"}};
  Metadata further = own;
  further["init"] = "resnet18.pth";
  for (const char* claim : {"without labels", "self-supervised"}) {
    EXPECT_NE(card_of(own).find(claim), std::string::npos) << claim;
    EXPECT_EQ(card_of(further).find(claim), std::string::npos) << claim;
    EXPECT_EQ(card_of({}).find(claim), std::string::npos) << claim;
  }
  EXPECT_NE(card_of(further).find("- started from: resnet18.pth, "), std::string::npos);
  EXPECT_NE(card_of({}).find("\nExported by Vergence "), std::string::npos);
  EXPECT_NE(card_of({}).find("- training: unknown\n"), std::string::npos);
  EXPECT_EQ(card_of({}).find("objective"), std::string::npos);
}

TEST(TimmFolder, ItsCardIsReplacedAndNoOther) {
  const TemporaryFolder folder;
  Exported exported = small_resnet();
  const auto card_after = [&](const char* epoch) {
    exported.trained.metadata = {{"objective", "simclr"}, {"dataset", "cifar10"}, {"epoch", epoch}};
    write_timm_folder(folder / "made", exported);
    return folder.bytes("made/README.md");
  };
  const std::string card = card_after("5");
  EXPECT_NE(card.find("- epochs: 5\n"), std::string::npos) << card;
  EXPECT_NE(card_after("6").find("- epochs: 6\n"), std::string::npos);

  std::string earlier = card_after("7");  // another version's line
  const std::size_t begin = earlier.find("Pretrained by Vergence "), end = earlier.find('\n', begin);
  earlier.replace(begin, end - begin, "Pretrained by Vergence 0.1. It has no classifier.");
  write_atomically(folder / "made/README.md", earlier);
  EXPECT_NE(card_after("8").find("- epochs: 8\n"), std::string::npos);

  const std::string mine = folder.bytes("made/README.md") + "It was trained on my own photographs.\n";
  for (const std::string& kept : {mine, std::string("mine\n")}) {
    write_atomically(folder / "made/README.md", kept);
    EXPECT_EQ(card_after("9"), kept);
  }
}

}  // namespace
}  // namespace vergence
