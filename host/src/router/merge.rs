//! Several sorted lists of numbers, read as one.

use smallvec::SmallVec;

/// A binary heap of lists, the one with the smallest head on top. Nearly always there are no more than a few, so they
/// stand on the stack.
#[derive(Debug, Default)]
pub(super) struct Merge<'a> {
    /// None of them empty.
    lists: SmallVec<[&'a [u32]; 8]>,
}

impl<'a> Merge<'a> {
    /// Adds a sorted list. Numbers below those already read come late, but they do come.
    pub(super) fn add(&mut self, list: &'a [u32]) {
        if list.is_empty() {
            return;
        }
        let mut at = self.lists.len();
        self.lists.push(list);
        while at > 0 {
            let parent = (at - 1) / 2;
            if self.lists[parent][0] <= self.lists[at][0] {
                break;
            }
            self.lists.swap(parent, at);
            at = parent;
        }
    }

    /// The smallest number.
    pub(super) fn peek(&self) -> Option<u32> {
        self.lists.first().map(|list| list[0])
    }

    /// Takes the smallest number out of every list that has it.
    pub(super) fn next(&mut self) -> Option<u32> {
        let smallest = self.peek()?;
        while self.peek() == Some(smallest) {
            self.lists[0] = &self.lists[0][1..];
            if self.lists[0].is_empty() {
                self.lists.swap_remove(0);
            }
            self.sink();
        }
        Some(smallest)
    }

    fn sink(&mut self) {
        let mut at = 0;
        loop {
            let smallest = [at, 2 * at + 1, 2 * at + 2]
                .into_iter()
                .filter(|&child| child < self.lists.len())
                .min_by_key(|&child| self.lists[child][0]);
            match smallest {
                Some(child) if child != at => self.lists.swap(child, at),
                _ => return,
            }
            at = smallest.unwrap_or(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection, prelude::*};

    use super::*;

    proptest! {
        #[test]
        fn every_number_comes_once_and_in_order(
            lists in collection::vec(collection::btree_set(0..50_u32, 0..8), 0..20),
        ) {
            let lists: Vec<Vec<u32>> = lists.into_iter().map(|list| list.into_iter().collect()).collect();
            let mut merge = Merge::default();
            for list in &lists {
                merge.add(list);
            }
            let read: Vec<u32> = std::iter::from_fn(|| merge.next()).collect();
            let mut all = lists.concat();
            all.sort_unstable();
            all.dedup();
            prop_assert_eq!(read, all);
        }
    }
}
