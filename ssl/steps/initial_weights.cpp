#include "ssl/steps/initial_weights.h"

#include "engine/text/printable.h"
#include "models/weights/encoder_weights.h"
#include "models/weights/normalization.h"
#include "ssl/options/table.h"

namespace vergence {
namespace {

/// The run's options with the network that a file describes. Throws UsageError if that is none.
Options with_described(const Metadata& metadata, Options options) {
  const EncoderSettings described = EncoderSettings::from_metadata(metadata, options.init);
  options.encoder = described.encoder;
  for (const EncoderOption& option : family_of(described.encoder).options)
    if (!option.initial) copy_option(option, described.components, options.components);
  return options;
}

/// One line with the options in which the file's network differs from the run's, or empty. If shapes differ, loading
/// has refused the file already.
std::string other_network(const Metadata& metadata, const Options& run) {
  if (!describes_encoder(metadata)) return "";
  std::vector<std::string> names{"encoder"};
  for (const EncoderOption& option : family_of(run.encoder).options) {
    const bool is_new = option.name == "stem" && run.init_stem == StemRule::renew;
    if (!is_new) names.push_back(option.name);
  }
  try {
    const Options file = with_described(metadata, run);
    std::string files, runs;
    for (const std::string& name : names) {
      const std::string of_file = option_text(file, name), of_run = option_text(run, name);
      if (of_file == of_run) continue;
      const char* before = files.empty() ? "--" : " and --";
      files += join(before, name, " ", of_file);
      runs += join(before, name, " ", of_run);
    }
    return files.empty() ? "" : join("the file's network has ", files, ", this run's has ", runs);
  } catch (const UsageError& error) {
    return join("the file's network may be another than this run's: ", error.what());
  }
}

/// With a new first convolution, the file's normalization no longer matters.
std::string notices(const Metadata& metadata, const Options& run, const ViewSettings& view) {
  std::string lines;
  const bool same_stem = run.init_stem != StemRule::renew;
  for (const std::string& notice :
       {other_network(metadata, run), same_stem ? other_normalization(metadata, view) : std::string()})
    if (!notice.empty()) lines += "\nnotice: " + printable(notice);
  return lines;
}

}  // namespace

std::optional<InitialWeights> initial_weights(const ObjectiveSetup& setup, const ViewSettings& view) {
  const Options& options = setup.options;
  const bool chosen = !options.init_prefix.empty() || options.init_stem != StemRule::exact;
  require_usage(!options.init.empty() || !chosen, "--init-prefix and --init-stem: expected --init FILE too");
  if (options.init.empty()) return {};
  try {
    EncoderWeights weights(options.init, options.init_prefix, setup.encoder, "choose one with --init-prefix");
    InitialWeights initial{weights.load(setup.encoder, setup.init(), options.init_stem), {}};
    initial.report = weights.report() + notices(weights.metadata(), options, view);
    return initial;
  } catch (const UsageError& error) {
    throw UsageError(join("--init: ", error.what()));
  }
}

}  // namespace vergence
