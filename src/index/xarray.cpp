// SPDX-License-Identifier: BSD-3-Clause
// What a slot holds, told apart by its two lowest bits and its size:
//
//   | word                  | meaning                                                                      |
//   |-----------------------|------------------------------------------------------------------------------|
//   | 0                     | free                                                                         |
//   | bit 0 set             | an entry; a multi-slot entry stands in its first slot                        |
//   | (offset << 2) | 2     | sibling: belongs to the entry in slot `offset` of this node                  |
//   | address of a node | 2 | the next level; nodes are aligned and never in the lowest page               |
//
// An entry of order k lives in the node of level k / shift * shift (a level is the number of index bits below a slot)
// and takes 2^(k % shift) slots there.
#include "daxsim/index/xarray.hpp"

#include <bit>
#include <cassert>
#include <limits>

DAXSIM_BEGIN
namespace {

constexpr std::uint64_t kInternal = 2;
constexpr std::uint64_t kLowestAddress = 4096;
constexpr std::uint64_t kHighestIndex = std::numeric_limits<std::uint64_t>::max();

// The fourth bitmap of a node, beside the three marks: slots that hold an entry or a node (not siblings).
constexpr unsigned kPresent = kMarks;
constexpr unsigned kBitmaps = kMarks + 1;

constexpr bool is_value(std::uint64_t word) noexcept { return (word & 1) != 0; }
constexpr bool is_node(std::uint64_t word) noexcept { return (word & 3) == kInternal && word > kLowestAddress; }
constexpr bool is_sibling(std::uint64_t word) noexcept { return (word & 3) == kInternal && word < kLowestAddress; }
constexpr std::uint64_t sibling_of(unsigned offset) noexcept { return (std::uint64_t{offset} << 2) | kInternal; }
constexpr unsigned sibling_offset(std::uint64_t word) noexcept { return static_cast<unsigned>(word >> 2); }
constexpr std::uint64_t bit(unsigned offset) noexcept { return std::uint64_t{1} << offset; }

// True when a tree whose root is of this level has a place for `index`.
template <unsigned shift>
constexpr bool reaches(unsigned level, std::uint64_t index) noexcept {
  return (index >> level >> shift) == 0;
}

}  // namespace

// The header is one cache line, the slots of a 64-slot node are eight.
template <unsigned shift>
struct alignas(kCacheLine) BasicXArray<shift>::Node {
  static constexpr unsigned kSlots = 1U << shift;
  static_assert(kSlots <= 64, "a bitmap is one word");

  Node* parent = nullptr;
  std::uint64_t bits[kBitmaps] = {};
  std::uint8_t level = 0;   // index bits below one slot
  std::uint8_t offset = 0;  // this node's slot in its parent
  alignas(kCacheLine) std::uint64_t slots[kSlots] = {};

  static Node* from_word(std::uint64_t word) noexcept {
    return reinterpret_cast<Node*>(word & ~kInternal);  // NOLINT(performance-no-int-to-ptr): a tagged pointer
  }
  [[nodiscard]] std::uint64_t as_word() const noexcept { return reinterpret_cast<std::uintptr_t>(this) | kInternal; }

  [[nodiscard]] unsigned slot_of(std::uint64_t index) const noexcept {
    return static_cast<unsigned>(index >> level) & (kSlots - 1);
  }
  // For an index known to be below this node.
  [[nodiscard]] bool also_covers(std::uint64_t inside, std::uint64_t index) const noexcept {
    return reaches<shift>(level, inside ^ index);
  }
  // First index of slot `slot`, given any index below this node.
  [[nodiscard]] std::uint64_t first_of(std::uint64_t inside, unsigned slot) const noexcept {
    return (inside & (kHighestIndex << level << shift)) | (std::uint64_t{slot} << level);
  }
  // Slots of the entry that begins in `slot`.
  [[nodiscard]] unsigned extent(unsigned slot) const noexcept {
    unsigned count = 1;
    while (slot + count < kSlots && slots[slot + count] == sibling_of(slot)) {
      count <<= 1;
    }
    return count;
  }
};

template <unsigned shift>
BasicXArray<shift>::~BasicXArray() {
  const MutexLock guard(lock_);
  if (root_ != nullptr) {
    free_tree(root_);
  }
}

