#include "kernels/conv_record.h"

#include <algorithm>
#include <mutex>
#include <vector>

namespace vergence {

namespace {

struct ConvNote {
  ConvShape shape;
  ConvPass pass;
  DType type;
  const char* by;
};

struct ConvRecord {
  std::mutex mutex;
  std::vector<ConvNote> notes;
};

ConvRecord& conv_record() {
  static ConvRecord one;
  return one;
}

}  // namespace

std::string text_of_conv(const ConvShape& s, ConvPass pass, DType type) {
  const char* pass_name = pass == ConvPass::forward ? "forward" : pass == ConvPass::data ? "data" : "weight";
  return join(s.batch, "x", s.in_height, "x", s.in_width, "x", s.in_channels, " -> ", s.out_channels, ", ",
              s.kernel_height, "x", s.kernel_width, "/", s.stride, "+", s.padding, "*", s.dilation, ", groups ",
              s.groups, ", ", pass_name, ", ", vergence::name_of(type));
}

void note_conv(const ConvShape& shape, ConvPass pass, DType type, const char* by) {
  const std::lock_guard lock(conv_record().mutex);
  std::vector<ConvNote>& notes = conv_record().notes;
  const auto known = std::ranges::find_if(
      notes, [&](const ConvNote& note) { return note.pass == pass && note.type == type && note.shape == shape; });
  if (known == notes.end())
    notes.push_back({shape, pass, type, by});
  else
    known->by = by;
}

void forget_convs() {
  const std::lock_guard lock(conv_record().mutex);
  conv_record().notes.clear();
}

std::string convs_in_short() {
  const std::lock_guard lock(conv_record().mutex);
  std::vector<std::pair<std::string, int>> counts;
  for (const ConvNote& note : conv_record().notes) {
    const auto known = std::ranges::find(counts, note.by, &std::pair<std::string, int>::first);
    if (known == counts.end())
      counts.emplace_back(note.by, 1);
    else
      ++known->second;
  }
  std::ranges::stable_sort(counts, std::greater{}, &std::pair<std::string, int>::second);
  std::string text;
  for (const auto& [by, count] : counts) text += join(text.empty() ? "" : ", ", count, " by ", by);
  return text;
}

std::string convs_in_full() {
  const std::lock_guard lock(conv_record().mutex);
  std::string text;
  for (const ConvNote& note : conv_record().notes)
    text += join(text_of_conv(note.shape, note.pass, note.type), ": ", note.by, "\n");
  return text;
}

}  // namespace vergence
