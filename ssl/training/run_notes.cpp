#include "ssl/training/run_notes.h"

#include <exception>
#include <omp.h>

#include "engine/text/words.h"
#include "kernels/backend.h"
#include "kernels/error.h"
#include "ssl/options/extension.h"
#include "ssl/options/table.h"

namespace vergence {

void RunNotes::begin(const RunFolder& folder, const Options& options, std::int64_t from_step, int ranks) {
  if (record_ || !log.out()) return;
  step_ = from_step;
  log.open(folder.train_log());
  record_.emplace(folder.record(), RunStart{.command = options.command,
                                            .device = device_text(options),
                                            .threads = omp_get_max_threads(),
                                            .from_step = from_step,
                                            .ranks = ranks,
                                            .extended = options.extend > 0 ? extensions_text(options) : ""});
  if (!record_->notice().empty()) log.say(record_->notice());
}

void RunNotes::around(const std::function<int()>& body) {
  if (within_) {
    body();
    return;
  }
  within_ = true;
  const auto fail = [this](const std::exception& error, int status) {
    log.keep(join("pretrain: ", error.what()));
    end(status);
  };
  try {
    end(body());
  } catch (const UsageError& error) {
    fail(error, 2);
    throw;
  } catch (const std::exception& error) {
    fail(error, 1);
    throw;
  }
}

void RunNotes::end(int exit_status) {
  if (!record_) return;
  try {
    record_->end(exit_status, step_);
  } catch (const std::exception& error) {
    log.warn(join("warning: ", error.what()));
  }
}

std::string device_text(const Options& options) {
  return join(backend(options.device.c_str()).name(), ", ", option_text(options, "precision"), ", ",
              counted(omp_get_max_threads(), "thread"), " (", devices_text(), ")");
}

}  // namespace vergence
