#include "datasets/readers/images/other_files.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/text/printable.h"
#include "kernels/error.h"

namespace vergence {
namespace {

constexpr std::size_t max_kinds = 6;  // that are named

std::string small_letters(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? c + 32 : c; });
  return text;
}

bool is_expected(const std::string& name, const std::string& ending) {
  constexpr std::array<std::string_view, 16> texts{".txt", ".csv",  ".tsv",  ".json", ".jsonl", ".xml", ".md", ".rst",
                                                   ".yml", ".yaml", ".toml", ".ini",  ".html",  ".htm", ".db", ".log"};
  constexpr std::array<std::string_view, 4> names{"readme", "license", "licence", "copying"};
  return std::find(texts.begin(), texts.end(), ending) != texts.end() ||
         std::find(names.begin(), names.end(), name) != names.end();
}

}  // namespace

void OtherFiles::add(const std::string& name) {
  const std::string small = small_letters(name), ending = std::filesystem::path(small).extension().string();
  if (!is_expected(small, ending)) ++counts_[ending];
}

void OtherFiles::add(const OtherFiles& more) {
  for (const auto& [ending, count] : more.counts_) counts_[ending] += count;
}

std::string OtherFiles::listed() const {
  std::vector<std::pair<std::string, std::int64_t>> kinds(counts_.begin(), counts_.end());
  std::stable_sort(kinds.begin(), kinds.end(), [](const auto& a, const auto& b) { return a.second > b.second; });
  std::string text;
  for (std::size_t i = 0; i < std::min(kinds.size(), max_kinds); ++i)
    text += join(i == 0 ? "" : ", ", kinds[i].second, ' ',
                 kinds[i].first.empty() ? "without an ending" : shortened(kinds[i].first, 20));
  if (kinds.size() > max_kinds) text += ", ...";
  return text;
}

std::string OtherFiles::notice() const {
  std::int64_t all = 0;
  for (const auto& [ending, count] : counts_) all += count;
  if (all == 0) return {};
  return join(all, all == 1 ? " file of another kind is" : " files of other kinds are", " not read (", listed(), ")");
}

}  // namespace vergence
