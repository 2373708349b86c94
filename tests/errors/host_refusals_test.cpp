// SPDX-License-Identifier: BSD-3-Clause
// What the host can refuse for good: in a child process each.
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <cerrno>
#include <cstddef>
#include <ostream>
#include <stdexcept>
#include <string>
#include <utility>

#include "daxsim/adapters/linear.hpp"
#include "daxsim/machine/machine.hpp"
#include "daxsim/sim_devices/pmem.hpp"
#include "daxsim/test_support/must.hpp"
#include "support/child.hpp"
#include "support/temp_file.hpp"

namespace daxsim::test {
namespace {

using namespace daxsim::literals;

// userfaultfd(2) fails with this errno in the rest of this process's life.
void refuse_userfaultfd(int host_errno) {
  sock_filter rules[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_userfaultfd, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | static_cast<unsigned>(host_errno)),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog program{.len = std::size(rules), .filter = rules};
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
      ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) != 0) {
    throw std::runtime_error("no seccomp");
  }
}

TEST(HostRefusals, NoUserfaultfd) {
  // Errno::emfile and Errno::enfile as the host says them; whatever else it says is Errno::enosys.
  for (const auto& [host, ours] :
       {std::pair(EMFILE, Errno::emfile), {ENFILE, Errno::enfile}, {ENOSYS, Errno::enosys}, {EPERM, Errno::enosys}}) {
    const std::string trouble = support::in_child([refused = host, wanted = ours](std::ostream& out) {
      const support::TempFile media;
      Machine machine;
      FileSystem fs =
          must(machine.mkfs<LinearFs>(must(machine.attach(sim::Pmem{.path = media.path(), .size = 2_MiB}))));
      File file = must(fs.create("file", 64_KiB));
      refuse_userfaultfd(refused);
      const auto one = Mapping::map(machine.context().system, file.open_file(), {}, LiveBackend::userfaultfd);
      const auto two = file.map({}, LiveBackend::userfaultfd);
      if (one.ok() || one.error() != wanted || two.ok() || two.error() != wanted) {
        out << "Mapping::map: " << (one.ok() ? "success" : errno_name(one.error()))
            << ", File::map: " << (two.ok() ? "success" : errno_name(two.error()));
      }
    });

    EXPECT_EQ(trouble, "") << host;
  }
}

}  // namespace
}  // namespace daxsim::test
