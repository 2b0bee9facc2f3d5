#include "ssl/options/pretrain_help.h"

#include <algorithm>
#include <utility>

#include "engine/text/printable.h"
#include "ssl/options/aliases.h"
#include "ssl/options/builder.h"
#include "ssl/options/names.h"

namespace vergence {
namespace {

const char* const opening =
    "Pretrains an image encoder without labels.\n\n"
    "Options can also come from a TOML file (--config), under the same names; the command line overrides\n"
    "it. Without --config the shipped recipe of the data set and objective applies, where there is one\n"
    "(imagenet takes imagenet100's, and so does image_folder if it has none): pretrain --recipes lists\n"
    "them. The values shown are the built-in defaults.\n\n"
    "Usage: pretrain [OPTIONS]\n\n";

const char* const examples =
    "\nExamples:\n"
    "  pretrain --out runs/first                         the rendered data set, nothing to download\n"
    "  pretrain --dataset cifar10 --data DIR --config cifar10_simclr_short\n"
    "  pretrain --dataset cifar10 --data DIR --objective barlow_twins --plan\n"
    "  pretrain --config runs/first/config.toml --out runs/first --resume\n"
    "Then: linear_probe --run runs/first\n\n"
    "Exit status: 0 done, 2 bad usage or data, 1 other failures, 130 and 143 stopped by a signal (after\n"
    "saving, once it has begun to train).\n";

/// The options that users need first.
const char* const first_options[] = {
    "objective",    "dataset", "data",   "encoder", "width", "init",    "epochs",     "batch", "optimizer", "lr",
    "weight-decay", "out",     "resume", "extend",  "seed",  "figures", "eval-every", "plan",  "device",    "workers"};

}  // namespace

HelpOption help_option(const OptionEntry& entry, const Options& defaults) {
  const bool is_text = std::holds_alternative<std::function<std::string&(Options&)>>(entry.fields[0]);
  HelpOption option{"--" + entry.name, "", "", entry.help};
  for (const std::string& choice : entry.choices) option.type += (option.type.empty() ? "" : "|") + choice;
  if (option.type.empty())
    option.type = entry.is_bool() ? "on|off" : !entry.path.empty() ? entry.path : is_text ? "TEXT" : "NUMBER";
  if (entry.is_list()) option.type = "NUMBER,...";
  if (entry.is_bool() && (entry.flags & OptionEntry::command_line_only))
    option.type = "";  // a switch
  else if (!entry.is_number() || !(entry.flags & OptionEntry::command_line_only))
    option.value = value_text(entry, defaults);
  return option;
}

namespace {

/// The options with `chosen(entry)`, in their groups, without those of only one view.
template <class F>
std::vector<HelpGroup> chosen_groups(F&& chosen) {
  const Options defaults;
  std::vector<HelpGroup> groups;
  for (const OptionEntry& entry : option_table()) {
    if (!entry.both.empty() || !chosen(entry)) continue;
    if (groups.empty() || groups.back().title != entry.group) groups.push_back({entry.group, {}});
    groups.back().options.push_back(help_option(entry, defaults));
  }
  return groups;
}

/// Options that print something and exit.
HelpGroup about_group() {
  return {"Information",
          {{"--help", "", "", "this text; --help all: every option; --help TOPIC: some"},
           {"--recipes", "", "", "list the shipped recipes"},
           {"--version", "", "", "version and commit of this program"}}};
}

const HelpOption config_option{"--config", "FILE", "", "options from a TOML file, or the name of a shipped recipe"};

HelpGroup alias_group() {
  HelpGroup group{"Other names (in all names, _ and - are the same)", {}};
  std::vector<std::string> done;
  for (const auto& [alias, option] : option_aliases()) {
    const auto same = std::find_if(group.options.begin(), group.options.end(),
                                   [&, &name = option](const HelpOption& o) { return o.text == "--" + name; });
    if (same == group.options.end())
      group.options.push_back({"--" + alias, "", "", "--" + option});
    else
      same->name += ", --" + alias;
  }
  group.options.push_back(
      {join("--", objectives_temperature), "", "", "the objective's own: --simclr.temperature, ..."});
  return group;
}

/// Topics that are groups of options, with the start of each group's title.
const std::vector<std::pair<std::string, std::string>> group_topics{
    {"data", "What to train"}, {"encoder", "Encoder"}, {"training", "Training"}, {"optimizer", "Training"},
    {"heads", "Heads"},        {"views", "Views"},     {"run", "Run"},           {"machine", "Machine"}};

std::string topics_text() {
  std::string text = "all";
  for (const auto& [topic, title] : group_topics) text += ", " + topic;
  text += ", names";
  for (const ObjectiveOptions& objective : objective_options()) text += join(", ", objective.name);
  return text;
}

std::vector<HelpGroup> first_groups(const std::string& objective) {
  std::vector<HelpGroup> groups = chosen_groups([&](const OptionEntry& entry) {
    const bool first =
        std::find(std::begin(first_options), std::end(first_options), entry.name) != std::end(first_options);
    return first || (!objective.empty() && entry.name.starts_with(objective + "."));
  });
  groups.front().options.insert(groups.front().options.begin(), config_option);
  groups.push_back(about_group());
  return groups;
}

std::vector<HelpGroup> all_groups() {
  std::vector<HelpGroup> groups = chosen_groups([](const OptionEntry&) { return true; });
  groups.front().options.insert(groups.front().options.begin(), config_option);
  groups.push_back(about_group());
  groups.push_back(alias_group());
  return groups;
}

/// The options of a topic; empty if there is no such topic.
std::vector<HelpGroup> topic_groups(const std::string& topic) {
  if (same_spelling(topic, "names") || topic == "aliases") return {alias_group()};
  std::string title;
  for (const auto& [name, group] : group_topics)
    if (same_spelling(name, topic)) title = group;
  if (!title.empty()) return chosen_groups([&](const OptionEntry& entry) { return entry.group.starts_with(title); });
  std::vector<HelpGroup> table = chosen_groups([&](const OptionEntry& entry) {
    return entry.name.size() > topic.size() && entry.name[topic.size()] == '.' &&
           same_spelling(entry.name.substr(0, topic.size()), topic);
  });
  if (!table.empty()) return table;
  for (const ObjectiveOptions& objective : objective_options())
    if (same_spelling(objective.name, topic)) return {{join(objective.title, " (no options of its own)"), {}}};
  std::string option = topic;
  for (const auto& [alias, name] : option_aliases())
    if (same_spelling(alias, topic)) option = name;
  return chosen_groups([&](const OptionEntry& entry) {
    // The last part of a name, too: "temperature" has every objective's.
    return same_spelling(entry.name, option) || same_spelling(entry.name.substr(entry.name.find('.') + 1), option);
  });
}

/// What a mistyped topic may have meant.
std::vector<std::string> known_topics() {
  std::vector<std::string> known = objective_names();
  for (const auto& [name, group] : group_topics) known.emplace_back(name);
  for (const auto& [alias, name] : option_aliases()) known.push_back(alias);
  for (const OptionEntry& entry : option_table()) {
    known.push_back(entry.name);
    if (const std::size_t dot = entry.name.find('.'); dot != std::string::npos)
      known.push_back(entry.name.substr(dot + 1));
  }
  std::sort(known.begin(), known.end());
  known.erase(std::unique(known.begin(), known.end()), known.end());
  return known;
}

}  // namespace

std::string pretrain_help(const std::string& topic, const std::string& objective) {
  const std::string rest = "\n" + wrapped("Topics: " + topics_text() + ", and tables and options, as lars or lr.", 0);
  if (topic.empty()) return opening + help_groups(first_groups(objective)) + rest + examples;
  if (topic == "all") return opening + help_groups(all_groups()) + examples;
  const std::string word = topic.substr(std::min(topic.find_first_not_of('-'), topic.size()));
  const std::vector<HelpGroup> groups = topic_groups(word);
  if (!groups.empty()) return help_groups(groups);
  const std::string similar = did_you_mean(names_like(word, known_topics()), "");
  throw UsageError(
      join("--help: there is no topic '", shortened(topic), "'", similar,
           similar.empty() ? join("; expected ", topics_text(), ", or a table or option, as lars or lr") : ""));
}

}  // namespace vergence
