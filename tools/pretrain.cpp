// pretrain: learns an encoder from images without labels, alone or as one of several ranks.
#include <cstdio>

#include "datasets/verify.h"
#include "engine/text/printable.h"
#include "engine/text/shell_words.h"
#include "kernels/communicators/launch.h"
#include "ssl/options/help.h"
#include "ssl/steps/world.h"
#include "ssl/training/stages.h"
#include "tools/common.h"

namespace vergence {
namespace {

int show_plan(const Options& options, int ranks) {
  if (options.verify)
    verify_dataset(dataset_settings(options),
                   [](const std::string& line) { std::printf("%s\n", printable(line).c_str()); });
  std::fputs(describe_plan(options, ranks).c_str(), stdout);
  return 0;
}

/// Runs `body` as a rank that does not lead. What all ranks find is told by the leader; other errors name this rank.
int follow(const Launch& launch, const std::function<int()>& body) {
  const auto at = [&](const std::exception& error) {
    std::fputc('\n', stderr);  // ends the leader's line of progress
    const std::string rank = join("rank ", launch.rank, " of ", launch.ranks), message = error.what();
    return message.starts_with(rank) ? message : join(rank, ": ", message);  // a communicator's has it
  };
  try {
    return body();
  } catch (const SharedUsageError&) {
    throw ToldElsewhere{2};
  } catch (const SharedError&) {
    throw ToldElsewhere{1};
  } catch (const UsageError& error) {
    throw UsageError(at(error));
  } catch (const std::exception& error) {
    throw Error(at(error));
  }
}

/// The options; the leader alone tells what is wrong with them, and shows the help.
Options options_of(int argc, char** argv, const Launch& launch) {
  try {
    Options options = parse_pretrain(argc, argv);
    options.command = shell_line(argc, argv);
    return options;
  } catch (const HelpRequest&) {
    if (launch.rank == 0) throw;
    throw ToldElsewhere{0};
  } catch (const UsageError&) {
    if (launch.rank == 0) throw;
    throw ToldElsewhere{2};
  }
}

int run(int argc, char** argv) {
  const Launch launch = launch_of_environment();
  const Options options = options_of(argc, argv, launch);
  if (options.plan) return launch.rank == 0 ? show_plan(options, launch.ranks) : 0;
  const auto train = [&] {
    World world(launch, options.device, options.rank_timeout);
    return pretrain(options, world).exit_status;
  };
  return launch.rank == 0 ? train() : follow(launch, train);
}

}  // namespace
}  // namespace vergence

int main(int argc, char** argv) {
  return vergence::run_tool("pretrain", [&] { return vergence::run(argc, argv); });
}
