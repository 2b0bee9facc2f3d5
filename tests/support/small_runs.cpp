#include "tests/support/small_runs.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <sstream>

#include "engine/text/json_text.h"

namespace vergence {

std::vector<nlohmann::json> metrics_of(const TemporaryFolder& folder, const std::string& run) {
  std::vector<nlohmann::json> lines;
  std::istringstream in(folder.bytes(run + "/metrics.jsonl"));
  for (std::string line; std::getline(in, line);) {
    lines.push_back(parse_json(line));
    EXPECT_EQ(lines.back().erase("clock"), 1u);
  }
  return lines;
}

void expect_resumed_equals_whole(const TemporaryFolder& folder, const std::string& whole, Options options,
                                 std::int64_t steps, const std::vector<std::int64_t>& stops,
                                 const std::vector<std::string>& files) {
  const std::string parts = whole + "_parts";
  options.out = folder / whole;
  EXPECT_EQ(pretrain(options).steps, steps) << whole;
  options.out = folder / parts;
  std::int64_t from = 0;
  for (const std::int64_t until : stops) {
    options.max_steps = until;
    options.resume = from > 0;
    options.workers = 1 + until % 2;
    const TrainingResult result = pretrain(options);
    EXPECT_EQ(result.started_at, from) << whole;
    EXPECT_EQ(result.steps, until ? until : steps) << whole;
    from = result.steps;
  }
  for (const std::string& file : files)
    EXPECT_EQ(folder.bytes(whole + "/" + file), folder.bytes(parts + "/" + file)) << whole << " " << file;
  EXPECT_EQ(metrics_of(folder, whole), metrics_of(folder, parts)) << whole;
}

}  // namespace vergence
