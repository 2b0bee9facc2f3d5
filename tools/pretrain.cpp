// pretrain: learns an encoder from images without labels.
#include <cstdio>

#include "datasets/verify.h"
#include "engine/text/printable.h"
#include "engine/text/shell_words.h"
#include "ssl/training/stages.h"
#include "tools/common.h"

int main(int argc, char** argv) {
  return vergence::run_tool("pretrain", [&] {
    vergence::Options options = vergence::parse_pretrain(argc, argv);
    options.command = vergence::shell_line(argc, argv);
    if (!options.plan) return vergence::pretrain(options).exit_status;
    if (options.verify)
      vergence::verify_dataset(vergence::dataset_settings(options),
                               [](const std::string& line) { std::printf("%s\n", vergence::printable(line).c_str()); });
    std::fputs(vergence::describe_plan(options).c_str(), stdout);
    return 0;
  });
}