// `count` empty nodes, chained by their parent pointers; all or none.
template <unsigned shift>
typename BasicXArray<shift>::Node* BasicXArray<shift>::make_nodes(unsigned count) noexcept {
  Node* chain = nullptr;
  for (unsigned made = 0; made < count; ++made) {
    Node* const node = arena_.create<Node>();
    if (node == nullptr) {
      while (chain != nullptr) {
        Node* const next = chain->parent;
        arena_.destroy(chain);
        chain = next;
      }
      return nullptr;
    }
    node->parent = chain;
    chain = node;
  }
  nodes_.store(nodes() + count, std::memory_order_relaxed);
  return chain;
}

template <unsigned shift>
void BasicXArray<shift>::free_node(Node* node) noexcept {
  if (node == last_leaf_) {
    last_leaf_ = nullptr;
  }
  ++freed_;
  nodes_.store(nodes() - 1, std::memory_order_relaxed);
  arena_.destroy(node);
}

template <unsigned shift>
std::uint64_t BasicXArray<shift>::free_tree(Node* node) noexcept {
  const Node* const above = node->parent;
  std::uint64_t gone = 0;
  while (node != above) {
    if (node->bits[kPresent] == 0) {
      Node* const parent = node->parent;
      free_node(node);
      node = parent;
      continue;
    }
    const auto slot = static_cast<unsigned>(std::countr_zero(node->bits[kPresent]));
    node->bits[kPresent] &= ~bit(slot);
    if (is_node(node->slots[slot])) {
      node = Node::from_word(node->slots[slot]);
    } else {
      gone += std::uint64_t{node->extent(slot)} << node->level;
    }
  }
  return gone;
}

template <unsigned shift>
void BasicXArray<shift>::set_mark_up(Node* node, unsigned offset, unsigned mark) noexcept {
  for (; node != nullptr; offset = node->offset, node = node->parent) {
    if ((node->bits[mark] & bit(offset)) != 0) {
      return;
    }
    node->bits[mark] |= bit(offset);
  }
  root_marks_.store(static_cast<std::uint8_t>(root_marks_.load(std::memory_order_relaxed) | (1U << mark)),
                    std::memory_order_relaxed);
}

template <unsigned shift>
void BasicXArray<shift>::clear_mark_up(Node* node, unsigned offset, unsigned mark) noexcept {
  for (; node != nullptr; offset = node->offset, node = node->parent) {
    node->bits[mark] &= ~bit(offset);
    if (node->bits[mark] != 0) {
      return;
    }
  }
  root_marks_.store(static_cast<std::uint8_t>(root_marks_.load(std::memory_order_relaxed) & ~(1U << mark)),
                    std::memory_order_relaxed);
}

template <unsigned shift>
void BasicXArray<shift>::add_pages(std::uint64_t pages_more) noexcept {
  pages_.store(pages() + pages_more, std::memory_order_relaxed);
}

template <unsigned shift>
Entry BasicXArray<shift>::load(Pgoff index) noexcept {
  BasicXCursor<shift> cursor(*this, index);
  const MutexLock guard(cursor.lock());
  return cursor.load();
}

template <unsigned shift>
Result<void> BasicXArray<shift>::store(Pgoff index, Entry entry, unsigned order) noexcept {
  BasicXCursor<shift> cursor(*this, index, order);
  const MutexLock guard(cursor.lock());
  return cursor.store(entry);
}

template <unsigned shift>
Entry BasicXArray<shift>::erase(Pgoff index) noexcept {
  BasicXCursor<shift> cursor(*this, index);
  const MutexLock guard(cursor.lock());
  const Entry old = cursor.load();
  cursor.erase();
  return old;
}

template <unsigned shift>
void BasicXArray<shift>::set_mark(Pgoff index, Mark mark) noexcept {
  BasicXCursor<shift> cursor(*this, index);
  const MutexLock guard(cursor.lock());
  cursor.set_mark(mark);
}

template <unsigned shift>
std::uint64_t BasicXArray<shift>::bytes() const noexcept {
  return nodes() * sizeof(Node);
}

template <unsigned shift>
void BasicXArray<shift>::clear_mark(Pgoff index, Mark mark) noexcept {
  BasicXCursor<shift> cursor(*this, index);
  const MutexLock guard(cursor.lock());
  cursor.clear_mark(mark);
}

