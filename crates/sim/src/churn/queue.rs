//! What is to happen, in the order of time. Most of it happens within hours: such events lie in
//! buckets of a minute and are put in order when their minute comes, so that neither putting in nor
//! taking out costs more where there are many.

use std::{cmp::Reverse, collections::BinaryHeap};

use super::config::MINUTE_MS;

/// Minutes ahead that have buckets of their own: a look's slot, and more.
const AHEAD: u64 = 256;

/// When, the how-manieth of all that was put in (equal moments keep their order), and what.
type Event<T> = (u64, u64, T);

/// A queue of events; time never goes back.
#[derive(Debug)]
pub(super) struct Queue<T> {
    /// Of the present minute, and before.
    near: BinaryHeap<Reverse<Event<T>>>,
    buckets: Vec<Vec<Event<T>>>,
    in_buckets: usize,
    far: BinaryHeap<Reverse<Event<T>>>,
    minute: u64,
    sequence: u64,
}

impl<T: Ord + Copy> Queue<T> {
    pub(super) fn new() -> Self {
        Self {
            near: BinaryHeap::new(),
            buckets: (0..AHEAD).map(|_| Vec::new()).collect(),
            in_buckets: 0,
            far: BinaryHeap::new(),
            minute: 0,
            sequence: 0,
        }
    }

    pub(super) fn push(&mut self, at_ms: u64, what: T) {
        self.sequence += 1;
        self.sort_in((at_ms, self.sequence, what));
    }

    fn sort_in(&mut self, event: Event<T>) {
        let minute = event.0 / MINUTE_MS;
        if minute <= self.minute {
            self.near.push(Reverse(event));
        } else if minute < self.minute + AHEAD {
            self.buckets[(minute % AHEAD) as usize].push(event);
            self.in_buckets += 1;
        } else {
            self.far.push(Reverse(event));
        }
    }

    /// The next event; `None` if there is none.
    pub(super) fn pop(&mut self) -> Option<(u64, T)> {
        loop {
            if let Some(Reverse((at_ms, _, what))) = self.near.pop() {
                return Some((at_ms, what));
            }
            let far = self.far.peek().map(|Reverse(event)| event.0 / MINUTE_MS);
            match (self.in_buckets, far) {
                (0, None) => return None,
                (0, Some(minute)) => self.minute = minute,
                _ => self.minute += 1,
            }
            let mut bucket = std::mem::take(&mut self.buckets[(self.minute % AHEAD) as usize]);
            self.in_buckets -= bucket.len();
            self.near.extend(bucket.drain(..).map(Reverse));
            self.buckets[(self.minute % AHEAD) as usize] = bucket;
            while let Some(Reverse(event)) = self.far.peek().copied()
                && event.0 / MINUTE_MS < self.minute + AHEAD
            {
                self.far.pop();
                self.sort_in(event);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::churn::dice::Dice;

    #[test]
    fn it_gives_what_a_plain_heap_gives() {
        let mut dice = Dice::new(1);
        let (mut queue, mut plain) = (Queue::new(), BinaryHeap::new());
        let (mut now_ms, mut sequence) = (0, 0);
        for round in 0..20_000_u32 {
            for _ in 0..dice.below(3) {
                let most = [1, 1000, 60_000, 5 * 3_600_000, 90 * 24 * 3_600_000];
                let most = most[dice.below(most.len())];
                let after = dice.below(most) as u64;
                sequence += 1;
                queue.push(now_ms + after, round);
                plain.push(Reverse((now_ms + after, sequence, round)));
            }
            let expected = plain.pop().map(|Reverse((at_ms, _, what))| (at_ms, what));
            let found = queue.pop();
            assert_eq!(found, expected);
            now_ms = found.map_or(now_ms, |(at_ms, _)| at_ms);
        }
    }
}
