// Opens a split of a folder: finds its folders, files and labels.
#include "datasets/readers/images/folder.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>
#include <utility>

#include "datasets/class_lists.h"
#include "datasets/readers/images/files.h"
#include "datasets/readers/images/layout.h"
#include "datasets/readers/images/list.h"
#include "datasets/readers/images/packed.h"
#include "datasets/readers/images/splits.h"
#include "datasets/readers/images/text_lines.h"
#include "engine/io/files.h"
#include "engine/text/printable.h"
#include "kernels/error.h"

namespace vergence {
namespace {

namespace fs = std::filesystem;

/// The images of a flat folder with a table of lines "image,class …". `all_classes`: whether other classes are missing
/// rather than excluded on purpose.
ImageList solved(const Folders& folders, const std::vector<std::string>& classes, bool all_classes) {
  const std::string table = folders.solution.string(), text = read_file(table);
  std::map<std::string, std::string> class_of;
  for (const std::string_view line : text_lines(text)) {
    const std::size_t comma = line.find(',');
    if (comma == std::string_view::npos) continue;
    const std::string_view name = line.substr(comma + 1);
    class_of.insert_or_assign(std::string(line.substr(0, comma)), std::string(name.substr(0, name.find(' '))));
  }
  ImageList all = list_images(folders.test.string()), list;
  list.folder = all.folder;
  list.notices = all.notices;
  list.classes = classes;
  std::set<std::string> unknown;
  for (std::string& file : all.files) {
    const auto found = class_of.find(fs::path(file).stem().string());
    require_usage(found != class_of.end(), table, ": has no line for ", all.folder, "/", file);
    const auto place = std::lower_bound(classes.begin(), classes.end(), found->second);
    if (place == classes.end() || *place != found->second) {
      unknown.insert(found->second);
      continue;
    }
    list.labels.push_back(static_cast<std::int32_t>(place - classes.begin()));
    list.files.push_back(std::move(file));
  }
  require_usage(!list.files.empty(), table, ": no image of ", all.folder, " is of a class of ", folders.train.string());
  if (all_classes && !unknown.empty())
    list.notices.push_back(join("image_folder: ", list.folder, ": ", all.files.size() - list.files.size(), " of ",
                                all.files.size(), " images are left out, of ", unknown.size(), " classes that ",
                                folders.train.string(), " has not (", shortened(*unknown.begin(), 60),
                                unknown.size() > 1 ? ", ...)" : ")"));
  return list;
}

/// The files with these indices, in ascending order.
ImageList chosen(ImageList list, const std::vector<std::int64_t>& places) {
  std::vector<std::string> files;
  std::vector<std::int32_t> labels;
  for (const std::int64_t place : places) {
    files.push_back(std::move(list.files[static_cast<std::size_t>(place)]));
    if (!list.labels.empty()) labels.push_back(list.labels[static_cast<std::size_t>(place)]);
  }
  list.files = std::move(files);
  list.labels = std::move(labels);
  return list;
}

/// The images of a part; train's classes are the classes of all parts.
ImageList list_part(const DatasetSettings& settings, const Folders& folders, Part part) {
  const std::string train_folder = folders.train.string();
  std::vector<std::string> wanted = wanted_classes(settings), notices = folders.notices;
  const bool all_classes = wanted.empty();
  if (!all_classes) wanted = class_folders(train_folder, wanted, notices);
  ImageList train = list_images(train_folder, wanted);
  if (all_classes) refuse_splits_as_classes(train, folders.has_parts);
  const auto with_notices = [&notices](ImageList list) {
    list.notices.insert(list.notices.begin(), notices.begin(), notices.end());
    return list;
  };
  if (part == Part::train) return with_notices(std::move(train));
  const fs::path& folder = part == Part::test ? folders.test : folders.val;
  require_usage(!folder.empty(), settings.name, ": ", settings.directory,
                " has no test/ or val/ with a folder for each class, so there is no split 'test'; --split val takes "
                "every tenth image of the others");
  if (part == Part::test && !folders.solution.empty()) return with_notices(solved(folders, train.classes, all_classes));
  ImageList list = list_images(folder.string(), train.classes);
  if (all_classes && !train.classes.empty())
    if (std::string left_out = left_out_notice(list.folder, train.classes, train_folder); !left_out.empty())
      list.notices.push_back(std::move(left_out));
  return with_notices(std::move(list));
}

std::vector<std::string> paths_of(const ImageList& list) {
  std::vector<std::string> paths;
  for (std::size_t i = 0; i < list.files.size(); ++i) paths.push_back(list.path(i));
  return paths;
}

/// Files that are not images.
struct BadFiles {
  std::vector<std::string> paths, complaints;
};

/// Checks the files, and moves those that are not images to `bad` or throws.
std::vector<KnownImage> look_at_images(ImageList& list, const DatasetSettings& settings, BadFiles& bad) {
  const std::vector<Inspection> looks = look_at_files(paths_of(list));
  std::vector<KnownImage> images;
  std::vector<std::int64_t> good;
  for (std::size_t i = 0; i < looks.size(); ++i) {
    if (!looks[i].complaint.empty()) {
      bad.paths.push_back(list.path(i));
      bad.complaints.push_back(looks[i].complaint);
      continue;
    }
    images.push_back(looks[i].image);
    good.push_back(static_cast<std::int64_t>(i));
  }
  require_usage(bad.paths.empty() || settings.bad_images == BadImagePolicy::skip,
                bad.paths.empty() ? "" : bad.complaints.front(), " (", bad.paths.size(), " of ", looks.size(),
                " files cannot be read; --bad-images skip leaves them out)");
  require_usage(!good.empty(), settings.name, ": none of the ", looks.size(), " files in ", list.folder,
                " can be read");
  list = chosen(std::move(list), good);
  return images;
}

}  // namespace

std::vector<std::string> wanted_classes(const DatasetSettings& settings) {
  const std::string& name = settings.classes;
  if (name.empty()) return settings.name == "imagenet100" ? shipped_classes("imagenet100") : std::vector<std::string>();
  std::error_code error;
  if (auto shipped = shipped_classes(name); !shipped.empty() && !fs::is_regular_file(name, error)) return shipped;
  return read_class_names(name);
}

bool has_test_images(const DatasetSettings& settings) {
  std::error_code error;
  if (fs::is_regular_file(settings.directory, error)) return has_packed_test_images(settings);
  return !folders_of(settings).test.empty();
}

void set_imagenet_statistics(Dataset& data) {
  data.mean = {0.485f, 0.456f, 0.406f};
  data.std = {0.229f, 0.224f, 0.225f};
}

FolderParts list_parts(const DatasetSettings& settings) {
  const Folders folders = folders_of(settings);
  FolderParts parts;
  for (const Part part : {Part::train, Part::test, Part::val}) {
    const fs::path& folder = part == Part::train ? folders.train : part == Part::test ? folders.test : folders.val;
    if (folder.empty()) continue;
    const ImageList list = list_part(settings, folders, part);
    if (part == Part::train) parts.classes = list.classes;
    require_usage(list.classes.empty() == parts.classes.empty(), settings.name, ": ", folders.train.string(),
                  " has no folders of classes, but ", folder.string(),
                  " has: one file cannot hold both; pack each alone, or sort the images of the first into classes");
    for (const std::string& notice : list.notices)
      if (std::find(parts.notices.begin(), parts.notices.end(), notice) == parts.notices.end())
        parts.notices.push_back(notice);
    for (std::size_t i = 0; i < list.files.size(); ++i) {
      parts.paths.push_back(list.path(i));
      parts.labels.push_back(list.labels.empty() ? -1 : list.labels[i]);
      parts.parts.push_back(part);
    }
  }
  return parts;
}

Dataset open_image_folder(const DatasetSettings& settings, const std::string& split) {
  std::error_code error;
  if (fs::is_regular_file(settings.directory, error)) return open_packed_images(settings, split);
  const Folders folders = folders_of(settings);
  const SplitRule rule = split_rule(split, !folders.val.empty());
  ImageList list = list_part(settings, folders, rule.part);
  const auto all = static_cast<std::int64_t>(list.files.size());
  require_enough_for_tenths(settings, rule, all);
  list = chosen(std::move(list), split_places(rule.keep, all, settings.limit));
  BadFiles bad;
  std::vector<KnownImage> images = look_at_images(list, settings, bad);

  Dataset data;
  data.name = settings.name;
  data.split = split;
  data.count = static_cast<std::int64_t>(list.files.size());
  data.classes = static_cast<std::int64_t>(list.classes.size());
  data.labels = std::move(list.labels);
  data.class_names = list.classes;
  data.notices = std::move(list.notices);
  set_imagenet_statistics(data);
  auto source = std::make_shared<ImageFiles>(paths_of(list), std::move(images), settings.jpeg, settings.bad_images,
                                             settings.directory, std::move(bad.paths));
  for (std::size_t i = 0; i < bad.complaints.size(); ++i)  // with indices past the images: not among them
    source->bad_images().add(data.count + static_cast<std::int64_t>(i), bad.complaints[i]);
  data.source = std::move(source);
  return data;
}

Dataset open_image_files(const std::vector<std::string>& paths, const DatasetSettings& settings) {
  std::vector<KnownImage> images;
  for (const Inspection& look : look_at_files(paths)) {
    require_usage(look.complaint.empty(), look.complaint);
    images.push_back(look.image);
  }
  Dataset data;
  data.name = settings.name;
  data.count = static_cast<std::int64_t>(paths.size());
  data.decode = settings.decode;
  set_imagenet_statistics(data);
  data.source = std::make_shared<ImageFiles>(paths, std::move(images), settings.jpeg, BadImagePolicy::stop);
  return data;
}

}  // namespace vergence
