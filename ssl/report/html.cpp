#include "ssl/report/html.h"

#include <algorithm>

#include "engine/text/printable.h"
#include "kernels/error.h"

namespace vergence {

std::string html_text(std::string_view text) {
  std::string out;
  for (const char c : printable(text)) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::string base64(std::string_view bytes) {
  constexpr char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  out.reserve(bytes.size() / 3 * 4 + 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const std::size_t count = std::min<std::size_t>(3, bytes.size() - i);
    std::uint32_t value = 0;
    for (std::size_t k = 0; k < 3; ++k)
      value = value << 8 | (k < count ? static_cast<unsigned char>(bytes[i + k]) : 0u);
    for (std::size_t k = 0; k < 4; ++k) out += k <= count ? digits[value >> (18 - 6 * k) & 63] : '=';
  }
  return out;
}

std::string html_image(std::string_view png, const std::string& alt, const std::string& attributes) {
  return join("<img src=\"data:image/png;base64,", base64(png), "\" alt=\"", html_text(alt), "\"",
              attributes.empty() ? "" : " ", attributes, ">");
}

std::string html_table(const Table& table, const std::string& caption) {
  std::string out = join("<div class=\"scroll\" tabindex=\"0\" role=\"group\" aria-label=\"", html_text(caption),
                         "\">\n<table>\n<thead><tr><td></td>");
  for (const std::string& column : table.columns) out += "<th scope=\"col\">" + html_text(column) + "</th>";
  out += "</tr></thead>\n<tbody>\n";
  for (const TableRow& row : table.rows) {
    if (row.is_heading()) {
      out += join("<tr class=\"heading\"><th scope=\"colgroup\" colspan=\"", table.columns.size() + 1, "\">",
                  html_text(row.name), "</th></tr>\n");
      continue;
    }
    out += "<tr><th scope=\"row\">" + html_text(row.name) + "</th>";
    for (const std::string& cell : row.cells) {
      const bool number = cell.find("±") != std::string::npos;
      out += join(number ? "<td class=\"number\">" : "<td>", html_text(cell), "</td>");
    }
    out += "</tr>\n";
  }
  return out + "</tbody>\n</table>\n</div>\n";
}

Raster reduced(const Raster& raster, std::int64_t most) {
  const std::int64_t factor = (std::max(raster.width, raster.height) + most - 1) / most;
  if (factor <= 1) return raster;
  Raster out{std::max<std::int64_t>(1, raster.width / factor), std::max<std::int64_t>(1, raster.height / factor), {}};
  for (std::int64_t y = 0; y < out.height; ++y)
    for (std::int64_t x = 0; x < out.width; ++x)
      for (std::int64_t c = 0; c < 3; ++c) {
        std::int64_t sum = 0, count = 0;
        for (std::int64_t v = y * factor; v < std::min((y + 1) * factor, raster.height); ++v)
          for (std::int64_t u = x * factor; u < std::min((x + 1) * factor, raster.width); ++u, ++count)
            sum += raster.bytes[static_cast<std::size_t>((v * raster.width + u) * 3 + c)];
        out.bytes.push_back(static_cast<std::uint8_t>((sum + count / 2) / count));
      }
  return out;
}

}  // namespace vergence
