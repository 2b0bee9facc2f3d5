// A comparison as text for a terminal, as Markdown, as CSV, and as a table for the report.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "engine/text/enum_words.h"
#include "ssl/report/comparison.h"

namespace vergence {

enum class TableFormat { text, markdown, csv };
inline constexpr Word<TableFormat> table_format_words[]{
    {"text", TableFormat::text}, {"markdown", TableFormat::markdown}, {"csv", TableFormat::csv}};

/// A row of the table; a heading has no cells.
struct TableRow {
  std::string name;
  std::vector<std::string> cells;

  bool is_heading() const { return cells.empty(); }
};

struct Table {
  std::vector<std::string> columns;  // the groups' labels
  std::vector<TableRow> rows;
};

/// Runs, seeds, unfinished runs, options that differ, then each section's figures: "41.30 ± 0.52 (3)" over three seeds.
Table table_of(const Comparison& comparison);

/// The comparison in this format. Text is at most `columns` characters wide: further groups follow below.
std::string table_text(const Comparison& comparison, TableFormat format, std::size_t columns);

/// A number as the table shows it: five digits, at most four of them after the point.
std::string shown_number(double value);

/// "41.30 ± 0.52 (3)"; "41.30" for a single value, "" for none.
std::string shown_spread(const Spread& spread);

/// "38.20 - 44.40" for the ends of an interval; of several runs the means of their ends, "38.20 - 44.40 (means, n=3)".
std::string shown_interval(const Spread& low, const Spread& high);

}  // namespace vergence
