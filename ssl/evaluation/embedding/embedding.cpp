#include "ssl/evaluation/embedding/embedding.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <numeric>
#include <string_view>
#include <unistd.h>

#include "datasets/readers/npy_file.h"
#include "engine/io/destination.h"
#include "engine/io/files.h"
#include "engine/io/partial_file.h"
#include "engine/io/require_call.h"
#include "engine/text/json_text.h"
#include "kernels/clock.h"
#include "ssl/evaluation/embedding/layer.h"
#include "ssl/evaluation/embedding/rows.h"
#include "ssl/options/table.h"

namespace vergence {
namespace {

namespace fs = std::filesystem;

constexpr double save_interval = 1;  // seconds

bool holds_table(const std::string& path) {
  constexpr std::string_view head = "name,label,f0";
  std::string start(head.size(), '\0');
  std::ifstream(path, std::ios::binary).read(start.data(), static_cast<std::streamsize>(start.size()));
  return start == head;
}

/// Refuses to replace what embed did not make: images of the user, the records of a run. The rows of an array are known
/// by their description, labels and names also by an unfinished file's progress.
void refuse_files_of_others(const EmbeddingFiles& files) {
  const auto check = [](const std::string& file, bool own, const std::string& why) {
    std::error_code error;
    const bool empty = file.empty() || !file_exists(file) || fs::file_size(file, error) == 0;
    require_usage(own || empty, file, ": is there, and ", why, ": give another --out, or remove it");
  };
  if (files.description.empty()) return check(files.rows, holds_table(files.rows), "is not a table that embed made");
  const bool finished = describes_embedding(files.description);
  const bool begun = finished || describes_embedding(files.progress, "made_by");
  check(files.description, finished, "does not describe an array that embed made");
  const std::string why = join("no ", files.description, " says that embed made it");
  check(files.rows, finished, why);
  check(files.names, begun, why);
  check(files.labels, begun, why);
}

/// The files, after following links. Throws UsageError if one cannot be written, or is not embed's own.
EmbeddingFiles writable_files(const Dataset& data, const EmbeddingSettings& settings) {
  EmbeddingFiles files(settings.out);
  const std::string target = regular_destination(files.rows);
  files.rows = target;
  files.partial = regular_destination(target + ".partial");
  files.progress = regular_destination(files.partial + ".json");
  for (std::string* file : {&files.names, &files.description, &files.labels})
    if (!file->empty()) *file = regular_destination(*file);
  refuse_files_of_others(files);
  require_usage(files.labels.empty() || !data.labels.empty() || !file_exists(files.labels), files.labels,
                ": is there, but these images have no labels: remove it, or give another --out");
  return files;
}

class EmbeddingRun {
 public:
  EmbeddingRun(Subject& subject, const Dataset& data, const EmbeddingSettings& settings)
      : subject_(subject),
        data_(data),
        settings_(settings),
        dim_(layer_dim(subject, settings.layer)),
        files_(writable_files(data, settings)),
        made_by_(description_of(subject, data, settings, dim_)),
        file_(files_.partial) {
    if (file_.size() > 0)
      resume();
    else
      begin();
    rows_before_ = rows_;
  }

  EmbeddingResult run(const EmbeddingHooks& hooks) {
    if (hooks.begin) hooks.begin(images_, rows_);
    if (images_ < data_.count) extract(hooks);
    const bool finished = images_ == data_.count;
    if (finished) finish();
    return {
        finished, images_, rows_, dim_, rows_before_, static_cast<std::int64_t>(bad_.size()), !data_.labels.empty()};
  }

 private:
  void begin() {
    const std::string beginning = file_header(settings_, data_.count, dim_);
    bytes_ = static_cast<std::int64_t>(beginning.size());
    write_progress(0);  // a file with rows always has it beside it
    file_.write(beginning.data(), bytes_, 0);
    save();
  }

  void resume() {
    const std::string remedy = join("remove ", files_.partial, " to start over");
    require_usage(file_exists(files_.progress), files_.partial, ": has no ", files_.progress,
                  " beside it that says what made it: ", remedy);
    const nlohmann::ordered_json progress = parse_ordered_json(read_file(files_.progress));
    const auto has_number = [&](const char* key) {
      return progress.contains(key) && progress[key].is_number_integer();
    };
    require_usage(progress.is_object() && progress.contains("made_by") && has_number("images") && has_number("rows") &&
                      has_number("bytes") && progress.contains("bad") && progress["bad"].is_array(),
                  files_.progress, ": does not describe an unfinished file: ", remedy);
    require_same(progress["made_by"], made_by_, files_.partial, "give the same options, or " + remedy);
    images_ = progress["images"], rows_ = progress["rows"], bytes_ = progress["bytes"];
    for (const nlohmann::ordered_json& index : progress["bad"]) bad_.push_back(index);
    if (bytes_ == 0) return begin();  // killed before the beginning was on the disk
    require_usage(file_.size() >= bytes_, files_.partial, ": has ", file_.size(), " bytes, expected at least ", bytes_,
                  ": ", remedy);
    file_.resize(bytes_);
  }

