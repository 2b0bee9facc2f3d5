// Pieces of the report's HTML.
#pragma once

#include <string>
#include <string_view>

#include "ssl/picture_file.h"
#include "ssl/report/table.h"

namespace vergence {

/// Any bytes as text of an HTML element or a quoted attribute. Control characters and bytes that are not UTF-8 become
/// visible, as in messages.
std::string html_text(std::string_view text);

std::string base64(std::string_view bytes);

/// An <img> that holds its PNG. `alt` describes it; `attributes` are further ones, as HTML.
std::string html_image(std::string_view png, const std::string& alt, const std::string& attributes = "");

/// The table, in a box that scrolls if the page is narrow.
std::string html_table(const Table& table, const std::string& caption);

/// The mean of each whole block of pixels, so that no side exceeds `most`.
Raster reduced(const Raster& raster, std::int64_t most);

}  // namespace vergence
