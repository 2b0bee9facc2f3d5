#include "ssl/report/table.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>

#include "engine/text/printable.h"
#include "engine/text/utf8.h"
#include "engine/text/words.h"
#include "kernels/error.h"

namespace vergence {
namespace {

constexpr std::size_t widest = 30;  // of a cell in text

/// Characters, each taken as one column wide.
std::size_t characters_of(std::string_view text) {
  std::size_t width = 0;
  for (; !text.empty(); ++width) text.remove_prefix(std::max<std::size_t>(1, utf8_length(text)));
  return width;
}

/// The first `width` characters, in bytes.
std::size_t bytes_for(std::string_view text, std::size_t width) {
  std::size_t bytes = 0;
  for (; width > 0 && bytes < text.size(); --width) bytes += std::max<std::size_t>(1, utf8_length(text.substr(bytes)));
  return bytes;
}

/// Lines of at most `width` characters, broken after a space where there is one.
std::vector<std::string> wrapped(std::string text, std::size_t width) {
  width = std::max<std::size_t>(width, 1);
  std::vector<std::string> lines;
  while (characters_of(text) > width) {
    const std::size_t most = bytes_for(text, width), space = text.rfind(' ', most);
    const bool at_space = space != std::string::npos && space > 0;
    const std::size_t end = at_space ? space : most;
    lines.push_back(text.substr(0, end));
    text.erase(0, at_space ? end + 1 : end);
  }
  lines.push_back(text);
  return lines;
}

std::string formatted(const char* pattern, int digits, double value) {
  char text[64];
  std::snprintf(text, sizeof text, pattern, digits, value);
  return text;
}

/// Digits after the point.
int decimals_of(double value) {
  const double size = std::abs(value);
  return size >= 10000 ? 0 : size >= 1000 ? 1 : size >= 10 ? 2 : size >= 1 ? 3 : 4;
}

/// The shortest text of the same number.
std::string exact(double value) {
  char text[64];
  return {text, std::to_chars(text, text + sizeof text, value).ptr};
}

/// A figure as it is shown: one with an upper end is an interval.
struct ShownFigure {
  std::string name;
  const Figure* figure = nullptr;
  const Figure* upper = nullptr;
};

/// The section's figures, the two ends of each interval as one.
std::vector<ShownFigure> shown_figures(const Section& section) {
  std::vector<ShownFigure> shown;
  for (const Figure& figure : section.figures) {
    const std::string::size_type end = figure.name.size() - std::min<std::size_t>(3, figure.name.size());
    const std::string name = figure.name.substr(0, end), which = figure.name.substr(end);
    const bool of_interval = name == "interval_95" || name.ends_with(".interval_95");
    if (of_interval && which == "[1]" && !shown.empty() && shown.back().name == name)
      shown.back().upper = &figure;
    else
      shown.push_back({of_interval && which == "[0]" ? name : figure.name, &figure});
  }
  return shown;
}

// ---- text

class TextTable {
 public:
  TextTable(const Table& table, std::size_t columns) : table_(table), columns_(columns) {
    name_width_ = 0;
    for (const TableRow& row : table.rows)
      if (!row.is_heading()) name_width_ = std::max(name_width_, characters_of(row.name));
    name_width_ = std::min(name_width_, columns / 2);
  }

  std::string text() {
    std::string out;
    for (std::size_t first = 0; first < table_.columns.size();) {
      const std::size_t end = last_that_fits(first);
      if (first > 0) out += "\n";
      add_block(first, end, out);
      first = end;
    }
    return out;
  }

 private:
  std::size_t column_width(std::size_t column) const {
    std::size_t width = characters_of(table_.columns[column]);
    for (const TableRow& row : table_.rows)
      if (!row.is_heading()) width = std::max(width, characters_of(row.cells[column]));
    constexpr std::size_t narrowest = 8;
    const std::size_t left = std::max(columns_, name_width_ + 2 + narrowest) - name_width_ - 2;
    return std::min({width, widest, left});
  }

  std::size_t last_that_fits(std::size_t first) const {
    std::size_t end = first, used = name_width_;
    while (end < table_.columns.size()) {
      used += 2 + column_width(end);
      if (used > columns_ && end > first) break;
      ++end;
    }
    return end;
  }

  void add_block(std::size_t first, std::size_t end, std::string& out) const {
    add_row({"", table_.columns}, first, end, out);
    for (const TableRow& row : table_.rows) {
      if (!row.is_heading()) {
        add_row(row, first, end, out);
        continue;
      }
      out += "\n";
      for (const std::string& line : wrapped(row.name, columns_)) out += line + "\n";
    }
  }

  /// The cells' lines beside each other.
  void add_row(const TableRow& row, std::size_t first, std::size_t end, std::string& out) const {
    std::vector<std::vector<std::string>> cells{wrapped(row.name, name_width_)};
    std::vector<std::size_t> widths{name_width_};
    for (std::size_t column = first; column < end; ++column) {
      widths.push_back(column_width(column));
      cells.push_back(wrapped(row.cells[column], widths.back()));
    }
    std::size_t height = 0;
    for (const std::vector<std::string>& cell : cells) height = std::max(height, cell.size());
    for (std::size_t i = 0; i < height; ++i) {
      std::string line;
      for (std::size_t c = 0; c < cells.size(); ++c) {
        const std::string part = i < cells[c].size() ? cells[c][i] : "";
        line += (c > 0 ? "  " : "") + part + std::string(widths[c] - std::min(widths[c], characters_of(part)), ' ');
      }
      line.erase(line.find_last_not_of(' ') + 1);
      out += line + "\n";
    }
  }