  void write_progress(std::int64_t bytes) {
    write_atomically(
        files_.progress,
        json_text({{"made_by", made_by_}, {"images", images_}, {"rows", rows_}, {"bytes", bytes}, {"bad", bad_}}, 2) +
            "\n");
  }

  void save() {
    file_.sync();
    write_progress(bytes_);
    saved_at_ = Clock::now();
  }

  void extract(const EmbeddingHooks& hooks) {
    std::vector<std::int64_t> indices(static_cast<std::size_t>(data_.count - images_));
    std::iota(indices.begin(), indices.end(), images_);
    const auto take = [&](const FeatureBatch& batch) {
      add(batch, indices[0]);
      const bool is_first = batch.end <= subject_.extract.batch;  // shows soon what cannot be kept
      const bool stops = hooks.stop && hooks.stop();
      if (stops || is_first || seconds_since(saved_at_) >= save_interval) save();
      if (hooks.progress) hooks.progress(images_);
      return !stops;
    };
    try {
      extract_batches(encode_layer(subject_, settings_.layer), data_, indices, subject_.extract, *subject_.backend,
                      take);
    } catch (const UsageError&) {
      save();
      throw;
    }
  }

  /// `first`: the image where this process began.
  void add(const FeatureBatch& batch, std::int64_t first) {
    std::vector<std::string> names;
    for (const std::int64_t index : batch.images) names.push_back(data_.image_name(index));
    const std::string bytes = row_bytes(settings_, batch.features, names);
    file_.write(bytes.data(), static_cast<std::int64_t>(bytes.size()), bytes_);
    bytes_ += static_cast<std::int64_t>(bytes.size());
    rows_ += static_cast<std::int64_t>(names.size());
    auto good = batch.images.begin();
    for (; images_ < first + batch.end; ++images_) {
      if (good != batch.images.end() && *good == images_)
        ++good;
      else
        bad_.push_back(images_);
    }
  }

  void finish() {
    require_usage(rows_ > 0, data_.name, " ", data_.split, ": none of the ", data_.count, " images can be read");
    if (!settings_.is_csv()) {
      const std::string beginning = file_header(settings_, rows_, dim_);
      file_.write(beginning.data(), static_cast<std::int64_t>(beginning.size()), 0);
      write_names();
      if (!data_.labels.empty()) write_labels();
      write_atomically(files_.description, json_text(final_description(), 2) + "\n");
    }
    save();
    require_call(::rename(files_.partial.c_str(), files_.rows.c_str()) == 0, files_.rows, "cannot be given its name");
    ::unlink(files_.progress.c_str());
    sync_folder(folder_of(files_.rows));
  }

  template <class F>
  void each_good(const F& use) const {
    auto bad = bad_.begin();
    for (std::int64_t i = 0; i < data_.count; ++i) {
      if (bad != bad_.end() && *bad == i)
        ++bad;
      else
        use(i);
    }
  }

  /// Writes a text or the bytes of values in parts. `add(index, bytes)` adds those of an image.
  template <class F>
  void write_parts(const std::string& path, std::string part, const F& add) const {
    AtomicFile file(path);
    each_good([&](std::int64_t i) {
      add(i, part);
      if (part.size() < 1 << 16) return;
      file.write(part);
      part.clear();
    });
    file.write(part);
    file.commit();
  }

  void write_names() const {
    write_parts(files_.names, "",
                [&](std::int64_t i, std::string& part) { part += name_line(data_.image_name(i)) + "\n"; });
  }

  void write_labels() const {
    write_parts(files_.labels, npy_header_bytes("<i8", {rows_}), [&](std::int64_t i, std::string& part) {
      const std::int64_t label = data_.label(i);
      part.append(reinterpret_cast<const char*>(&label), sizeof label);
    });
  }

  nlohmann::ordered_json final_description() const {
    nlohmann::ordered_json json = made_by_;
    json["rows"] = rows_;
    json["encoder_file"] = fs::absolute(subject_.path).lexically_normal().string();
    json["data"] = absolute_input(*find_option("data"), subject_.data.directory);
    json["labels"] = !data_.labels.empty();
    json["classes"] = data_.class_names;
    nlohmann::ordered_json skipped = nlohmann::ordered_json::array();
    for (const std::int64_t index : bad_) skipped.push_back(data_.image_name(index));
    if (data_.source)  // files left out at the start have indices past the images
      for (std::int64_t i = data_.count; data_.source->bad_images().contains(i); ++i)
        skipped.push_back(data_.source->name(i));
    json["skipped"] = skipped;
    return json;
  }

  Subject& subject_;
  const Dataset& data_;
  const EmbeddingSettings& settings_;
  std::int64_t dim_;
  EmbeddingFiles files_;
  nlohmann::ordered_json made_by_;
  PartialFile file_;
  std::int64_t images_ = 0, rows_ = 0, bytes_ = 0, rows_before_ = 0;  // on the disk after save()
  std::vector<std::int64_t> bad_;                                     // indices of unreadable images, ascending
  Clock::time_point saved_at_ = Clock::now();
};

}  // namespace

EmbeddingResult write_embedding(Subject& subject, const Dataset& data, const EmbeddingSettings& settings,
                                const EmbeddingHooks& hooks) {
  return EmbeddingRun(subject, data, settings).run(hooks);
}

}  // namespace vergence
