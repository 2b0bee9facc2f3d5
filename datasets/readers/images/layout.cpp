#include "datasets/readers/images/layout.h"

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "datasets/readers/images/splits.h"
#include "kernels/error.h"

namespace vergence {
namespace {

namespace fs = std::filesystem;

/// The part that a folder's name suggests; none: any other name.
std::optional<Part> promised_part(std::string name) {
  std::transform(name.begin(), name.end(), name.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? c + 32 : c; });
  if (name == "train" || name == "training") return Part::train;
  if (name == "test" || name == "testing") return Part::test;
  if (name == "val" || name == "valid" || name == "validation") return Part::val;
  return std::nullopt;
}

const char* usual_name(Part part) { return part == Part::train ? "train" : part == Part::test ? "test" : "val"; }

bool is_there_a_folder(const fs::path& path) {
  std::error_code error;
  return fs::is_directory(path, error);
}

/// A folder's visible subfolders, sorted.
std::vector<std::string> inner_folders(const fs::path& path) {
  std::error_code error, ignored;
  std::vector<std::string> names;
  for (fs::directory_iterator at(path, error), end; !error && at != end; at.increment(error))
    if (std::string name = at->path().filename().string(); !is_hidden_name(name) && at->is_directory(ignored))
      names.push_back(std::move(name));
  std::sort(names.begin(), names.end());
  return names;
}

bool has_inner_folders(const fs::path& path) { return !inner_folders(path).empty(); }

/// A folder's subfolders by the part that their names suggest.
struct Promised {
  std::array<std::string, 3> parts;  // by Part: the name, or nothing
  std::vector<std::string> others;

  const std::string& of(Part part) const { return parts[static_cast<std::size_t>(part)]; }
};

/// If several suggest the same part, takes the one with the usual name, or throws UsageError.
Promised promised_in(const fs::path& root, const std::string& dataset) {
  Promised found;
  const std::vector<std::string> names = inner_folders(root);
  for (const std::string& name : names) {
    const std::optional<Part> part = promised_part(name);
    if (!part) {
      found.others.push_back(name);
      continue;
    }
    const bool usual = std::binary_search(names.begin(), names.end(), usual_name(*part));
    if (usual && name != usual_name(*part)) continue;
    std::string& place = found.parts[static_cast<std::size_t>(*part)];
    require_usage(place.empty(), dataset, ": ", root.string(), " has ", place, "/ and ", name,
                  "/, expected one, called ", usual_name(*part));
    place = name;
  }
  return found;
}

std::string notice_of_names(const fs::path& root, const std::string& dataset, const Promised& found) {
  std::string text;
  for (const Part part : {Part::train, Part::val, Part::test})
    if (!found.of(part).empty() && found.of(part) != usual_name(part))
      text += join(text.empty() ? "" : ", ", found.of(part), "/ as ", usual_name(part), "/");
  return text.empty() ? "" : join(dataset, ": ", root.string(), ": takes ", text);
}

/// What to say of a judged part that holds images but no folders of classes, and that no solution file sorts. Nothing
/// of test/ where val/ stands for it: ImageNet's test images have no labels.
std::string notice_of_flat(const fs::path& root, const std::string& dataset, const std::string& name,
                           const Folders& folders) {
  const bool replaced = promised_part(name) == Part::test && !folders.test.empty();
  if (name.empty() || replaced || root / name == folders.test || root / name == folders.val) return "";
  std::error_code error;
  if (fs::directory_iterator(root / name, error) == fs::directory_iterator() || error) return "";
  return join(dataset, ": ", root.string(), ": does not read ", name, "/, expected a folder for each class in it");
}

/// Throws if a subfolder has what imagenet needs, or train/ with folders beside val/ or test/. Ignores the rest.
void refuse_one_level_above(const fs::path& given, bool imagenet) {
  for (const std::string& name : inner_folders(given)) {
    const fs::path inner = given / name;
    const bool train = is_there_a_folder(inner / "train");
    const bool judged = is_there_a_folder(inner / "val") || is_there_a_folder(inner / "test");
    require_usage(!imagenet || !(train || is_there_a_folder(inner / "ILSVRC")), "imagenet: ", given.string(), " has ",
                  name, train ? "/train/" : "/ILSVRC/", ", but no train/ itself: use --data ", inner.string());
    require_usage(!train || !judged || !has_inner_folders(inner / "train"), "image_folder: ", given.string(), " has ",
                  name, "/train/, which is not a class: use --data ", inner.string());
  }
}

// ---- supposed classes

/// The folders of a list's images: each folder's subfolders.
using FolderTree = std::map<std::string, std::set<std::string>>;

FolderTree tree_of(const std::vector<std::string>& files) {
  FolderTree tree;
  std::string last;
  for (const std::string& file : files) {
    const std::size_t end = file.rfind('/');
    const std::string folder = end == std::string::npos ? "" : file.substr(0, end);
    if (folder == last) continue;
    last = folder;
    std::size_t begin = 0;
    while (begin <= folder.size()) {
      const std::size_t slash = std::min(folder.find('/', begin), folder.size());
      tree[folder.substr(0, begin > 0 ? begin - 1 : 0)].insert(folder.substr(begin, slash - begin));
      begin = slash + 1;
    }
  }
  return tree;
}

/// Whether a folder's subfolders are, by name and content, the parts of a data set.
bool has_parts(const FolderTree& tree, const std::string& folder, const std::set<std::string>& inner) {
  bool train = false, judged = false, others = false, train_has_folders = false;
  for (const std::string& name : inner) {
    const std::optional<Part> part = promised_part(name);
    if (!part) others = true;
    if (part && *part != Part::train) judged = true;
    if (part != Part::train) continue;
    train = true;
    train_has_folders = train_has_folders || tree.contains(folder.empty() ? name : folder + "/" + name);
  }
  return train && (judged ? train_has_folders || !others : train_has_folders && !others);
}

}  // namespace

