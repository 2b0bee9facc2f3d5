// bench: measures how fast a training step is, whole (`bench step`; `bench suite` for several settings) or per
// operation (`bench ops`), and how fast images become views (`bench data`).
#include <CLI/CLI.hpp>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "engine/text/json_text.h"
#include "ssl/bench/data.h"
#include "ssl/bench/ops.h"
#include "ssl/bench/suite.h"
#include "ssl/options/builder.h"
#include "ssl/options/tool_options.h"
#include "tools/common.h"

namespace {

void add_run_options(CLI::App& app, vergence::BenchSettings& s, const std::vector<const char*>& names) {
  for (const char* name : names) add_table_option(app, {name}, s.run);
}

/// Adds the options that all commands which time steps share.
void add_common_options(CLI::App& app, vergence::BenchSettings& s) {
  add_run_options(app, s, {"encoder"});
  for (const vergence::EncoderFamily& family : vergence::encoder_families())
    for (const vergence::EncoderOption& option : family.options)
      add_table_option(app, {option.name, option.name == "stem" ? "cifar, from 96 pixels on imagenet" : ""}, s.run);
  app.add_option("--image", s.image, "height and width of a view")->check(CLI::Range(8, 1024))->capture_default_str();
  add_run_options(app, s, {"batch"});
  app.add_option("--projector", s.projector, "width of Barlow Twins' projector")
      ->check(CLI::Range(1, 1 << 16))
      ->capture_default_str();
  add_run_options(app, s, {"device", "precision", "cpu-conv", "weight-gradients"});
  app.add_option("--steps", s.steps, "timed steps")->check(CLI::Range(1, 1 << 20))->capture_default_str();
  app.add_option("--warmup", s.warmup, "untimed steps before the timed ones")
      ->check(CLI::Range(0, 1 << 20))
      ->capture_default_str();
  app.add_option("--threads", s.threads, "OpenMP threads; 0: as many as OpenMP chooses")
      ->check(CLI::Range(0, 4096))
      ->capture_default_str();
}

/// Adds the options of a single step.
void add_step_options(CLI::App& app, vergence::BenchSettings& s) {
  add_run_options(app, s, {"objective"});
  add_common_options(app, s);
  add_run_options(app, s, {"conv"});
  add_table_option(app, {.name = "tune", .help = "time convolutions' algorithms instead of using the fixed rule"},
                   s.run);
  add_run_options(app, s, {"micro-batch", "recompute", "recompute-blocks", "record"});
  add_word_option(app, "meta", s.meta, vergence::bench_meta_words,
                  "form of the meta-gradient, for objectives that have one");
  app.add_flag("--fused", s.fused, "MetaMask's virtual step from the regular step's forward pass");
}

struct DataBench {
  std::string image;
  double seconds = 10;
};

void add_data_options(CLI::App& app, DataBench& bench) {
  app.add_option("--seconds", bench.seconds, "how long to measure, about, in seconds")
      ->check(CLI::Range(0.01, 3600.0))
      ->capture_default_str();
  app.add_option("--image", bench.image, "height and width of the views, as pretrain's --image-size")
      ->type_name("NUMBER");
  app.footer("All other options are pretrain's (pretrain --help): --dataset, --data, --config, --batch, --workers.");
  app.allow_extras();
}

/// Parses the arguments of `bench data` that are pretrain's options.
vergence::Options pretrain_options(const CLI::App& app, const DataBench& bench) {
  std::vector<std::string> arguments = app.remaining();
  if (!bench.image.empty()) arguments.insert(arguments.end(), {"--image-size", bench.image});
  std::vector<const char*> pointers{"bench data"};
  for (const std::string& argument : arguments) pointers.push_back(argument.c_str());
  return vergence::parse_pretrain(static_cast<int>(pointers.size()), pointers.data());
}

void print(const nlohmann::ordered_json& report) {
  std::printf("%s\n", vergence::json_text(report).c_str());
  std::fflush(stdout);
}

/// Prints a line for each setting, whether it ran or not. Returns exit status 1 if one failed.
int run_suite(const std::vector<std::string>& names, const vergence::BenchSettings& common) {
  vergence::backend(common.run.values.device.c_str());  // without the device nothing can run
  int status = 0;
  for (const std::string& name : names) {
    const nlohmann::ordered_json line = vergence::bench_suite(name, common);
    print(line);
    if (line.contains("error")) status = 1;
  }
  return status;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Times training steps and the making of views.", "bench");
  app.require_subcommand(1);
  vergence::BenchSettings settings;
  CLI::App* step = app.add_subcommand("step", "one JSON line: the median time of a whole step");
  CLI::App* ops = app.add_subcommand("ops", "a table: every operation of a step, compared with the machine's limits");
  CLI::App* data = app.add_subcommand("data", "one JSON line: images per second through the loader");
  CLI::App* suite = app.add_subcommand("suite", "a JSON line for each of several settings, all in one process");
  add_step_options(*step, settings);
  add_step_options(*ops, settings);
  add_common_options(*suite, settings);
  std::vector<std::string> names = vergence::suite_names();
  suite->add_option("--settings", names, "settings to time, with commas in between")
      ->delimiter(',')
      ->check(CLI::IsMember(names))
      ->capture_default_str();
  DataBench data_bench;
  add_data_options(*data, data_bench);
  return vergence::run_tool(app, argc, argv, [&] {
    if (step->parsed())
      print(vergence::bench_report(settings, vergence::bench_step(settings)));
    else if (data->parsed())
      print(vergence::bench_data(pretrain_options(*data, data_bench), data_bench.seconds));
    else if (suite->parsed())
      return run_suite(names, settings);
    else
      std::fputs(vergence::bench_ops(settings).c_str(), stdout);
    return 0;
  });
}
