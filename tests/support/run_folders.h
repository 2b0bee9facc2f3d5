// Run folders as pretrain leaves them, of a few lines each.
#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>

#include "engine/io/safetensors.h"
#include "kernels/error.h"
#include "ssl/options/options.h"
#include "ssl/options/table.h"
#include "tests/support/temporary_folder.h"

namespace vergence {

class Runs {
 public:
  std::string add(const std::string& name, Options options, const std::string& metrics = "",
                  const std::string& results = "", const std::string& record = "") {
    const std::string path = folder_ / name;
    std::filesystem::create_directories(path);
    options.out = path;
    write(name + "/config.toml", options_to_toml(options));
    if (!metrics.empty()) write(name + "/metrics.jsonl", metrics);
    if (!results.empty()) write(name + "/results.jsonl", results);
    if (!record.empty()) write(name + "/run.json", record);
    return path;
  }
  /// The same with the encoder of the last epoch.
  template <class... Files>
  std::string add_finished(const std::string& name, const Options& options, const Files&... files) {
    const std::string path = add(name, options, files...);
    write_safetensors(path + "/encoder.safetensors", {}, {{"epoch", std::to_string(options.epochs)}});
    return path;
  }
  void write(const std::string& name, const std::string& text) { std::ofstream(folder_ / name) << text; }
  std::string path(const std::string& name) const { return folder_ / name; }

 private:
  TemporaryFolder folder_;
};

inline Options seeded(std::int64_t seed, const std::string& objective = "simclr") {
  Options options;
  options.objective = objective;
  options.seed = seed;
  options.epochs = 2;
  return options;
}

/// A line of results.jsonl.
inline std::string probe(double top1, const std::string& settings = R"("limit":0)", int epoch = 2) {
  return join(R"({"tool":"linear_probe","protocol":"lbfgs","judged_on":"cifar10","split":"test","encoder_file":)",
              R"("a/encoder.safetensors","untrained":false,"epoch":)", epoch, R"(,"step":)", 10 * epoch,
              R"(,"settings":{"run_seed":7,"threads":2,)", settings, R"(},"figures":{"top1":)", top1, "}}\n");
}

}  // namespace vergence
