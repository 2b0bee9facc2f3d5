#include "ssl/bench/suite.h"

#include <nlohmann/json.hpp>

namespace vergence {
namespace {

struct SuiteRow {
  const char* name;
  void (*apply)(BenchSettings&);
};

constexpr SuiteRow suite_rows[] = {
    {"simclr", [](BenchSettings&) {}},
    {"eager", [](BenchSettings& s) { s.run.values.record = false; }},
    {"own_kernels", [](BenchSettings& s) { s.run.values.conv = CudaConv::cuda; }},
    {"quarter_batch", [](BenchSettings& s) { s.run.values.batch /= 4; }},
    {"barlow_twins", [](BenchSettings& s) { s.run.values.objective = "barlow_twins"; }},
};

}  // namespace

const std::vector<std::string>& suite_names() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> list;
    for (const SuiteRow& row : suite_rows) list.emplace_back(row.name);
    return list;
  }();
  return names;
}

BenchSettings suite_settings(const std::string& name, BenchSettings common) {
  for (const SuiteRow& row : suite_rows) {
    if (name != row.name) continue;
    row.apply(common);
    const std::int64_t batch = common.run.values.batch;
    require_usage(batch >= 2, "--batch: ", batch, " images are too few, expected at least 2");
    return common;
  }
  throw UsageError(join("--settings: there is no '", name, "'"));
}

nlohmann::ordered_json bench_suite(const std::string& name, const BenchSettings& common) {
  nlohmann::ordered_json line{{"setting", name}};
  try {
    const BenchSettings settings = suite_settings(name, common);
    line.update(bench_report(settings, bench_step(settings)));
  } catch (const std::exception& error) {
    line["error"] = error.what();
  }
  return line;
}

}  // namespace vergence