template <unsigned shift>
bool BasicXArray<shift>::marked(Pgoff index, Mark mark) noexcept {
  BasicXCursor<shift> cursor(*this, index);
  const MutexLock guard(cursor.lock());
  return cursor.marked(mark);
}

template <unsigned shift>
bool BasicXArray<shift>::consistent() noexcept {
  const MutexLock guard(lock_);
  std::uint64_t pages_found = 0;
  std::uint64_t nodes_found = 0;

  // What one node and its slots say about each other; its children are looked at when the walk reaches them.
  const auto node_ok = [&pages_found](const Node& node) {
    std::uint64_t wanted_present = 0;
    unsigned slot = 0;
    while (slot < Node::kSlots) {
      const std::uint64_t word = node.slots[slot];
      unsigned count = 1;
      if (is_node(word)) {
        const Node& child = *Node::from_word(word);
        if (child.parent != &node || child.offset != slot || child.level + shift != node.level) {
          return false;
        }
        for (unsigned mark = 0; mark < kMarks; ++mark) {
          if (((node.bits[mark] & bit(slot)) != 0) != (child.bits[mark] != 0)) {
            return false;  // I4
          }
        }
      } else if (is_value(word)) {
        count = node.extent(slot);
        if (slot % count != 0) {
          return false;  // I1
        }
        pages_found += std::uint64_t{count} << node.level;
      } else if (word != 0) {
        return false;  // a sibling that belongs to nobody
      }
      wanted_present |= word != 0 ? bit(slot) : 0;
      slot += count;
    }
    for (unsigned mark = 0; mark < kMarks; ++mark) {
      if ((node.bits[mark] & ~wanted_present) != 0) {
        return false;
      }
    }
    return node.bits[kPresent] == wanted_present && wanted_present != 0;  // I3
  };

  std::uint8_t wanted_marks = 0;
  if (root_ != nullptr) {
    if (root_->parent != nullptr) {
      return false;
    }
    if (root_->level > 0 && root_->bits[kPresent] == 1 && is_node(root_->slots[0])) {
      return false;  // I3
    }
    for (unsigned mark = 0; mark < kMarks; ++mark) {
      wanted_marks = static_cast<std::uint8_t>(wanted_marks | (root_->bits[mark] != 0 ? 1U << mark : 0));
    }
  }

  const Node* node = root_;
  unsigned slot = 0;
  while (node != nullptr) {
    if (slot == 0) {
      ++nodes_found;
      if (!node_ok(*node)) {
        return false;
      }
    }
    while (slot < Node::kSlots && !is_node(node->slots[slot])) {
      ++slot;
    }
    if (slot < Node::kSlots) {
      node = Node::from_word(node->slots[slot]);
      slot = 0;
    } else {
      slot = node->offset + 1U;
      node = node->parent;
    }
  }
  return pages_found == pages() && nodes_found == nodes() &&
         wanted_marks == root_marks_.load(std::memory_order_relaxed);
}

// Where to begin looking for `index`: the lowest known node that is on its way and not below `level`. Null when the
// root does not reach so far, or is itself below `level`.
template <unsigned shift>
typename BasicXCursor<shift>::Node* BasicXCursor<shift>::start(std::uint64_t index, unsigned level) const noexcept {
  Node* node = array_->root_;
  std::uint64_t inside = 0;
  if (node_ != nullptr && freed_ == array_->freed_) {
    node = node_;
    inside = at_;
  }
  while (node != nullptr && (node->level < level || !node->also_covers(inside, index))) {
    node = node->parent;
  }
  return node;
}

template <unsigned shift>
std::uint64_t BasicXCursor<shift>::descend() noexcept {
  const unsigned level = level_of_place();
  const bool near_last =
      level == 0 && array_->last_leaf_ != nullptr && reaches<shift>(0, array_->last_leaf_at_ ^ index_);
  Node* node = near_last ? array_->last_leaf_ : start(index_, level);
  freed_ = array_->freed_;
  at_ = index_;
  node_ = node;
  if (node == nullptr) {
    return 0;
  }
  unsigned offset = node->slot_of(index_);
  std::uint64_t word = node->slots[offset];
  while (node->level > level && is_node(word)) {
    node = Node::from_word(word);
    offset = node->slot_of(index_);
    word = node->slots[offset];
  }
  if (is_sibling(word)) {
    offset = sibling_offset(word);
    word = node->slots[offset];
  }
  node_ = node;
  offset_ = static_cast<std::uint8_t>(offset);
  if (!near_last && node->level == 0) {
    array_->last_leaf_ = node;
    array_->last_leaf_at_ = index_;
  }
  return word;
}

