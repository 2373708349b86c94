// SPDX-License-Identifier: BSD-3-Clause
#include "daxsim/dax/era.hpp"

#include <gtest/gtest.h>

#include "daxsim/test_support/expect.hpp"

namespace daxsim {
namespace {

// The default is that of 6.12, and takes every step.
TEST(Policy, Default) {
  EXPECT_EQ(Policy{}, eras::v6_12.policy);
  EXPECT_TRUE(Policy{}.takes(Step::flush));
}

// Skipping a step skips that one.
TEST(Policy, Without) {
  const Policy policy = Policy{}.without(Step::fence).without(Step::unmap_zero_page_on_write);
  EXPECT_TRUE(policy.takes(Step::flush));
  EXPECT_FALSE(policy.takes(Step::fence));
  EXPECT_TRUE(policy.takes(Step::wake_all_on_delete));
  EXPECT_FALSE(policy.takes(Step::unmap_zero_page_on_write));
  EXPECT_TRUE(policy.validate().ok());
}

// Values outside their enums and unknown steps are refused.
TEST(Policy, Validate) {
  EXPECT_ERRNO((Policy{.write_protect = static_cast<WriteProtect>(3)}).validate(), Errno::einval);
  EXPECT_ERRNO((Policy{.clear_dirty = static_cast<ClearDirty>(2)}).validate(), Errno::einval);
  EXPECT_ERRNO((Policy{.read_fault = static_cast<ReadFaultEntry>(2)}).validate(), Errno::einval);
  EXPECT_ERRNO((Policy{.shared_mappings = static_cast<SharedMappings>(2)}).validate(), Errno::einval);
  EXPECT_ERRNO((Policy{.break_layouts = static_cast<BreakLayouts>(2)}).validate(), Errno::einval);
  EXPECT_ERRNO((Policy{.before_punch = static_cast<BeforePunch>(2)}).validate(), Errno::einval);
  EXPECT_ERRNO((Policy{.behind_end = static_cast<BehindEnd>(2)}).validate(), Errno::einval);
  EXPECT_ERRNO((Policy{.before_shrink = static_cast<BeforeShrink>(2)}).validate(), Errno::einval);
  EXPECT_ERRNO((Policy{.skipped = std::uint64_t{2} << static_cast<unsigned>(kLastStep)}).validate(), Errno::einval);
}

}  // namespace
}  // namespace daxsim
