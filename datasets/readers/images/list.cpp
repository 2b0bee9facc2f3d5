#include "datasets/readers/images/list.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <filesystem>
#include <functional>
#include <map>
#include <set>

#include "datasets/readers/images/other_files.h"
#include "datasets/readers/images/text_lines.h"
#include "engine/io/files.h"
#include "engine/text/printable.h"
#include "engine/text/words.h"
#include "kernels/error.h"

namespace vergence {
namespace {

namespace fs = std::filesystem;

constexpr int deepest = 16;  // levels of nested folders

/// Whether an entry is a folder or a link to one. Throws UsageError if the system cannot tell, unless the entry has an
/// image's name: then opening it reports the error.
bool is_folder(const fs::directory_entry& entry) {
  std::error_code error;
  const bool folder = entry.is_directory(error);
  const bool leads_nowhere = error == std::errc::no_such_file_or_directory || error == std::errc::not_a_directory ||
                             error == std::errc::too_many_symbolic_link_levels;
  require_usage(!error || leads_nowhere || is_image_name(entry.path().filename().string()),
                "image_folder: ", entry.path().string(), " cannot be read: ", error.message());
  return folder;
}

/// Throws UsageError for a link back to a folder that contains it.
void refuse_circle(const fs::directory_entry& entry) {
  std::error_code error;
  if (!entry.is_symlink(error)) return;
  const fs::path link = fs::absolute(entry.path(), error);
  for (fs::path above = link.parent_path();; above = above.parent_path()) {
    require_usage(!fs::equivalent(above, link, error), "image_folder: ", entry.path().string(), " is a link back to ",
                  above.string(), ", a folder above it; expected no cycles");
    if (above == above.parent_path()) return;
  }
}

/// A folder's entries, sorted by name.
std::vector<fs::directory_entry> entries_of(const fs::path& folder) {
  std::error_code error;
  std::vector<fs::directory_entry> entries;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error))
    if (!is_hidden_name(at->path().filename().string())) entries.push_back(*at);
  require_usage(!error, "image_folder: ", folder.string(), " cannot be read: ", error.message());
  std::sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) { return a.path() < b.path(); });
  return entries;
}

constexpr std::string_view blanks = " \t\v\f\r";

std::string_view without_blanks(std::string_view text) {
  const std::size_t first = std::min(text.find_first_not_of(blanks), text.size());
  return text.substr(first, text.find_last_not_of(blanks) + 1 - first);
}

/// Appends the images in and below a folder, named with `prefix`.
void gather(const fs::path& folder, const std::string& prefix, int depth, std::vector<std::string>& files,
            OtherFiles& others) {
  require_usage(depth <= deepest, "image_folder: ", folder.string(), " lies more than ", deepest, " folders deep");
  for (const fs::directory_entry& entry : entries_of(folder)) {
    const std::string name = entry.path().filename().string();
    if (is_folder(entry)) {
      refuse_circle(entry);
      gather(entry.path(), prefix + name + "/", depth + 1, files, others);
    } else if (is_image_name(name)) {
      files.push_back(prefix + name);
    } else {
      others.add(name);
    }
  }
}

std::string no_images(const std::string& folder, const OtherFiles& others) {
  const std::string there = others.listed();
  return join("image_folder: ", folder, " has no JPEG, PNG or BMP files", there.empty() ? "" : ", but " + there);
}

void add_notice(ImageList& list, const OtherFiles& others) {
  if (const std::string notice = others.notice(); !notice.empty())
    list.notices.push_back(join("image_folder: ", list.folder, ": ", notice));
}

void add_class(ImageList& list, const std::string& name, const std::vector<std::string>& files) {
  const auto label = static_cast<std::int32_t>(list.classes.size());
  list.classes.push_back(name);
  list.files.insert(list.files.end(), files.begin(), files.end());
  list.labels.insert(list.labels.end(), files.size(), label);
}

