// The image files of a folder: classes from its subfolders, or none.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace vergence {

struct ImageList {
  std::string folder;                // what the files' names begin behind
  std::vector<std::string> classes;  // subfolders, sorted; empty where there are no labels
  std::vector<std::string> files;    // sorted, class by class
  std::vector<std::int32_t> labels;  // places in `classes`, or empty
  std::vector<std::string> notices;  // lines about what was left out

  std::string path(std::size_t i) const { return folder + "/" + files[i]; }
};

/// Whether a name ends as those of JPEG (.jpg, .jpeg, .jpe, .jfif, .jif, .jfi, .pjpeg, .pjp), PNG and BMP files do, in
/// small or capital letters.
bool is_image_name(const std::string& name);

/// Whether what is called so counts as not there: it begins with a dot, or is what macOS adds to archives.
bool is_hidden_name(const std::string& name);

/// The images in `folder` (at any depth below a class's folder). Where there are subfolders with images, each is a
/// class; a folder that has images alone has no classes. With `only`, the classes are these; others are left out. What
/// is hidden, and files of other names, are left out; a notice counts the latter (see OtherFiles). Throws
/// UsageError for a folder that is not there or has no images, one with images beside class folders, a class without
/// images, and a class of `only` that is not there.
ImageList list_images(const std::string& folder, const std::vector<std::string>& only = {});

/// What lies in a folder and belongs to none of these classes, which are sorted, as a notice that calls them those of
/// `others`: images of other folders, and images in no folder. Empty: nothing.
std::string left_out_notice(const std::string& folder, const std::vector<std::string>& classes,
                            const std::string& others);

/// The folders in `folder` that class names, sorted, stand for: the one that is called as the whole name, or, without
/// blanks around it, or, where there is none, as its first word (of "n01440764 tench"); a notice says for how many that
/// was so. Throws UsageError for a name without a folder and for two that stand for the same one.
std::vector<std::string> class_folders(const std::string& folder, std::vector<std::string> names,
                                       std::vector<std::string>& notices);

/// Class names from a text: each line that is not blank and does not begin with '#' is one, with all its blanks. A byte
/// order mark and carriage returns at the ends of lines are no part of them. Throws UsageError, which names `where`,
/// when there are none, one stands twice, or the text is UTF-16 or has a byte 0.
std::vector<std::string> class_names(const std::string& text, const std::string& where);

/// The same from a file, or from what a process writes: a FIFO, or <(...) of a shell.
std::vector<std::string> read_class_names(const std::string& file);

}  // namespace vergence
