// compare: a table of several runs: the options that differ and the final figures, over the seeds of each setting.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstdlib>
#include <sys/ioctl.h>
#include <unistd.h>

#include "engine/text/words.h"
#include "ssl/options/tool_options.h"
#include "ssl/report/table.h"
#include "tools/common.h"

namespace {

const char* const description =
    "Prints a table of runs: the options in which they differ, and their final figures from metrics.jsonl\n"
    "and results.jsonl. Runs that differ only in their seed are one column: mean ± standard deviation of\n"
    "the sample (n: number of seeds). A second run of one seed gets a column of its own; unfinished runs\n"
    "are left out, with a notice, if the column has finished ones.\n"
    "Example: compare runs/cifar10_simclr_s1 runs/cifar10_simclr_s2 runs/cifar10_metamask_s1";

/// The terminal's width; for a file, what COLUMNS says, or 100.
std::size_t columns() {
  winsize size{};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  const char* given = std::getenv("COLUMNS");
  const std::uint16_t width = vergence::number_of<std::uint16_t>(given ? given : "").value_or(0);
  return width > 0 ? width : 100;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app(description, "compare");
  std::vector<std::string> paths;
  vergence::TableFormat format = vergence::TableFormat::text;
  app.add_option("RUN", paths, "run folders of pretrain")->required();
  vergence::add_word_option(app, "format", format, vergence::table_format_words,
                            "text for a terminal, a Markdown table, or CSV with a line for each group and figure");
  return vergence::run_tool(app, argc, argv, [&] {
    const std::vector<vergence::RunFiles> runs = vergence::read_runs(paths);
    const vergence::Comparison comparison = vergence::compare_runs(runs);
    for (const vergence::RunFiles& run : runs) vergence::print_notices(run.notices);
    vergence::print_notices(comparison.notices);
    std::fputs(vergence::table_text(comparison, format, columns()).c_str(), stdout);
    return 0;
  });
}
