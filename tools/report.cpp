// report: a web page of several runs, without scripts, in one file: their table, curves, and what their encoders see.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <fstream>

#include "engine/io/destination.h"
#include "engine/io/files.h"
#include "engine/text/printable.h"
#include "kernels/error.h"
#include "ssl/options/tool_options.h"
#include "ssl/report/comparison.h"
#include "ssl/report/page.h"
#include "tools/common.h"

namespace {

const char* const description =
    "Writes one HTML file about runs, which needs no network and no script to be read: the table of\n"
    "compare, the curves of metrics.jsonl over each other, sample views, nearest neighbors and a map of\n"
    "test images, MRCL's reconstructions, MetaMask's mask. Runs that differ only in their seed are one\n"
    "curve with a band; a second run of one seed is a curve of its own, and unfinished runs are left\n"
    "out beside finished ones. What cannot be shown is named on the page.\n"
    "Example: report runs/cifar10_simclr_s1 runs/cifar10_metamask_s1 --out report.html";

/// A page may replace an older page, but nothing else, such as a file of the runs.
void expect_no_other_file(const std::string& out) {
  if (!vergence::destination_of(out).is_regular()) return;
  constexpr std::string_view head = "<!DOCTYPE html>";
  std::string start(head.size(), '\0');
  std::ifstream file(out, std::ios::binary);
  file.read(start.data(), static_cast<std::streamsize>(start.size()));
  vergence::require_usage(file.gcount() == 0 || start == head, out,
                          ": exists and is not an HTML page, expected the name of another file");
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app(description, "report");
  std::vector<std::string> paths;
  std::string out;
  vergence::SampleSettings settings;
  app.add_option("RUN", paths, "run folders of pretrain")->required();
  app.add_option("--out", out, "file to write")->type_name("FILE")->required();
  app.add_option("--images", settings.images, "images for the map, and as many in which neighbors are looked for")
      ->check(CLI::Range(std::int64_t{1}, std::int64_t{100000}))
      ->capture_default_str();
  add_table_option(app, {"device"}, settings.given);
  return vergence::run_tool(app, argc, argv, [&] {
    expect_no_other_file(out);
    vergence::ResultFile file(out);
    const std::vector<vergence::RunFiles> runs = vergence::read_runs(paths);
    for (const vergence::RunFiles& run : runs) vergence::print_notices(run.notices);
    vergence::print_notices(vergence::compare_runs(runs).notices);
    const std::string page = vergence::report_page(runs, settings);
    file.write(page);
    std::printf("%s: %.1f KiB\n", vergence::printable(out).c_str(), static_cast<double>(page.size()) / 1024);
    return 0;
  });
}
