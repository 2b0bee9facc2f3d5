#include "ssl/training/tensorboard/hparams.h"

#include <protozero/pbf_writer.hpp>

#include "engine/text/stored_text.h"
#include "engine/text/words.h"
#include "ssl/options/effects.h"
#include "ssl/options/table.h"

namespace vergence {
namespace {

// The numbers of the fields in tensorboard/plugins/hparams/plugin_data.proto and protobuf's struct.proto.
namespace plugin_field {
enum : protozero::pbf_tag_type { version = 1, session_start = 3, session_end = 4 };
}
namespace start_field {
enum : protozero::pbf_tag_type { hparams = 1, time = 5 };
}
namespace map_field {
enum : protozero::pbf_tag_type { key = 1, value = 2 };
}
namespace json_field {
enum : protozero::pbf_tag_type { number = 2, text = 3, boolean = 4 };
}
namespace end_field {
enum : protozero::pbf_tag_type { status = 1, time = 2 };
constexpr std::int32_t success = 1;
}  // namespace end_field

constexpr std::int32_t format_version = 0;

void add_value(protozero::pbf_writer& value, const OptionEntry& entry, const Options& options) {
  const std::string text = value_text(entry, options);
  if (entry.is_bool())
    value.add_bool(json_field::boolean, text == "on");
  else if (entry.is_number())
    value.add_double(json_field::number, number_of<double>(text).value());
  else
    value.add_string(json_field::text, stored_text(text));  // protobuf's strings are UTF-8, which a path may not be
}

void add_plugin_data(Summary& summary, const char* tag, protozero::pbf_tag_type field, const std::string& message) {
  std::string content;
  protozero::pbf_writer data(content);
  data.add_int32(plugin_field::version, format_version);
  data.add_message(field, message);
  summary.plugin_data(tag, "hparams", content);
}

}  // namespace

void add_session_start(Summary& summary, const Options& options, double time) {
  std::string message;
  protozero::pbf_writer start(message);
  for (const OptionEntry& entry : option_table()) {
    if (!is_written(entry, options) || !unused_owner(entry.name, options).empty()) continue;
    protozero::pbf_writer item(start, start_field::hparams);
    item.add_string(map_field::key, entry.name);
    protozero::pbf_writer value(item, map_field::value);
    add_value(value, entry, options);
  }
  start.add_double(start_field::time, time);
  add_plugin_data(summary, "_hparams_/session_start_info", plugin_field::session_start, message);
}

void add_session_end(Summary& summary, double time) {
  std::string message;
  protozero::pbf_writer end(message);
  end.add_enum(end_field::status, end_field::success);
  end.add_double(end_field::time, time);
  add_plugin_data(summary, "_hparams_/session_end_info", plugin_field::session_end, message);
}

}  // namespace vergence