/// Lists only the requested classes.
void list_only(ImageList& list, std::vector<std::string> names) {
  OtherFiles others;
  std::sort(names.begin(), names.end());
  for (const std::string& name : names) {
    const fs::path folder = fs::path(list.folder) / name;
    std::error_code error;
    require_usage(fs::is_directory(folder, error), "image_folder: ", list.folder, " has no folder of the class '",
                  shortened(name), "'");
    std::vector<std::string> files;
    OtherFiles in_class;
    gather(folder, name + "/", 1, files, in_class);
    require_usage(!files.empty(), no_images(folder.string(), in_class));
    add_class(list, name, files);
    others.add(in_class);
  }
  add_notice(list, others);
}

/// Whether a folder has a subfolder of this name, or a deeper one if the name has slashes.
bool has_class(const fs::path& folder, std::string_view name) {
  if (name.empty() || name.find('\0') != std::string_view::npos) return false;
  const fs::path path{std::string(name)};
  if (path.is_absolute()) return false;
  if (std::any_of(path.begin(), path.end(), [](const fs::path& part) { return part == "." || part == ".."; }))
    return false;
  std::error_code error;
  return fs::is_directory(folder / path, error);
}

/// The folders or classes that names stand for, sorted by name; `has` knows which there are at `where`, and `thing` and
/// `missing` are what messages call them.
std::vector<std::string> matched(const std::string& where, std::vector<std::string> names,
                                 const std::function<bool(std::string_view)>& has, const char* thing,
                                 const char* missing, std::vector<std::string>& notices) {
  std::sort(names.begin(), names.end());
  std::map<std::string, std::string> name_of;
  std::vector<std::string> all;
  std::string example;
  std::int64_t cut = 0;
  for (const std::string& name : names) {
    const std::string_view inner = without_blanks(name);
    std::string_view found = has(name) ? name : inner;
    if (!has(found)) {
      found = inner.substr(0, inner.find_first_of(blanks));
      require_usage(has(found), "image_folder: ", where, " has no ", missing, " '", shortened(name), "'");
      if (cut++ == 0) example = join("'", shortened(found, 60), "' of '", shortened(name, 60), "'");
    }
    const auto [other, is_new] = name_of.emplace(found, name);
    require_usage(is_new, "image_folder: ", where, ": the class names '", shortened(other->second), "' and '",
                  shortened(name), "' stand for the same ", thing, " '", shortened(found), "'");
    all.emplace_back(found);
  }
  if (cut > 0)
    notices.push_back(join("image_folder: ", where, ": of ", cut, " of ", names.size(),
                           " class names only the first word is a ", thing, "'s name (", example, ")"));
  return all;
}

/// The first few names.
std::string some(const std::vector<std::string>& names) {
  constexpr std::size_t most = 5;
  std::string text;
  for (std::size_t i = 0; i < std::min(names.size(), most); ++i) text += (i == 0 ? "" : ", ") + shortened(names[i], 60);
  return names.size() > most ? text + ", ..." : text;
}

}  // namespace

bool is_hidden_name(const std::string& name) { return name.starts_with('.') || name == "__MACOSX"; }

bool is_image_name(const std::string& name) {
  std::string ending = fs::path(name).extension().string();
  std::transform(ending.begin(), ending.end(), ending.begin(), [](unsigned char c) { return std::tolower(c); });
  constexpr std::array endings{".jpg", ".jpeg", ".png", ".bmp", ".jfif", ".jpe", ".jif", ".jfi", ".pjpeg", ".pjp"};
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
  OtherFiles others, loose_others;
  for (const fs::directory_entry& entry : entries_of(folder)) {
    const std::string name = entry.path().filename().string();
    if (!is_folder(entry)) {
      if (is_image_name(name))
        loose.push_back(name);
      else
        loose_others.add(name);
      continue;
    }
    refuse_circle(entry);
    std::vector<std::string> files;
    OtherFiles in_class;
    gather(entry.path(), name + "/", 1, files, in_class);
    if (files.empty() && empty_class.empty()) empty_class = no_images(folder + "/" + name, in_class);
    if (!files.empty()) add_class(list, name, files);
    others.add(in_class);
  }
  if (loose.empty() && list.files.empty()) {
    others.add(loose_others);
    throw UsageError(no_images(folder, others));
  }
  if (!loose.empty() && !list.classes.empty())
    throw UsageError(join("image_folder: ", folder, " has images (", loose.front(), ") beside class folders (",
                          list.classes.front(), "), expected either of them"));
  if (!loose.empty()) {
    list.files = std::move(loose);
    add_notice(list, loose_others);
    return list;
  }
  require_usage(empty_class.empty(), empty_class);
  add_notice(list, others);
  return list;
}

