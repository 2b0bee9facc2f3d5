#include "datasets/image_list.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <filesystem>
#include <map>
#include <set>
#include <sstream>

#include "engine/files.h"
#include "engine/shown.h"
#include "kernels/error.h"

namespace vergence {
namespace {

namespace fs = std::filesystem;

constexpr int deepest = 16;  // of folders in folders

bool is_hidden(const fs::path& path) { return path.filename().string().starts_with('.'); }

/// Whether an entry is a folder or leads to one; throws UsageError where the system cannot tell, unless the entry has
/// an image's name: what is wrong with it shows when it is opened.
bool is_folder(const fs::directory_entry& entry) {
  std::error_code error;
  const bool folder = entry.is_directory(error);
  const bool leads_nowhere = error == std::errc::no_such_file_or_directory || error == std::errc::not_a_directory ||
                             error == std::errc::too_many_symbolic_link_levels;
  require_usage(!error || leads_nowhere || is_image_name(entry.path().filename().string()),
                "image_folder: ", entry.path().string(), " cannot be read: ", error.message());
  return folder;
}

/// Throws UsageError for a link that leads back to a folder it lies in.
void refuse_circle(const fs::directory_entry& entry) {
  std::error_code error;
  if (!entry.is_symlink(error)) return;
  const fs::path link = fs::absolute(entry.path(), error);
  for (fs::path above = link.parent_path();; above = above.parent_path()) {
    require_usage(!fs::equivalent(above, link, error), "image_folder: ", entry.path().string(),
                  " is a link that leads back to ", above.string(), ", which it lies in; expected no circles");
    if (above == above.parent_path()) return;
  }
}

/// What lies in a folder, sorted by name.
std::vector<fs::directory_entry> entries_of(const fs::path& folder) {
  std::error_code error;
  std::vector<fs::directory_entry> entries;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error))
    if (!is_hidden(at->path())) entries.push_back(*at);
  require_usage(!error, "image_folder: ", folder.string(), " cannot be read: ", error.message());
  std::sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) { return a.path() < b.path(); });
  return entries;
}

/// Appends the images in and below a folder, each as `prefix` and its name.
void gather(const fs::path& folder, const std::string& prefix, int depth, std::vector<std::string>& files) {
  require_usage(depth <= deepest, "image_folder: ", folder.string(), " lies more than ", deepest, " folders deep");
  for (const fs::directory_entry& entry : entries_of(folder)) {
    const std::string name = entry.path().filename().string();
    if (is_folder(entry)) {
      refuse_circle(entry);
      gather(entry.path(), prefix + name + "/", depth + 1, files);
    } else if (is_image_name(name)) {
      files.push_back(prefix + name);
    }
  }
}

void add_class(ImageList& list, const std::string& name, const std::vector<std::string>& files) {
  const auto label = static_cast<std::int32_t>(list.classes.size());
  list.classes.push_back(name);
  list.files.insert(list.files.end(), files.begin(), files.end());
  list.labels.insert(list.labels.end(), files.size(), label);
}

/// The classes that are asked for, whatever else there is.
void list_only(ImageList& list, std::vector<std::string> names) {
  std::sort(names.begin(), names.end());
  for (const std::string& name : names) {
    const fs::path folder = fs::path(list.folder) / name;
    std::error_code error;
    require_usage(fs::is_directory(folder, error), "image_folder: ", list.folder, " has no folder of the class '",
                  shown(name), "'");
    std::vector<std::string> files;
    gather(folder, name + "/", 1, files);
    require_usage(!files.empty(), "image_folder: ", folder.string(), " has no JPEG, PNG or BMP files");
    add_class(list, name, files);
  }
}

}  // namespace

bool is_image_name(const std::string& name) {
  std::string ending = fs::path(name).extension().string();
  std::transform(ending.begin(), ending.end(), ending.begin(), [](unsigned char c) { return std::tolower(c); });
  constexpr std::array endings{".jpg", ".jpeg", ".png", ".bmp"};
  return std::find(endings.begin(), endings.end(), ending) != endings.end();
}

ImageList list_images(const std::string& folder, const std::vector<std::string>& only) {
  std::error_code error;
  require_usage(fs::is_directory(folder, error), "image_folder: ", folder,
                " is not a folder, expected images in it or ", "in a folder per class");
  ImageList list;
  list.folder = folder;
  if (!only.empty()) {
    list_only(list, only);
    return list;
  }
  std::vector<std::string> loose;
  std::string empty_class;
  for (const fs::directory_entry& entry : entries_of(folder)) {
    const std::string name = entry.path().filename().string();
    if (!is_folder(entry)) {
      if (is_image_name(name)) loose.push_back(name);
      continue;
    }
    refuse_circle(entry);
    std::vector<std::string> files;
    gather(entry.path(), name + "/", 1, files);
    if (files.empty() && empty_class.empty()) empty_class = name;
    if (!files.empty()) add_class(list, name, files);
  }
  require_usage(!loose.empty() || !list.files.empty(), "image_folder: ", folder, " has no JPEG, PNG or BMP files");
  if (!loose.empty() && !list.classes.empty())
    throw UsageError(join("image_folder: ", folder, " has images (", loose.front(), ") beside class folders (",
                          list.classes.front(), "), expected either of them"));
  if (!loose.empty()) {
    list.files = std::move(loose);
    return list;
  }
  require_usage(empty_class.empty(), "image_folder: ", folder, "/", empty_class, " has no JPEG, PNG or BMP files");
  return list;
}

std::vector<std::string> read_class_names(const std::string& file) {
  // What a process has written can be read once, and every split of a data set asks for it.
  static std::map<std::string, std::vector<std::string>> from_processes;
  if (const auto known = from_processes.find(file); known != from_processes.end()) return known->second;
  bool is_file = true;
  std::vector<std::string> names = class_names(read_text(file, &is_file), file);
  if (!is_file) from_processes.emplace(file, names);
  return names;
}

std::vector<std::string> class_names(const std::string& text, const std::string& where) {
  std::istringstream lines(text);
  std::vector<std::string> names;
  std::set<std::string> seen;
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line.substr(0, line.find('#')));
    std::string name;
    if (!(words >> name)) continue;
    require_usage(seen.insert(name).second, "--classes: ", where, " names '", shown(name), "' twice");
    names.push_back(name);
  }
  require_usage(!names.empty(), "--classes: ", where, " names no classes");
  return names;
}

}  // namespace vergence
