// pretrain: learns an encoder from images without labels, alone or as one of several ranks.
#include <algorithm>
#include <cstdio>
#include <new>
#include <string_view>
#include <variant>

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
  } catch (const std::bad_alloc&) {
    throw Error(at(Error(out_of_memory)));
  } catch (const std::exception& error) {
    throw Error(at(error));
  }
}

bool plans(int argc, char** argv) {
  return std::any_of(argv, argv + argc, [](const char* word) { return std::string_view(word) == "--plan"; });
}

/// The options, or what is wrong with them, which only some ranks may find: a file may be missing on one host.
std::variant<Options, std::string> options_or_refusal(int argc, char** argv, const Launch& launch) {
  try {
    Options options = parse_pretrain(argc, argv);
    options.command = shell_line(argc, argv);
    return options;
  } catch (const HelpRequest&) {
    if (launch.rank == 0) throw;
    throw ToldElsewhere{0};
  } catch (const UsageError& error) {
    if (launch.ranks == 1 || plans(argc, argv)) throw;
    return error.what();
  }
}

int train(const std::variant<Options, std::string>& given, const Launch& launch) {
  const auto* refusal = std::get_if<std::string>(&given);
  const Options options = refusal ? Options() : std::get<Options>(given);
  World world(launch, refusal ? "cpu" : options.device, options.rank_timeout, refusal ? *refusal : "");
  return pretrain(options, world).exit_status;
}

int run(int argc, char** argv) {
  const Launch launch = launch_of_environment();
  const std::variant<Options, std::string> given = options_or_refusal(argc, argv, launch);
  if (const auto* options = std::get_if<Options>(&given); options && options->plan)
    return launch.rank == 0 ? show_plan(*options, launch.ranks) : 0;
  if (launch.rank == 0) return train(given, launch);
  return follow(launch, [&] { return train(given, launch); });
}

}  // namespace
}  // namespace vergence

int main(int argc, char** argv) {
  return vergence::run_tool("pretrain", [&] { return vergence::run(argc, argv); });
}
