// The file of the CPU's losses with which a GPU's are compared: what is written is read again, and nothing else is.
#include "tests/support/training_losses.h"

#include <gtest/gtest.h>

#include "engine/io/files.h"
#include "tests/support/complaints.h"
#include "tests/support/temporary_folder.h"

namespace vergence::test {
namespace {

std::vector<double> row(double first) {
  std::vector<double> losses;
  for (int i = 0; i < compared_steps; ++i) losses.push_back(first / (i + 3));
  return losses;
}

std::string some_losses() {
  return cpu_losses_text({{"simclr", row(7.1), row(7.2)}, {"barlow_twins", row(-90), row(1e-9)}});
}

/// The message about a file with the first `what` of a good one replaced.
std::string complaint_about(const std::string& what, const std::string& by) {
  const TemporaryFolder folder;
  std::string text = some_losses();
  const std::size_t at = text.find(what);
  EXPECT_NE(at, std::string::npos) << what;
  write_atomically(folder / "losses.json", text.replace(at, what.size(), by));
  std::string message = message_of([&] { read_cpu_losses(folder / "losses.json"); });
  expect_contains(message, {folder / "losses.json: "});
  return message;
}

TEST(CpuLosses, AreReadAsTheyWereWritten) {
  const TemporaryFolder folder;
  write_atomically(folder / "losses.json", some_losses());
  const std::vector<CpuLosses> all = read_cpu_losses(folder / "losses.json");
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[0].objective, "simclr");
  EXPECT_EQ(all[0].losses, row(7.1));
  EXPECT_EQ(all[0].direct, row(7.2));
  EXPECT_EQ(all[1].objective, "barlow_twins");
  EXPECT_EQ(all[1].losses, row(-90));
  EXPECT_EQ(all[1].direct, row(1e-9));
}

TEST(CpuLosses, OfOtherStepsOrDamagedAreRefused) {
  expect_contains(complaint_about("\"batch\": 16", "\"batch\": 8"), {"written for the steps", "\"batch\":16"});
  expect_contains(complaint_about("\"simclr\"", "\"byol\""), {"has no losses of 'simclr'"});
  expect_contains(complaint_about("\"lr\": 0.001", "\"lr\": 0.1"), {"'simclr' was not trained at the rate 0.001"});
  expect_contains(complaint_about("\"direct\": [", "\"direct\": [1,"), {"'direct' is not a list of 50 losses"});
  expect_contains(complaint_about("\"losses\": [", "\"other\": ["), {"'losses' is not a list of 50 losses"});
  expect_contains(complaint_about("-30.0", "\"-30.0\""),
                  {"'barlow_twins': 'losses' holds \"-30.0\", expected a number"});
  expect_contains(complaint_about("\"settings\"", "\"set\""), {"not the losses that cpu_losses writes"});
  expect_contains(complaint_about("{", ""), {"not the losses that cpu_losses writes"});
}

TEST(CpuLosses, ThatAreNotThereAreNamed) {
  expect_contains(message_of([] { read_cpu_losses("/nowhere/losses.json"); }), {"/nowhere/losses.json"});
}

}  // namespace
}  // namespace vergence::test