Folders folders_of(const DatasetSettings& settings) {
  require_usage(!settings.directory.empty(), settings.name, ": --data is missing, expected the folder of the images");
  const fs::path given = settings.directory;
  require_usage(is_there_a_folder(given), settings.name, ": --data: there is no folder ", settings.directory);
  for (const char* inner : {"ILSVRC/Data/CLS-LOC", "Data/CLS-LOC", "."}) {
    // Paths begin with the folder as it was given: names are what follows it.
    const fs::path root = inner == std::string_view(".") ? given : given / inner;
    const Promised found = promised_in(root, settings.name);
    if (found.of(Part::train).empty()) continue;
    const fs::path train = root / found.of(Part::train);
    const bool usual = train.filename() == "train",
               judged = !found.of(Part::test).empty() || !found.of(Part::val).empty();
    if (!usual && !found.others.empty() && !has_inner_folders(train)) continue;  // the name of a class
    if (!judged && !found.others.empty())                                        // "train" may be one, too
      throw UsageError(join(settings.name, ": ", root.string(), " has ", found.of(Part::train), "/ beside ",
                            found.others.front(), "/, expected train/ with val/ or test/, or the classes' folders ",
                            "without one called train; where that is a class, put all of them into a folder train"));
    Folders folders{.train = train, .test = {}, .val = {}, .solution = {}, .has_parts = true, .notices = {}};
    const auto with_folders = [&](Part part) {
      const std::string& name = found.of(part);
      return !name.empty() && has_inner_folders(root / name) ? root / name : fs::path();
    };
    folders.test = with_folders(Part::test);
    (folders.test.empty() ? folders.test : folders.val) = with_folders(Part::val);
    const fs::path table = given / "LOC_val_solution.csv";
    std::error_code error;
    if (folders.test.empty() && !found.of(Part::val).empty() && fs::is_regular_file(table, error)) {
      folders.test = root / found.of(Part::val);
      folders.solution = table;
    }
    if (std::string notice = notice_of_names(root, settings.name, found); !notice.empty())
      folders.notices.push_back(std::move(notice));
    for (const Part part : {Part::val, Part::test})
      if (std::string notice = notice_of_flat(root, settings.name, found.of(part), folders); !notice.empty())
        folders.notices.push_back(std::move(notice));
    return folders;
  }
  refuse_one_level_above(given, settings.name != "image_folder");
  require_usage(settings.name == "image_folder", settings.name, ": ", settings.directory,
                " has neither train/ nor ILSVRC/Data/CLS-LOC/train/");
  return {.train = given, .test = {}, .val = {}, .solution = {}, .has_parts = false, .notices = {}};
}

void refuse_splits_as_classes(ImageList& list, bool within_split) {
  if (list.classes.empty()) return;
  const FolderTree tree = tree_of(list.files);
  for (const auto& [folder, inner] : tree) {
    if (!has_parts(tree, folder, inner)) continue;
    const std::string where = folder.empty() ? list.folder : list.folder + "/" + folder;
    const auto train =
        std::find_if(inner.begin(), inner.end(), [](auto& name) { return promised_part(name) == Part::train; });
    throw UsageError(join("image_folder: ", list.folder, " has ", folder.empty() ? "" : folder + "/", *train,
                          "/, which is not a class: use --data ", where));
  }
  std::string taken;
  for (const std::string& name : list.classes) {
    const std::optional<Part> part = promised_part(name);
    if (!part) continue;
    const auto other =
        std::find_if(list.classes.begin(), list.classes.end(), [](auto& of) { return !promised_part(of); });
    require_usage(other != list.classes.end(), "image_folder: ", list.folder, " has ", name,
                  "/ and no classes beside it, expected train/ with val/ or test/, or --data ", list.folder, "/", name);
    require_usage(!tree.contains(name), "image_folder: ", list.folder, " has ", name, "/, which holds folders, beside ",
                  *other, "/, expected train/ with val/ or test/, or the classes' folders");
    if (!within_split) taken += join(taken.empty() ? "" : ", ", name, "/");
  }
  if (!taken.empty()) list.notices.push_back(join("image_folder: ", list.folder, ": ", taken, " is taken for a class"));
}

}  // namespace vergence
