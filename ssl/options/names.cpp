#include "ssl/options/names.h"

#include <algorithm>
#include <cctype>
#include <functional>
#include <numeric>

#include "engine/text/words.h"
#include "kernels/error.h"

namespace vergence {
namespace {

constexpr std::size_t max_suggestions = 3, longest_name = 100;

char unified(char c) { return c == '_' ? '-' : c; }

std::string last_part(const std::string& name) {
  const std::size_t dot = name.rfind('.');
  return dot == std::string::npos ? name : name.substr(dot + 1);
}

bool begins_with(const std::string& text, const std::string& start) {
  return text.size() >= start.size() && same_spelling(text.substr(0, start.size()), start);
}

/// Allows few edits to short names, which are near to everything.
std::size_t max_edits(const std::string& name) {
  return name.size() <= 4 ? 1 : std::max<std::size_t>(2, name.size() / 4);
}

/// The nearest of the names, if it is near.
std::vector<std::string> nearest_names(const std::string& name, const std::vector<std::string>& known) {
  std::vector<std::string> best;
  std::size_t least = max_edits(name) + 1;
  for (const std::string& one : known) {
    const std::size_t edits = edits_between(name, one);
    if (edits < least) least = edits, best = {one};
  }
  return best;
}

}  // namespace

bool same_spelling(std::string_view a, std::string_view b) {
  return a.size() == b.size() &&
         std::equal(a.begin(), a.end(), b.begin(), [](char x, char y) { return unified(x) == unified(y); });
}

std::size_t edits_between(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0]++;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t above = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, diagonal + (unified(a[i - 1]) != unified(b[j - 1]))});
      diagonal = above;
    }
  }
  return row[b.size()];
}

std::vector<std::string> names_like(const std::string& name, const std::vector<std::string>& known) {
  if (name.empty() || name.size() > longest_name) return {};
  const bool prefix = name.size() >= 3;
  const std::vector<std::function<bool(const std::string&)>> rules{
      [&](const std::string& one) { return same_spelling(last_part(one), name); },
      [&](const std::string& one) { return prefix && begins_with(one, name); },
      [&](const std::string& one) { return prefix && begins_with(last_part(one), name + "-"); }};
  for (const auto& rule : rules) {
    std::vector<std::string> found;
    std::copy_if(known.begin(), known.end(), std::back_inserter(found), rule);
    // The shortest names are the most general.
    std::stable_sort(found.begin(), found.end(), [](const auto& a, const auto& b) { return a.size() < b.size(); });
    if (found.size() > max_suggestions) found.resize(max_suggestions);
    if (!found.empty()) return found;
  }
  return nearest_names(name, known);
}

std::string did_you_mean(const std::vector<std::string>& names, const char* dashes) {
  std::vector<std::string> shown;
  for (const std::string& name : names) shown.push_back(dashes + name);
  return shown.empty() ? "" : join(", did you mean ", alternatives(shown), "?");
}

std::string option_name(std::string_view argument) {
  if (argument.size() < 3 || argument.substr(0, 2) != "--") return "";
  if (!std::isalpha(static_cast<unsigned char>(argument[2]))) return "";
  return std::string(argument.substr(2, argument.find('=') - 2));
}

void refuse_option_as_value(std::string_view argument, std::string_view next) {
  const std::string_view name = argument.substr(0, argument.find('='));
  require_usage(argument.size() > name.size() + 1, name, ": expected a value, got the option ", next,
                " (a value that looks like this: ", name, "=", next, ")");
}

std::string with_option_name(std::string_view argument, const std::string& name) {
  const std::size_t equals = argument.find('=');
  return "--" + name + std::string(equals == std::string_view::npos ? "" : argument.substr(equals));
}

}  // namespace vergence