// The same for a cursor that has been there: load, store, mark and store again cost one descent.
template <unsigned shift>
inline std::uint64_t BasicXCursor<shift>::come_back() noexcept {
  if (order_ == 0 && node_ != nullptr && freed_ == array_->freed_ && node_->level == 0 &&
      node_->also_covers(at_, index_)) {
    const unsigned offset = node_->slot_of(index_);
    const std::uint64_t word = node_->slots[offset];
    if (!is_sibling(word)) {
      at_ = index_;
      offset_ = static_cast<std::uint8_t>(offset);
      return word;
    }
  }
  return descend();
}

template <unsigned shift>
inline Entry BasicXCursor<shift>::judge(std::uint64_t word) noexcept {
  if (order_ == 0) {
    return Entry::from_word(word);
  }
  if (node_ == nullptr) {
    // A root below the level of the place is all inside it when both begin at 0, and a root is never empty (I3).
    return array_->root_ != nullptr && index_ == 0 ? Entry::retry() : Entry();
  }
  if (node_->level != level_of_place()) {
    return Entry::from_word(word);
  }
  const unsigned wanted = 1U << (order_ - node_->level);
  assert(offset_ < Node::kSlots && wanted <= Node::kSlots - offset_ && "an entry begins at a multiple of its size");
  if (is_value(word) && node_->extent(offset_) >= wanted) {
    return Entry::from_word(word);
  }
  const std::uint64_t mask = (bit(wanted) - 1) << offset_;
  return (node_->bits[kPresent] & mask) != 0 ? Entry::retry() : Entry();
}

template <unsigned shift>
Entry BasicXCursor<shift>::load() noexcept {
  return failed() ? Entry() : judge(come_back());
}

template <unsigned shift>
Entry BasicXCursor<shift>::find_conflict() noexcept {
  const Entry covering = load();
  if (!covering.is_retry()) {
    return covering;
  }
  return Entry::from_word(scan(index_, index_ + (std::uint64_t{1} << order_) - 1, kPresent));
}

template <unsigned shift>
std::uint64_t BasicXCursor<shift>::scan(std::uint64_t from, std::uint64_t last, unsigned which) noexcept {
  Node* node = start(from, 0);
  if (node == nullptr) {
    return 0;
  }
  for (;;) {
    unsigned offset = node->slot_of(from);
    if (is_sibling(node->slots[offset])) {
      offset = sibling_offset(node->slots[offset]);
    }
    std::uint64_t bits = node->bits[which] >> offset << offset;
    while (bits == 0) {
      offset = node->offset + 1U;
      node = node->parent;
      if (node == nullptr) {
        return 0;
      }
      bits = offset < Node::kSlots ? node->bits[which] >> offset << offset : 0;
    }
    offset = static_cast<unsigned>(std::countr_zero(bits));
    const std::uint64_t first = node->first_of(from, offset);
    if (first > last) {
      return 0;
    }
    from = first > from ? first : from;
    const std::uint64_t word = node->slots[offset];
    if (!is_node(word)) {
      node_ = node;
      offset_ = static_cast<std::uint8_t>(offset);
      at_ = from;
      freed_ = array_->freed_;
      return word;
    }
    node = Node::from_word(word);
  }
}

template <unsigned shift>
Entry BasicXCursor<shift>::find_bit(std::uint64_t last, unsigned which) noexcept {
  if (failed() || exhausted_ || next_ > last) {
    return {};
  }
  const std::uint64_t word = scan(next_, last, which);
  if (word != 0) {
    index_ = at_;
    order_ = 0;
    const std::uint64_t end =
        node_->first_of(at_, offset_) + (std::uint64_t{node_->extent(offset_)} << node_->level) - 1;
    exhausted_ = end == kHighestIndex;
    next_ = end + 1;
  }
  return Entry::from_word(word);
}