std::string left_out_notice(const std::string& folder, const std::vector<std::string>& classes,
                            const std::string& others) {
  std::vector<std::string> loose, names, files;
  OtherFiles ignored;
  for (const fs::directory_entry& entry : entries_of(folder)) {
    const std::string name = entry.path().filename().string();
    const std::size_t before = files.size();
    if (!is_folder(entry)) {
      if (is_image_name(name)) loose.push_back(name);
    } else if (!std::binary_search(classes.begin(), classes.end(), name)) {
      refuse_circle(entry);
      gather(entry.path(), "", 1, files, ignored);
      if (files.size() > before) names.push_back(name);
    }
  }
  const auto images = [](std::size_t count) { return counted(static_cast<std::int64_t>(count), "image"); };
  std::string text;
  if (!names.empty())
    text = join(images(files.size()), " of ", names.size(), names.size() == 1 ? " class" : " classes", " that ", others,
                " has not (", some(names), ")");
  if (!loose.empty())
    text += join(text.empty() ? "" : " and ", images(loose.size()), " in no class's folder (", some(loose), ")");
  return text.empty() ? "" : join("image_folder: ", folder, ": ", text, " are left out");
}

std::vector<std::string> class_folders(const std::string& folder, std::vector<std::string> names,
                                       std::vector<std::string>& notices) {
  const auto has = [&](std::string_view name) { return has_class(folder, name); };
  return matched(folder, std::move(names), has, "folder", "folder of the class", notices);
}

std::vector<std::string> packed_classes(const std::string& path, const std::vector<std::string>& classes,
                                        std::vector<std::string> names, std::vector<std::string>& notices) {
  const std::set<std::string, std::less<>> known(classes.begin(), classes.end());
  const auto has = [&](std::string_view name) { return known.contains(name); };
  return matched(path, std::move(names), has, "class", "class", notices);
}

std::vector<std::string> read_class_names(const std::string& file) {
  // A process's output can be read only once, but every split of a data set needs it.
  static std::map<std::string, std::vector<std::string>> from_processes;
  if (const auto known = from_processes.find(file); known != from_processes.end()) return known->second;
  bool is_file = true;
  std::vector<std::string> names = class_names(read_text(file, &is_file), file);
  if (!is_file) from_processes.emplace(file, names);
  return names;
}

std::vector<std::string> class_names(const std::string& text, const std::string& where) {
  require_usage(!text.starts_with("\xff\xfe") && !text.starts_with("\xfe\xff"), "--classes: ", where,
                " is UTF-16, expected UTF-8, or the bytes of the folders' names");
  std::vector<std::string> names;
  std::set<std::string> seen;
  for (const std::string_view line : text_lines(text)) {
    if (line.starts_with('#') || without_blanks(line).empty()) continue;
    require_usage(line.find('\0') == std::string_view::npos, "--classes: ", where, ": the name '", shortened(line),
                  "' has a byte 0, expected text");
    require_usage(seen.emplace(line).second, "--classes: ", where, " names '", shortened(line), "' twice");
    names.emplace_back(line);
  }
  require_usage(!names.empty(), "--classes: ", where, " names no classes");
  return names;
}

}  // namespace vergence
