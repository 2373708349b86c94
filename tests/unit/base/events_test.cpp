// SPDX-License-Identifier: BSD-3-Clause
#include "daxsim/base/events.hpp"

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <latch>
#include <memory>
#include <set>
#include <string_view>
#include <thread>
#include <vector>

namespace daxsim {
namespace {

using namespace std::chrono_literals;

class Recorder final : public EventObserver {
 public:
  void on_event(const Event& event) noexcept override {
    if (count_ < ids_.size()) {
      ids_[count_] = event.id;
    }
    ++count_;
  }
  [[nodiscard]] std::vector<std::uint64_t> ids() const {
    return {ids_.begin(), ids_.begin() + static_cast<std::ptrdiff_t>(count_)};
  }

 private:
  std::array<std::uint64_t, 64> ids_{};
  std::size_t count_ = 0;
};

std::vector<std::uint64_t> ids_of(const std::vector<Event>& events) {
  std::vector<std::uint64_t> ids;
  for (const Event& event : events) {
    ids.push_back(event.id);
  }
  return ids;
}

using Ids = std::vector<std::uint64_t>;

class EventStreamTest : public ::testing::Test {
 protected:
  VirtualClock clock_;
  EventStream stream_{clock_, 4};
};

// Events are numbered from 1, carry the virtual time of their emission and what the emitter said, and are counted.
TEST_F(EventStreamTest, EventsGetIdsAndTimesAndAreCounted) {
  EXPECT_EQ(stream_.next_id(), 1U);
  EXPECT_EQ(stream_.emit({.type = EventType::dax_flush, .length = 4096}), 1U);
  clock_.advance(5ns);
  EXPECT_EQ(stream_.emit({.type = EventType::dax_pte_fault, .ino = 12, .pgoff = {3}}), 2U);

  const std::vector<Event> events = stream_.since(1);

  ASSERT_EQ(ids_of(events), (Ids{1, 2}));
  EXPECT_EQ(events[0].type, EventType::dax_flush);
  EXPECT_EQ(events[0].length, 4096U);
  EXPECT_EQ(events[0].time_ns, 0U);
  EXPECT_EQ(events[1].ino, 12U);
  EXPECT_EQ(events[1].pgoff, Pgoff{3});
  EXPECT_EQ(events[1].time_ns, 5U);
  EXPECT_EQ(stream_.count(EventType::dax_flush), 1U);
  EXPECT_EQ(stream_.count(EventType::finding), 0U);
  EXPECT_EQ(stream_.next_id(), 3U);
}

// The ring keeps the newest events and forgets the oldest; the counts forget nothing.
TEST_F(EventStreamTest, TheRingForgetsTheOldest) {
  for (int turn = 0; turn < 4; ++turn) {
    stream_.emit({.type = EventType::dax_flush});
  }
  EXPECT_EQ(ids_of(stream_.since(0)), (Ids{1, 2, 3, 4}));

  stream_.emit({.type = EventType::dax_flush});

  EXPECT_EQ(ids_of(stream_.since(0)), (Ids{2, 3, 4, 5}));
  EXPECT_EQ(ids_of(stream_.since(5)), (Ids{5}));
  EXPECT_EQ(ids_of(stream_.since(6)), (Ids{}));
  EXPECT_EQ(stream_.count(EventType::dax_flush), 5U);
}

// The ring is as large as asked for, rounded up to a power of two, and never empty.
TEST_F(EventStreamTest, TheRingIsRoundedUp) {
  EventStream five(clock_, 5);
  EventStream none(clock_, 0);
  for (int turn = 0; turn < 20; ++turn) {
    five.emit({});
    none.emit({});
  }
  EXPECT_EQ(five.since(0).size(), 8U);
  EXPECT_EQ(ids_of(none.since(0)), (Ids{20}));
}

// An observer sees what is emitted between its registration and its removal, with the id.
TEST_F(EventStreamTest, ObserversSeeWhatIsEmittedWhileTheyAreThere) {
  Recorder first;
  Recorder second;
  stream_.emit({});
  ASSERT_TRUE(stream_.add(first).ok());
  stream_.emit({});
  ASSERT_TRUE(stream_.add(second).ok());
  stream_.emit({});
  stream_.remove(first);
  stream_.emit({});
  stream_.remove(second);
  stream_.emit({});

  EXPECT_EQ(first.ids(), (Ids{2, 3}));
  EXPECT_EQ(second.ids(), (Ids{3, 4}));
}

// There is room for kMaxObservers; the next is refused, until one leaves.
TEST_F(EventStreamTest, RefusesTooManyObservers) {
  std::array<Recorder, EventStream::kMaxObservers> observers;
  Recorder extra;
  for (Recorder& observer : observers) {
    ASSERT_TRUE(stream_.add(observer).ok());
  }
  EXPECT_EQ(stream_.add(extra).error(), Errno::enospc);
  stream_.remove(observers[3]);
  EXPECT_TRUE(stream_.add(extra).ok());

  stream_.emit({});

  EXPECT_EQ(extra.ids(), (Ids{1}));
  EXPECT_TRUE(observers[3].ids().empty());
  for (Recorder& observer : observers) {
    stream_.remove(observer);
  }
  stream_.remove(extra);
}

// A detector may emit a finding while it looks at an event, and every observer sees that one too.
TEST_F(EventStreamTest, AnObserverMayEmit) {
  class Detector final : public EventObserver {
   public:
    explicit Detector(EventStream& stream) : stream_(stream) {}
    void on_event(const Event& event) noexcept override {
      if (event.type == EventType::dax_flush) {
        stream_.emit({.type = EventType::finding, .pgoff = {event.id}});
      }
    }

   private:
    EventStream& stream_;
  };
  Detector detector(stream_);
  Recorder recorder;
  ASSERT_TRUE(stream_.add(detector).ok());
  ASSERT_TRUE(stream_.add(recorder).ok());

  stream_.emit({.type = EventType::dax_flush});

  stream_.remove(detector);
  stream_.remove(recorder);
  EXPECT_EQ(stream_.count(EventType::finding), 1U);
  EXPECT_EQ(recorder.ids(), (Ids{2, 1}));
}

// Events come from under any lock of the fault path but the ring's own, and from inside a gate.
TEST_F(EventStreamTest, EventsAreEmittedUnderLocks) {
  Recorder recorder;
  ASSERT_TRUE(stream_.add(recorder).ok());
  SharedMutex mm(LockRank::mm);
  Mutex index(LockRank::index);
  Gate gate;
  Mutex media(LockRank::media);
  {
    const SharedLock reading(mm);
    const MutexLock indexing(index);
    const Gate::Reader inside(gate);
    const MutexLock writing(media);
    stream_.emit({});
  }
  stream_.remove(recorder);
  EXPECT_EQ(recorder.ids(), (Ids{1}));
}

// After remove() nobody is inside the observer, so it can be destroyed while others emit. Ids stay unique meanwhile.
TEST_F(EventStreamTest, ARemovedObserverIsNotCalledAnyMore) {
  class Mortal final : public EventObserver {
   public:
    ~Mortal() { alive_.store(false, std::memory_order_relaxed); }
    void on_event(const Event&) noexcept override {
      seen_.fetch_add(1, std::memory_order_relaxed);
      EXPECT_TRUE(alive_.load(std::memory_order_relaxed));
    }

   private:
    std::atomic<bool> alive_{true};
    std::atomic<unsigned> seen_{0};
  };
  constexpr unsigned kThreads = 3;
  constexpr std::uint64_t kEach = 2000;
  {
    std::vector<std::jthread> threads;
    for (unsigned thread = 0; thread < kThreads; ++thread) {
      threads.emplace_back([this] {
        std::uint64_t before = 0;
        for (std::uint64_t turn = 0; turn < kEach; ++turn) {
          const std::uint64_t id = stream_.emit({.type = EventType::dax_flush});
          EXPECT_GT(id, before);
          before = id;
        }
      });
    }
    for (int round = 0; round < 200; ++round) {
      const auto mortal = std::make_unique<Mortal>();
      ASSERT_TRUE(stream_.add(*mortal).ok());
      std::this_thread::yield();
      stream_.remove(*mortal);
    }
  }
  EXPECT_EQ(stream_.next_id(), kThreads * kEach + 1);
  EXPECT_EQ(stream_.count(EventType::dax_flush), kThreads * kEach);
}

// Whoever reads the ring while others overwrite it gets whole events, each once and in order, and never one half of two.
// Every field of an event here is made from the same number, and the ring is so small that it is overwritten all the time.
TEST_F(EventStreamTest, ReadersSeeWholeEvents) {
  constexpr unsigned kThreads = 3;
  constexpr std::uint64_t kEach = 5000;
  EventStream stream(clock_, 32);
  std::atomic<unsigned> emitting{kThreads};
  std::vector<std::jthread> threads;
  for (unsigned thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([&stream, thread, &emitting] {
      for (std::uint64_t turn = 0; turn < kEach; ++turn) {
        const std::uint64_t mark = turn * kThreads + thread;
        stream.emit({.type = EventType::dax_flush,
                     .task = static_cast<std::uint32_t>(mark),
                     .ino = mark,
                     .last = mark,
                     .ret = static_cast<std::int64_t>(mark)});
      }
      emitting.fetch_sub(1);
    });
  }
  do {
    std::uint64_t before = 0;
    for (const Event& event : stream.since(0)) {
      ASSERT_GT(event.id, before);
      before = event.id;
      ASSERT_EQ(event.type, EventType::dax_flush);
      ASSERT_EQ(event.last, event.ino);
      ASSERT_EQ(event.task, event.ino);
      ASSERT_EQ(event.ret, static_cast<std::int64_t>(event.ino));
    }
  } while (emitting.load() != 0);
  const std::vector<Event> last = stream.since(0);
  ASSERT_EQ(last.size(), 32U);
  EXPECT_EQ(last.back().id, kThreads * kEach);
  EXPECT_EQ(stream.count(EventType::dax_flush), kThreads * kEach);
}

// Counts are exact also for more threads than have a row of their own, and for threads that are no more.
TEST_F(EventStreamTest, CountsOfManyThreadsAreExact) {
  constexpr int kThreads = 90;
  std::latch all_there(kThreads);
  {
    std::vector<std::jthread> threads;
    for (int thread = 0; thread < kThreads; ++thread) {
      threads.emplace_back([this, &all_there] {
        stream_.emit({.type = EventType::finding});
        all_there.arrive_and_wait();  // every thread has its record to itself
        for (int turn = 0; turn < 100; ++turn) {
          stream_.emit({.type = EventType::finding});
        }
      });
    }
  }
  EXPECT_EQ(stream_.count(EventType::finding), kThreads * 101U);
  EXPECT_EQ(stream_.next_id(), kThreads * 101U + 1);
}

// Every type has a name of its own.
TEST(EventNames, AreUnique) {
  std::set<std::string_view> names;
  for (unsigned type = 0; type < kEventTypes; ++type) {
    EXPECT_TRUE(names.insert(event_name(static_cast<EventType>(type))).second);
  }
  EXPECT_EQ(event_name(EventType::page_fault_user), "page_fault_user");
  EXPECT_EQ(event_name(EventType::finding), "finding");
}

}  // namespace
}  // namespace daxsim