template <unsigned shift>
Entry BasicXCursor<shift>::find(Pgoff last) noexcept {
  return find_bit(last.value, kPresent);
}

template <unsigned shift>
Entry BasicXCursor<shift>::find_marked(Pgoff last, Mark mark) noexcept {
  return find_bit(last.value, static_cast<unsigned>(mark));
}

template <unsigned shift>
Pgoff BasicXCursor<shift>::found_index() const noexcept {
  assert(node_ != nullptr && freed_ == array_->freed_ && "an entry was found");
  return {node_->first_of(at_, offset_)};
}

template <unsigned shift>
unsigned BasicXCursor<shift>::found_order() const noexcept {
  assert(node_ != nullptr && freed_ == array_->freed_ && "an entry was found");
  return node_->level + static_cast<unsigned>(std::countr_zero(node_->extent(offset_)));
}

template <unsigned shift>
Result<void> BasicXCursor<shift>::store(Entry entry) noexcept {
  if (failed()) {
    return error_;
  }
  if (!entry.is_null() && !entry.is_value()) {
    return fail(Errno::einval);
  }
  if (entry.is_null()) {
    erase();
    return {};
  }
  const Entry old = judge(come_back());
  if (old.is_value()) {
    node_->slots[offset_] = entry.word();
    return {};
  }
  if (node_ == nullptr || node_->level != level_of_place()) {
    if (!make_path()) {
      return fail(Errno::enomem);
    }
  }
  const unsigned slots = 1U << (order_ - node_->level);
  const std::uint64_t gone = old.is_null() ? 0 : empty_slots(slots);
  // The marks of what was there are the marks of what is there now, so the ancestors need not hear of it.
  const std::uint64_t mask = (bit(slots) - 1) << offset_;
  for (unsigned mark = 0; mark < kMarks; ++mark) {
    std::uint64_t& bits = node_->bits[mark];
    bits = (bits & mask) != 0 ? (bits & ~mask) | bit(offset_) : bits;
  }
  node_->bits[kPresent] = (node_->bits[kPresent] & ~mask) | bit(offset_);
  node_->slots[offset_] = entry.word();
  for (unsigned slot = offset_ + 1U; slot < offset_ + slots; ++slot) {
    node_->slots[slot] = sibling_of(offset_);
  }
  array_->add_pages((std::uint64_t{1} << order_) - gone);
  return {};
}

template <unsigned shift>
bool BasicXCursor<shift>::make_path() noexcept {
  // Everything is allocated before anything is changed (I5).
  const unsigned bottom = level_of_place();
  Node* const root = array_->root_;
  unsigned top = 0;
  unsigned count = 0;
  if (node_ != nullptr) {
    top = node_->level;
    count = (top - bottom) / shift;
  } else {
    top = root == nullptr || root->level < bottom ? bottom : root->level;
    while (!reaches<shift>(top, index_)) {
      top += shift;
    }
    count = (top - bottom) / shift + (root == nullptr ? 1 : (top - root->level) / shift);
  }
  Node* chain = array_->make_nodes(count);
  if (chain == nullptr) {
    return false;
  }
  const auto take = [&chain] {
    Node* const node = chain;
    chain = node->parent;
    node->parent = nullptr;
    return node;
  };

  if (node_ == nullptr) {
    if (root == nullptr) {
      node_ = take();
      node_->level = static_cast<std::uint8_t>(top);
    } else {
      node_ = root;
      while (node_->level < top) {
        Node* const above = take();
        above->level = static_cast<std::uint8_t>(node_->level + shift);
        above->slots[0] = node_->as_word();
        above->bits[kPresent] = bit(0);
        for (unsigned mark = 0; mark < kMarks; ++mark) {
          above->bits[mark] = node_->bits[mark] != 0 ? bit(0) : 0;
        }
        node_->parent = above;
        node_->offset = 0;
        node_ = above;
      }
    }
    array_->root_ = node_;
  }
  while (node_->level > bottom) {
    Node* const child = take();
    const unsigned slot = node_->slot_of(index_);
    child->parent = node_;
    child->offset = static_cast<std::uint8_t>(slot);
    child->level = static_cast<std::uint8_t>(node_->level - shift);
    node_->slots[slot] = child->as_word();
    node_->bits[kPresent] |= bit(slot);
    node_ = child;
  }
  offset_ = static_cast<std::uint8_t>(node_->slot_of(index_));
  return true;
}

