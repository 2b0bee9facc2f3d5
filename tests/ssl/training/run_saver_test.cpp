// The files that a run saves together: none is of another step than the others, or worse than what it replaces.
#include "ssl/training/run_saver.h"

#include <filesystem>
#include <gtest/gtest.h>
#include <limits>

#include "engine/io/safetensors.h"
#include "ssl/training/finishing.h"
#include "tests/support/complaints.h"
#include "tests/support/small_mrcl.h"
#include "tests/support/small_runs.h"
#include "tests/support/temporary_folder.h"

namespace vergence {
namespace {

namespace fs = std::filesystem;

class RunSaverTest : public ::testing::Test {
 protected:
  std::string file(const std::string& name) const { return folder_ / ("run/" + name + ".safetensors"); }
  std::string step_of(const std::string& name) const { return SafetensorsFile(file(name)).meta("step"); }
  void save(RunSaver& saver, std::int64_t step) {
    saver.save(step, 1, true);
    saver.wait();
  }
  /// Sets the last parameter of this set, or the first.
  void spoil(const std::string& set, bool last) {
    const ParameterSet all = set_of(*run_.objective, set);
    const Tensor tensor = all.tensors()[last ? all.count() - 1 : 0];
    cpu_backend().fill(tensor.array(), std::numeric_limits<double>::infinity());
  }

  TemporaryFolder folder_;
  Options options_ = small_run(tiny_mrcl("simclr", {{"mrcl.alpha", "0"}, {"mrcl.recalibrate", "2"}}), folder_ / "run");
  RunData data_{options_};
  RunSetup run_{options_, data_, cpu_backend()};
  RunFolder of_run_{options_.out, false};
  RunNotes notes_{true};
};

TEST_F(RunSaverTest, NoEncoderLiesBesideThatOfAnEarlierStep) {
  {
    RunSaver saver(run_, of_run_, notes_);
    save(saver, 4);
    EXPECT_FALSE(fs::exists(file("encoder_as_trained")));
    saver.recalibrated(recalibrated_statistics(run_));
    save(saver, 8);
  }
  EXPECT_EQ(step_of("encoder"), "8");
  EXPECT_EQ(step_of("encoder_as_trained"), "8");
  // The run goes on, as by --max-steps or --extend.
  RunSaver saver(run_, of_run_, notes_);
  save(saver, 9);
  EXPECT_EQ(step_of("encoder"), "9");
  EXPECT_FALSE(fs::exists(file("encoder_as_trained")));
}

TEST_F(RunSaverTest, TheEncoderOfAnEarlierStepGoesBeforeTheNewOneComes) {
  RunSaver saver(run_, of_run_, notes_);
  save(saver, 4);
  fs::copy(file("encoder"), file("encoder_as_trained"));
  fs::remove(file("encoder"));
  fs::create_directory(file("encoder"));  // which cannot be replaced
  EXPECT_NE(error_or<std::exception>("saved", [&] { save(saver, 8); }), "saved");
  EXPECT_FALSE(fs::exists(file("encoder_as_trained")));
}

TEST_F(RunSaverTest, WeightsThatAreNotFiniteReplaceNothing) {
  RunSaver saver(run_, of_run_, notes_);
  saver.recalibrated(recalibrated_statistics(run_));
  save(saver, 4);
  const auto all = [&] {
    return folder_.bytes("run/encoder.safetensors") + folder_.bytes("run/encoder_as_trained.safetensors") +
           folder_.bytes("run/checkpoint.safetensors");
  };
  const std::string before = all();
  for (const bool last : {true, false}) {  // of the head, then of the encoder
    spoil("model", last);
    expect_contains(
        message_of<Error>([&] { save(saver, 8); }),
        {"step 8: ", " is not finite; a lower --lr may help. The last checkpoint is kept in " + options_.out});
    EXPECT_EQ(all(), before);
  }
}

TEST_F(RunSaverTest, NorDoTheyBegin) {
  RunSaver saver(run_, of_run_, notes_);
  spoil("model", false);
  const std::string message = message_of<Error>([&] { save(saver, 4); });
  expect_contains(message, {"step 4: ", " is not finite; a lower --lr may help"});
  EXPECT_EQ(message.find("kept"), std::string::npos) << message;
  for (const char* name : {"checkpoint", "encoder"}) EXPECT_FALSE(fs::exists(file(name))) << name;
}

}  // namespace
}  // namespace vergence