  const Table& table_;
  std::size_t columns_, name_width_;
};

// ---- Markdown

/// Text that Markdown shows as it is, inside a table.
std::string markdown_text(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '<' || c == '&') {
      out += c == '<' ? "&lt;" : "&amp;";
      continue;
    }
    if (std::string_view("|\\*`[]").find(c) != std::string_view::npos) out += '\\';
    out += c;
  }
  return out;
}

/// Headings become a first cell in bold, since Markdown's tables have no rows of one cell.
std::string markdown_of(const Table& table) {
  std::string out = "|", rule = "| --- |";
  const auto add = [&](const std::string& text) { out += text.empty() ? " |" : " " + text + " |"; };
  add("");
  for (const std::string& column : table.columns) add(markdown_text(column)), rule += " --- |";
  out += "\n" + rule + "\n";
  for (const TableRow& row : table.rows) {
    out += "|";
    const std::string name = markdown_text(row.name);
    add(row.is_heading() ? "**" + name + "**" : name);
    for (std::size_t i = 0; i < table.columns.size(); ++i) add(row.is_heading() ? "" : markdown_text(row.cells[i]));
    out += "\n";
  }
  return out;
}

// ---- CSV: one line for each group and figure

std::string csv_line(const std::vector<std::string>& fields) {
  std::string line;
  for (const std::string& field : fields) line += (&field == fields.data() ? "" : ",") + csv_field(field);
  return line + "\r\n";
}

std::string csv_of(const Comparison& comparison) {
  const Grouping& grouping = comparison.grouping;
  std::vector<std::string> header{"group", "runs", "seeds", "unfinished"};
  for (const OptionRow& row : grouping.options) header.push_back("option." + row.name);
  for (const char* name :
       {"tool", "protocol", "judged_on", "split", "settings", "epoch", "figure", "mean", "sd", "n", "low", "high"})
    header.emplace_back(name);
  std::string out = csv_line(header);
  for (std::size_t group = 0; group < grouping.groups.size(); ++group) {
    std::vector<std::string> about{grouping.groups[group].label, comparison.run_names[group], comparison.seeds[group],
                                   comparison.states[group]};
    for (const OptionRow& row : grouping.options) about.push_back(row.values[group]);
    for (const Section& section : comparison.sections)
      for (const ShownFigure& figure : shown_figures(section)) {
        const Spread& value = figure.figure->values[group];
        std::vector<std::string> fields = about;
        for (const std::string& text : {section.tool, section.protocol, section.judged_on, section.split,
                                        section.all_settings, section.epochs[group], figure.name})
          fields.push_back(text);
        const std::string mean = value.count > 0 ? exact(value.mean) : "";
        fields.push_back(figure.upper ? "" : mean);
        fields.push_back(value.count > 1 && !figure.upper ? exact(value.sd) : "");
        fields.push_back(std::to_string(value.count));
        fields.push_back(figure.upper ? mean : "");
        fields.push_back(figure.upper && value.count > 0 ? exact(figure.upper->values[group].mean) : "");
        out += csv_line(fields);
      }
  }
  return out;
}

bool all_empty(const std::vector<std::string>& texts) {
  return std::all_of(texts.begin(), texts.end(), [](const std::string& text) { return text.empty(); });
}

}  // namespace

std::string shown_number(double value) {
  const bool tiny = value != 0 && std::abs(value) < 1e-3;
  return tiny ? formatted("%.*g", 3, value) : formatted("%.*f", decimals_of(value), value);
}

std::string shown_spread(const Spread& spread) {
  if (spread.count == 0) return "";
  if (spread.count == 1) return shown_number(spread.mean);
  const bool tiny = spread.mean != 0 && std::abs(spread.mean) < 1e-3;
  const std::string sd =
      tiny ? formatted("%.*g", 2, spread.sd) : formatted("%.*f", decimals_of(spread.mean), spread.sd);
  return join(shown_number(spread.mean), " ± ", sd, " (n=", spread.count, ")");
}

std::string shown_interval(const Spread& low, const Spread& high) {
  if (low.count == 0) return "";
  const std::string ends = shown_number(low.mean) + " - " + shown_number(high.mean);
  return low.count == 1 ? ends : join(ends, " (means, n=", low.count, ")");
}

Table table_of(const Comparison& comparison) {
  Table table;
  std::vector<TableRow>& rows = table.rows;
  for (const RunGroup& group : comparison.grouping.groups) table.columns.push_back(printable(group.label));
  const auto add = [&](const std::string& name, std::vector<std::string> cells) {
    for (std::string& cell : cells) cell = printable(cell);
    rows.push_back({printable(name), std::move(cells)});
  };
  add("runs", comparison.run_names);
  add("seeds", comparison.seeds);
  if (!all_empty(comparison.states)) add("state", comparison.states);
  if (!comparison.grouping.options.empty()) rows.push_back({"Options that differ", {}});
  for (const OptionRow& row : comparison.grouping.options) add(row.name, row.values);
  for (const Section& section : comparison.sections) {
    rows.push_back({printable(section.title()), {}});
    add("epoch", section.epochs);
    for (const ShownFigure& figure : shown_figures(section)) {
      std::vector<std::string> cells;
      for (std::size_t i = 0; i < figure.figure->values.size(); ++i)
        cells.push_back(figure.upper ? shown_interval(figure.figure->values[i], figure.upper->values[i])
                                     : shown_spread(figure.figure->values[i]));
      rows.push_back({printable(figure.name), cells});
    }
  }
  return table;
}

std::string table_text(const Comparison& comparison, TableFormat format, std::size_t columns) {
  if (format == TableFormat::csv) return csv_of(comparison);
  const Table table = table_of(comparison);
  return format == TableFormat::markdown ? markdown_of(table) : TextTable(table, columns).text();
}

}  // namespace vergence
