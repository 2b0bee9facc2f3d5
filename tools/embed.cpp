// embed: writes an encoder's features of all images of a split or folder as an array of NumPy, or finds the images of
// such an array that are most similar to others.
#include <CLI/CLI.hpp>
#include <cmath>
#include <cstdio>
#include <limits>
#include <optional>

#include "datasets/readers/images/folder.h"
#include "engine/text/printable.h"
#include "engine/text/words.h"
#include "kernels/clock.h"
#include "ssl/evaluation/embedding/embedding.h"
#include "ssl/evaluation/embedding/index.h"
#include "ssl/evaluation/embedding/layer.h"
#include "ssl/evaluation/embedding/projector.h"
#include "ssl/evaluation/labeled.h"
#include "ssl/evaluation/subject.h"
#include "ssl/options/tool_options.h"
#include "ssl/training/log.h"
#include "ssl/training/progress.h"
#include "ssl/training/signals.h"
#include "tools/common.h"

namespace vergence {
namespace {

const char* const description =
    "Writes an encoder's features of all images of --split, un-augmented, one row per image: an array of\n"
    "NumPy (F.npy, with F.labels.npy, F.names.txt and F.json) or a table (F.csv). Stopped and started\n"
    "again, it goes on where it was. With --query, finds the images of such an array that are most\n"
    "similar to a file.\n"
    "Examples: embed --run runs/cifar10_simclr_s1 --split test --out test.npy\n"
    "          embed --run runs/cifar10_simclr_s1 --query cat.png --index test.npy";

struct EmbedOptions {
  std::optional<std::string> layer;
  EmbeddingSettings settings;
  std::int64_t workers = 0;
  std::string projector;
  std::vector<std::string> queries;
  std::string index;
  std::optional<std::int64_t> k;
};

void add_embed_options(CLI::App& app, EmbedOptions& options) {
  app.add_option("--layer", options.layer,
                 "features (default); stage1, stage2, ...: the mean over the pixels of a stage's map; map: all values "
                 "of the last map")
      ->type_name("NAME");
  add_word_option(app, "type", options.settings.type, row_type_words, "numbers of an array");
  app.add_flag("--normalize", options.settings.normalize, "scale each row to length 1");
  app.add_option("--workers", options.workers,
                 "threads that read the next images while the encoder runs; 0: all threads read, then it runs")
      ->check(CLI::Range(0, 1024))
      ->capture_default_str();
  app.add_option("--projector", options.projector, "folder for the files of TensorBoard's projector")->type_name("DIR");
  app.add_option("--query", options.queries, "image files to find similar images for")->type_name("FILE ...");
  app.add_option("--index", options.index, "array of embed in which to find them")->type_name("FILE");
  app.add_option("--k", options.k, "how many to find for each")
      ->check(CLI::Range(std::int64_t{1}, std::int64_t{1} << 20))
      ->default_str("10");
}

/// All images of a folder without a split test, unless --split says otherwise.
Subject open_with_split(const SubjectOptions& options) {
  SubjectOptions given = options;
  given.hashed = true;
  if (options.split.empty()) given.split = "test";
  Subject subject = open_subject(given);
  print_lines(subject.encoder_notices, "notice: ");
  if (options.split.empty() && !has_test_split(subject.data)) {
    subject.options.split = "train";
    std::printf("notice: %s has no split test: embeds train, all its images\n",
                shortened(subject.data.directory).c_str());
  }
  return subject;
}

int embed(const SubjectOptions& subject_options, const EmbedOptions& options) {
  EmbeddingSettings settings = options.settings;
  settings.out = subject_options.out;
  settings.layer = options.layer.value_or("features");
  const EmbeddingFiles files(settings.out);
  require_usage(!settings.is_csv() || settings.type == RowType::f32,
                "--type f16: a table has decimal numbers; expected "
                "--out FILE.npy");
  require_usage(options.projector.empty() || !settings.is_csv(), "--projector: expected --out FILE.npy");
  require_usage(options.index.empty(), "--index: expected --query FILE with it");
  require_usage(!options.k, "--k: expected --query FILE with it");
  if (!options.projector.empty()) check_projector(options.projector);
  Subject subject = open_with_split(subject_options);
  subject.extract.workers = options.workers;
  if (subject_options.judged.values.verify) subject.verify();
  const Dataset data = open_dataset(subject.data, subject.options.split);
  print_lines(new_notices(data), "notice: ");
  print_lines(new_skipped(data));
  if (data.labels.empty()) std::printf("notice: these images have no labels, so no labels are written\n");

  catch_stop_signals();
  TrainLog log;
  std::optional<Progress> progress;
  const auto begin = Clock::now();
  EmbeddingHooks hooks;
  hooks.begin = [&](std::int64_t done, std::int64_t rows) {
    if (rows > 0) log.say(join("goes on after ", grouped_text(rows), " rows of ", files.partial));
    progress.emplace(ProgressSettings{.total = data.count, .start = done, .epochs = 0, .unit = "image"}, log);
  };
  hooks.progress = [&](std::int64_t done) {
    for (const std::string& line : new_skipped(data)) progress->note(line);
    progress->update(done, 0, std::numeric_limits<double>::quiet_NaN());
  };
  hooks.stop = stop_requested;
  const EmbeddingResult result = write_embedding(subject, data, settings, hooks);
  progress.reset();
  if (!result.finished) {
    std::printf("stopped: %s holds %s rows; the same command goes on from there\n", printable(files.partial).c_str(),
                grouped_text(result.rows).c_str());
    return stop_exit_status();
  }
  if (!options.projector.empty()) write_projector(settings.out, options.projector);
  std::string others;
  if (!settings.is_csv())
    others = join("; ", result.has_labels ? files.labels + ", " : "", files.names, ", ", files.description);
  if (!options.projector.empty()) others += "; " + options.projector + " for TensorBoard's projector";
  std::printf("%s: %s of %s %s of %s %s, %lld numbers each, %.1f s%s\n", printable(settings.out).c_str(),
              settings.layer.c_str(), grouped_text(result.rows).c_str(), result.rows == 1 ? "image" : "images",
              data.name.c_str(), data.split.c_str(), static_cast<long long>(result.dim), seconds_since(begin),
              printable(others).c_str());
  return 0;
}

/// Refuses options that a query would ignore: it writes no file, and the index says how to read its images. --jpeg and
/// --decode are allowed, since only an index of image files says how they were decoded.
void refuse_beside_query(const CLI::App& app) {
  for (const char* name : {"--type", "--normalize", "--workers", "--projector"})
    require_usage(app.count(name) == 0, name, ": --query writes no file, expected none");
  for (const char* name :
       {"--dataset", "--data", "--classes", "--split", "--limit", "--verify", "--bad-images", "--eval-resize"})
    require_usage(app.count(name) == 0, name,
                  ": --query reads the images that it names as those of --index were, expected none");
}

int query(const SubjectOptions& subject_options, const EmbedOptions& options) {
  require_usage(!options.index.empty(), "--query: expected --index FILE.npy with it");
  require_usage(subject_options.out.empty(), "--out: --query only prints, expected none");
  EmbeddingIndex index(options.index);
  const std::string layer = options.layer.value_or(index.layer());
  require_usage(layer == index.layer(), options.index, ": was made with layer ", index.layer(), ", not ", layer);
  SubjectOptions given = subject_options;
  given.hashed = true;
  given.split = "test";  // the queries are in none
  given.judged.set("dataset", "image_folder");
  Subject subject = open_subject(given);
  print_lines(subject.encoder_notices, "notice: ");
  index.require_made_by(subject);
  index.apply_images_to(subject);
  const Dataset images = open_image_files(options.queries, subject.data);
  const Features queries = extract_features(encode_layer(subject, layer), images, subject.extract, *subject.backend);
  const std::vector<std::vector<SimilarImage>> found = index.nearest(queries, options.k.value_or(10), *subject.backend);
  for (std::size_t i = 0; i < found.size(); ++i) {
    std::printf("%s\n", printable(options.queries[i]).c_str());
    for (std::size_t rank = 0; rank < found[i].size(); ++rank) {
      const SimilarImage& image = found[i][rank];
      std::printf("%5zu  %7.4f  %s%s%s\n", rank + 1, image.similarity, printable(image.name).c_str(),
                  image.label.empty() ? "" : "  ", printable(image.label).c_str());
    }
  }
  return 0;
}

}  // namespace
}  // namespace vergence

int main(int argc, char** argv) {
  CLI::App app(vergence::description, "embed");
  vergence::SubjectOptions subject;
  vergence::EmbedOptions options;
  vergence::SubjectWords words;
  words.splits = vergence::split_names();
  words.split = "split of the data set. Default: test, or train if a folder has no split test";
  words.out = "file to write: F.npy or F.csv";
  vergence::add_subject_options(app, subject, words);
  vergence::add_embed_options(app, options);
  return vergence::run_tool(app, argc, argv, [&] {
    if (options.queries.empty()) return vergence::embed(subject, options);
    vergence::refuse_beside_query(app);
    return vergence::query(subject, options);
  });
}
