// SPDX-License-Identifier: BSD-3-Clause
#include "daxsim/base/errno.hpp"

#include <array>

DAXSIM_BEGIN
namespace {

struct Row {
  Errno value;
  std::string_view name;
  std::string_view text;
};

constexpr std::array kRows{
    Row{Errno::eperm, "EPERM", "operation not permitted"},
    Row{Errno::enoent, "ENOENT", "no such file"},
    Row{Errno::eintr, "EINTR", "interrupted while waiting"},
    Row{Errno::eio, "EIO", "input/output error"},
    Row{Errno::enxio, "ENXIO", "no such device or address"},
    Row{Errno::ebadf, "EBADF", "the handle does not allow this"},
    Row{Errno::eagain, "EAGAIN", "would have to wait"},
    Row{Errno::enomem, "ENOMEM", "out of memory"},
    Row{Errno::eacces, "EACCES", "permission denied"},
    Row{Errno::efault, "EFAULT", "bad address"},
    Row{Errno::ebusy, "EBUSY", "in use"},
    Row{Errno::eexist, "EEXIST", "exists already"},
    Row{Errno::exdev, "EXDEV", "crosses devices"},
    Row{Errno::enodev, "ENODEV", "no such device"},
    Row{Errno::enotdir, "ENOTDIR", "not a directory"},
    Row{Errno::einval, "EINVAL", "invalid argument"},
    Row{Errno::enfile, "ENFILE", "too many open files on the host"},
    Row{Errno::emfile, "EMFILE", "too many open files in this process"},
    Row{Errno::efbig, "EFBIG", "file too large"},
    Row{Errno::enospc, "ENOSPC", "no space left"},
    Row{Errno::erofs, "EROFS", "read-only"},
    Row{Errno::erange, "ERANGE", "beyond the end of the device"},
    Row{Errno::enametoolong, "ENAMETOOLONG", "file name too long"},
    Row{Errno::enosys, "ENOSYS", "not provided by the host kernel"},
    Row{Errno::enotempty, "ENOTEMPTY", "not empty"},
    Row{Errno::eoverflow, "EOVERFLOW", "value does not fit its field"},
    Row{Errno::etime, "ETIME", "not done in time"},
    Row{Errno::eopnotsupp, "EOPNOTSUPP", "operation not supported"},
    Row{Errno::estale, "ESTALE", "handle of an earlier life"},
    Row{Errno::ehwpoison, "EHWPOISON", "memory has a hardware error"},
    Row{Errno::euclean, "EUCLEAN", "metadata is damaged"},
    Row{Errno::eshutdown, "ESHUTDOWN", "the machine lost power"},
};

constexpr const Row* find(Errno error) noexcept {
  for (const Row& row : kRows) {
    if (row.value == error) {
      return &row;
    }
  }
  return nullptr;
}

}  // namespace

std::string_view errno_name(Errno error) noexcept {
  const Row* row = find(error);
  return row == nullptr ? "E?" : row->name;
}

std::string_view errno_text(Errno error) noexcept {
  const Row* row = find(error);
  return row == nullptr ? "unknown error" : row->text;
}

Errno from_host_errno(int host_errno) noexcept {
  const Row* row = find(static_cast<Errno>(host_errno));
  return row == nullptr ? Errno::eio : row->value;
}

DAXSIM_END