// Frees what the slots [offset_, offset_ + count) hold and clears the words, not the bitmaps. Returns the pages gone.
template <unsigned shift>
std::uint64_t BasicXCursor<shift>::empty_slots(unsigned count) noexcept {
  std::uint64_t gone = 0;
  for (unsigned slot = offset_; slot < offset_ + count; ++slot) {
    std::uint64_t& word = node_->slots[slot];
    if (is_node(word)) {
      gone += array_->free_tree(Node::from_word(word));
    } else if (word != 0) {
      gone += std::uint64_t{1} << node_->level;
    }
    word = 0;
  }
  freed_ = array_->freed_;  // node_ itself stays
  return gone;
}

template <unsigned shift>
void BasicXCursor<shift>::erase() noexcept {
  if (failed()) {
    return;
  }
  const Entry old = judge(descend());
  if (old.is_null()) {
    return;
  }
  if (node_ == nullptr) {
    // The whole tree lies inside the place.
    array_->free_tree(array_->root_);
    array_->root_ = nullptr;
    array_->root_marks_.store(0, std::memory_order_relaxed);
    array_->pages_.store(0, std::memory_order_relaxed);
    return;
  }
  const unsigned slots = old.is_value() ? node_->extent(offset_) : 1U << (order_ - node_->level);
  const std::uint64_t gone = empty_slots(slots);
  const std::uint64_t mask = (bit(slots) - 1) << offset_;
  for (unsigned mark = 0; mark < kMarks; ++mark) {
    if ((node_->bits[mark] & mask) != 0) {
      node_->bits[mark] &= ~mask;
      array_->clear_mark_up(node_, offset_, mark);
    }
  }
  node_->bits[kPresent] &= ~mask;
  array_->add_pages(-gone);
  prune();
}

// After an erase: frees nodes that became empty, from node_ upwards, and roots that are not needed any more.
template <unsigned shift>
void BasicXCursor<shift>::prune() noexcept {
  while (node_ != nullptr && node_->bits[kPresent] == 0) {
    Node* const parent = node_->parent;
    if (parent == nullptr) {
      array_->root_ = nullptr;
    } else {
      parent->slots[node_->offset] = 0;
      parent->bits[kPresent] &= ~bit(node_->offset);
    }
    array_->free_node(node_);
    node_ = parent;
  }
  for (Node* root = array_->root_;
       root != nullptr && root->level > 0 && root->bits[kPresent] == bit(0) && is_node(root->slots[0]);
       root = array_->root_) {
    Node* const child = Node::from_word(root->slots[0]);
    child->parent = nullptr;
    array_->root_ = child;
    node_ = node_ == root ? nullptr : node_;
    array_->free_node(root);
  }
  freed_ = array_->freed_;
}

template <unsigned shift>
bool BasicXCursor<shift>::set_mark(Mark mark) noexcept {
  if (!load().is_value() || (node_->bits[static_cast<unsigned>(mark)] & bit(offset_)) != 0) {
    return false;
  }
  array_->set_mark_up(node_, offset_, static_cast<unsigned>(mark));
  return true;
}

template <unsigned shift>
void BasicXCursor<shift>::clear_mark(Mark mark) noexcept {
  if (load().is_value()) {
    array_->clear_mark_up(node_, offset_, static_cast<unsigned>(mark));
  }
}

template <unsigned shift>
bool BasicXCursor<shift>::marked(Mark mark) noexcept {
  return load().is_value() && (node_->bits[static_cast<unsigned>(mark)] & bit(offset_)) != 0;
}

template <unsigned shift>
std::uint64_t BasicXCursor<shift>::tag_range(Pgoff last, Mark from, Mark to, unsigned batch) noexcept {
  std::uint64_t visited = 0;
  while (visited < batch && !find_marked(last, from).is_null()) {
    array_->set_mark_up(node_, offset_, static_cast<unsigned>(to));
    ++visited;
  }
  return visited;
}

template <unsigned shift>
Result<void> BasicXCursor<shift>::fail(Errno error) noexcept {
  error_ = error;
  return error;
}

template class BasicXArray<6>;
template class BasicXCursor<6>;
template class BasicXArray<2>;
template class BasicXCursor<2>;

DAXSIM_END
