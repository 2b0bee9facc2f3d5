// Lists a folder's image files, with classes from its subfolders, or none.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace vergence {

struct ImageList {
  std::string folder;                // the folder that the files' names are relative to
  std::vector<std::string> classes;  // subfolders, sorted; empty: no labels
  std::vector<std::string> files;    // sorted, class by class
  std::vector<std::int32_t> labels;  // indices in `classes`, or empty
  std::vector<std::string> notices;  // messages about skipped files

  std::string path(std::size_t i) const { return folder + "/" + files[i]; }
};

/// Whether a name has an ending of JPEG (.jpg, .jpeg, .jpe, .jfif, .jif, .jfi, .pjpeg, .pjp), PNG or BMP, in any case.
bool is_image_name(const std::string& name);

/// Whether to ignore this name: it begins with a dot, or macOS adds it to archives.
bool is_hidden_name(const std::string& name);

/// The images in `folder` (at any depth below a class's folder). Each subfolder with images is a class; a folder of
/// only images has no classes; `only` limits the classes. Skips hidden files and files with other names, and counts the
/// latter in a notice (see OtherFiles). Throws UsageError for a folder that is missing, has no images, or has images
/// beside class folders, for a class without images, and for a missing class of `only`.
ImageList list_images(const std::string& folder, const std::vector<std::string>& only = {});

/// A notice about images in a folder outside these sorted classes, which it calls those of `others`: in other folders,
/// or in no folder. Empty: there are none.
std::string left_out_notice(const std::string& folder, const std::vector<std::string>& classes,
                            const std::string& others);

/// The folders in `folder` for class names, sorted: called like the whole name, without blanks around it, or else like
/// its first word (of "n01440764 tench"), which a notice counts. Throws UsageError for a name without a folder and for
/// two names of one folder.
std::vector<std::string> class_folders(const std::string& folder, std::vector<std::string> names,
                                       std::vector<std::string>& notices);

/// Class names from a text: each line, with its blanks, that is not blank and does not begin with '#'. Ignores a byte
/// order mark and carriage returns at line ends. Throws UsageError, which names `where`, if there are no names, a name
/// is repeated, or the text is UTF-16 or has a byte 0.
std::vector<std::string> class_names(const std::string& text, const std::string& where);

/// The same from a file or a process's output: a FIFO, or <(...) of a shell.
std::vector<std::string> read_class_names(const std::string& file);

}  // namespace vergence
