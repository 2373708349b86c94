// SPDX-License-Identifier: BSD-3-Clause
#include "adapters/extent_fs/records.hpp"

DAXSIM_BEGIN
namespace extent_fs {

std::size_t encoded_size(const Record& record) noexcept { return sizeof(LogRecord) + round_up(record.name.size(), 8); }

void encode(const Record& record, std::span<std::byte> to) noexcept {
  LogRecord raw{};
  raw.type = static_cast<std::uint8_t>(record.type);
  raw.state = static_cast<std::uint8_t>(record.state);
  raw.name_length = static_cast<std::uint8_t>(record.name.size());
  raw.ino = record.ino;
  raw.a = record.type == RecordType::size    ? record.bytes
          : record.type == RecordType::group ? record.group
          : record.type == RecordType::flags ? record.flags
                                             : record.pages.first.value;
  raw.b = record.pages.pages;
  raw.c = record.physical;
  std::memset(to.data(), 0, encoded_size(record));
  std::memcpy(to.data(), &raw, sizeof(raw));
  record.name.copy(reinterpret_cast<char*>(to.data()) + sizeof(raw), record.name.size());
}

Result<Record> decode(std::span<const std::byte>& from) noexcept {
  LogRecord raw;
  if (from.size() < sizeof(raw)) {
    return Errno::euclean;
  }
  std::memcpy(&raw, from.data(), sizeof(raw));
  const std::size_t padded = round_up(raw.name_length, 8);
  if (raw.type < static_cast<std::uint8_t>(RecordType::create) ||
      raw.type > static_cast<std::uint8_t>(RecordType::flags) ||
      raw.state > static_cast<std::uint8_t>(BlockState::unwritten) || from.size() - sizeof(raw) < padded) {
    return Errno::euclean;
  }
  Record record;
  record.type = static_cast<RecordType>(raw.type);
  record.state = static_cast<BlockState>(raw.state);
  record.ino = raw.ino;
  record.name = {reinterpret_cast<const char*>(from.data() + sizeof(raw)), raw.name_length};
  if (record.type == RecordType::size) {
    record.bytes = raw.a;
  } else if (record.type == RecordType::group) {
    record.group = raw.a;
  } else if (record.type == RecordType::flags) {
    record.flags = raw.a;
  } else {
    record.pages = {{raw.a}, raw.b};
  }
  record.physical = raw.c;
  from = from.subspan(sizeof(raw) + padded);
  return record;
}

}  // namespace extent_fs
DAXSIM_END
