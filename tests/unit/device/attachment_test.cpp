// SPDX-License-Identifier: BSD-3-Clause
// Translation, flushing and copying through an attachment.
#include "daxsim/device/attachment.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <vector>

#include "fake_device.hpp"
#include "support/error_of.hpp"

namespace daxsim {
namespace {

using support::error_of;

constexpr std::uint64_t kSize = AttachedFake::kPages * kPageSize;

std::vector<std::byte> pattern(std::size_t length, unsigned seed) {
  std::vector<std::byte> bytes(length);
  for (std::size_t i = 0; i < length; ++i) {
    bytes[i] = static_cast<std::byte>(seed + i * 7);
  }
  return bytes;
}

TEST(AttachmentTest, KnowsItsDevice) {
  // What callers ask the attachment instead of the device.
  const AttachedFake fake;
  EXPECT_EQ(fake.attachment->name(), "fake");
  EXPECT_EQ(fake.attachment->size(), kSize);
  EXPECT_EQ(fake.attachment->pages(), AttachedFake::kPages);
  EXPECT_EQ(fake.attachment->first_pfn(), AttachedFake::kFirst);
  EXPECT_EQ(fake.attachment->dev(), AttachedFake::kDev);
  EXPECT_EQ(fake.attachment->device(), fake.device);
}

TEST(AttachmentTest, TranslatesWithFrameAndEvent) {
  // Page to address and frame; one event with what was asked and answered.
  AttachedFake fake;
  const Gate::Reader reader(fake.attachment->gate());
  const auto memory = fake.attachment->direct_access({5}, 3);
  ASSERT_TRUE(memory.ok());
  EXPECT_EQ(memory->kaddr, fake.view->bytes() + 5 * kPageSize);
  EXPECT_EQ(memory->pfn, AttachedFake::kFirst + 5);
  EXPECT_EQ(memory->pages, 3U);
  const Event event = fake.only(EventType::dax_direct_access);
  EXPECT_EQ(event.pgoff, Pgoff{5});
  EXPECT_EQ(event.last, 3U);
  EXPECT_EQ(event.ret, 3);
  EXPECT_EQ(event.dev, AttachedFake::kDev);
}

TEST(AttachmentTest, ClipsAtTheEndAndAtContiguity) {
  // The answer may be shorter than asked: the device ends, or the memory does.
  AttachedFake fake;
  const Gate::Reader reader(fake.attachment->gate());
  EXPECT_EQ(fake.attachment->direct_access({14}, 512)->pages, 2U);
  EXPECT_EQ(fake.attachment->direct_access({14}, ~std::uint64_t{0})->pages, 2U);
  fake.view->run = 4;
  EXPECT_EQ(fake.attachment->direct_access({0}, 16)->pages, 4U);
}

TEST(AttachmentTest, RefusesWhatIsNotThere) {
  // Errors by name, each with its event.
  AttachedFake fake;
  const Gate::Reader reader(fake.attachment->gate());
  EXPECT_EQ(error_of(fake.attachment->direct_access({0}, 0)), Errno::einval);
  EXPECT_EQ(error_of(fake.attachment->direct_access({AttachedFake::kPages}, 1)), Errno::erange);
  fake.view->fails = Errno::ehwpoison;
  EXPECT_EQ(error_of(fake.attachment->direct_access({2}, 1)), Errno::ehwpoison);
  std::vector<std::int64_t> answers;
  for (const Event& event : fake.events.since(1)) {
    answers.push_back(event.ret);
  }
  EXPECT_EQ(answers, (std::vector<std::int64_t>{-EINVAL, -ERANGE, -EHWPOISON}));
}

TEST(AttachmentTest, FlushesAndFences) {
  // dax_flush and the device's flush, with their events.
  AttachedFake fake;
  ASSERT_TRUE(fake.attachment->flush({kPageSize + 70, 100}).ok());
  ASSERT_TRUE(fake.attachment->fence().ok());
  EXPECT_EQ(fake.view->flushed, (std::vector<ByteRange>{{kPageSize + 70, 100}}));
  EXPECT_EQ(fake.view->fences, 1);
  EXPECT_EQ(fake.only(EventType::dax_flush).length, 100U);
  EXPECT_EQ(fake.only(EventType::dax_flush).pfn, AttachedFake::kFirst + 1);
  EXPECT_EQ(fake.only(EventType::blkdev_issue_flush).ret, 0);
}

TEST(AttachmentTest, FlushSaysWhatTheDeviceSays) {
  // A full host disk reaches the caller.
  AttachedFake fake;
  fake.view->fails = Errno::enospc;
  EXPECT_EQ(error_of(fake.attachment->flush({0, 64})), Errno::enospc);
}

TEST(AttachmentTest, FailedFenceHasItsEvent) {
  // The answer of a fence after disk_gone is in the trace.
  AttachedFake fake;
  fake.live_until(LifeState::disk_gone);
  EXPECT_EQ(error_of(fake.attachment->fence()), Errno::eio);
  EXPECT_EQ(fake.only(EventType::blkdev_issue_flush).ret, -EIO);
  EXPECT_EQ(fake.view->fences, 0);
}

TEST(AttachmentTest, FlushIsNothingWithoutWriteCache) {
  // The flag of F5.3 f: called, seen in the trace, and without effect. What bypasses the cache still reaches the media.
  AttachedFake fake(Capabilities{.write_cache = false});
  EXPECT_TRUE(fake.attachment->flush({0, 64}).ok());
  EXPECT_TRUE(fake.view->flushed.empty());
  EXPECT_EQ(fake.only(EventType::dax_flush).length, 64U);

  const std::array<std::byte, 8> bytes{};
  EXPECT_TRUE(fake.attachment->write(64, bytes).ok());
  EXPECT_EQ(fake.view->flushed, (std::vector<ByteRange>{{64, 8}}));
}

TEST(AttachmentTest, RangesEndWithTheDevice) {
  // Errno::erange for every call with bytes, also where offset and length wrap; up to the last byte is fine.
  AttachedFake fake;
  Attachment& attachment = *fake.attachment;
  std::array<std::byte, 2> two{};
  for (const ByteRange bytes : {ByteRange{kSize - 1, 2}, {kSize, 1}, {kSize + 1, 0}, {~std::uint64_t{0}, 2}}) {
    EXPECT_EQ(error_of(attachment.flush(bytes)), Errno::erange) << bytes.offset;
    EXPECT_EQ(error_of(attachment.zero(bytes)), Errno::erange) << bytes.offset;
  }
  EXPECT_EQ(error_of(attachment.read(kSize - 1, two)), Errno::erange);
  EXPECT_EQ(error_of(attachment.write(kSize - 1, two)), Errno::erange);
  EXPECT_TRUE(attachment.read(kSize - 2, two).ok());
  EXPECT_TRUE(attachment.write(kSize - 2, two).ok());
  EXPECT_TRUE(attachment.zero({kSize, 0}).ok());
}

TEST(AttachmentTest, CopiesAnyBytesAnywhere) {
  // Every alignment and length around words, pages and runs; neighbours stay.
  for (const std::uint64_t offset : {0UL, 1UL, 7UL, 8UL, 63UL, 4090UL, 4096UL, 8185UL}) {
    for (const std::size_t length : {0UL, 1UL, 7UL, 8UL, 9UL, 64UL, 4096UL, 9000UL}) {
      AttachedFake fake;
      fake.view->run = 1;
      std::fill_n(fake.view->bytes(), kSize, std::byte{0xee});
      const auto bytes = pattern(length, static_cast<unsigned>(offset));

      ASSERT_TRUE(fake.attachment->write(offset, bytes).ok());
      std::vector<std::byte> back(length);
      ASSERT_TRUE(fake.attachment->read(offset, back).ok());

      EXPECT_EQ(back, bytes);
      EXPECT_TRUE(std::equal(bytes.begin(), bytes.end(), fake.view->bytes() + offset));
      EXPECT_TRUE(offset == 0 || fake.view->bytes()[offset - 1] == std::byte{0xee});
      EXPECT_EQ(fake.view->bytes()[offset + length], std::byte{0xee});
    }
  }
}

TEST(AttachmentTest, ZeroesExactly) {
  // The same for zeroes.
  for (const ByteRange bytes : {ByteRange{5, 3}, {0, 4096}, {4000, 200}, {3, 12000}}) {
    AttachedFake fake;
    std::fill_n(fake.view->bytes(), kSize, std::byte{0xee});
    ASSERT_TRUE(fake.attachment->zero(bytes).ok());
    for (std::uint64_t i = 0; i < kSize; ++i) {
      const bool inside = i >= bytes.offset && i < bytes.end();
      ASSERT_EQ(fake.view->bytes()[i], inside ? std::byte{0} : std::byte{0xee}) << i;
    }
    EXPECT_EQ(fake.view->flushed, std::vector<ByteRange>{bytes});
  }
}

TEST(AttachmentTest, CopiesFlushThemselvesAndSayNothing) {
  // write() and zero() are in the unfenced log when they return; the trace belongs to who called.
  AttachedFake fake;
  const auto bytes = pattern(100, 1);
  std::array<std::byte, 100> back{};
  ASSERT_TRUE(fake.attachment->write(10, bytes).ok());
  ASSERT_TRUE(fake.attachment->zero({200, 20}).ok());
  ASSERT_TRUE(fake.attachment->read(10, back).ok());
  EXPECT_EQ(fake.view->flushed, (std::vector<ByteRange>{{10, 100}, {200, 20}}));
  EXPECT_EQ(fake.all_events(), 0U);
}

TEST(AttachmentTest, CopiesSayWhatTheDeviceSays) {
  // Poison found by the copy is the copy's error.
  AttachedFake fake;
  std::array<std::byte, 8> bytes{};
  fake.view->fails = Errno::ehwpoison;
  EXPECT_EQ(error_of(fake.attachment->read(0, bytes)), Errno::ehwpoison);
  EXPECT_EQ(error_of(fake.attachment->write(0, bytes)), Errno::ehwpoison);
  EXPECT_EQ(error_of(fake.attachment->zero({0, 8})), Errno::ehwpoison);
}

}  // namespace
}  // namespace daxsim
