// The report of several runs: one HTML page without scripts that needs no other file.
#pragma once

#include <string>
#include <vector>

#include "ssl/report/run_files.h"
#include "ssl/report/samples.h"

namespace vergence {

/// The whole page. A part whose data are missing is left out, and the page says which and why.
std::string report_page(const std::vector<RunFiles>& runs, const SampleSettings& settings);

/// The style of the page.
extern const char* const page_style;

}  // namespace vergence
