//! News from one place to many listeners of the same thread. A listener that falls behind loses the
//! oldest news and is told how many; the sender never waits and never fails.

use std::{
    cell::RefCell,
    collections::VecDeque,
    pin::Pin,
    rc::{Rc, Weak},
    task::{Context, Poll, Waker},
};

use futures::Stream;

type Listeners<T> = RefCell<Vec<Weak<RefCell<Queue<T>>>>>;

/// The sending side. Cloning shares it.
pub struct Feed<T> {
    listeners: Rc<Listeners<T>>,
}

impl<T> Clone for Feed<T> {
    fn clone(&self) -> Self {
        Self { listeners: self.listeners.clone() }
    }
}

impl<T> Default for Feed<T> {
    fn default() -> Self {
        Self { listeners: Rc::default() }
    }
}

struct Queue<T> {
    news: VecDeque<T>,
    limit: usize,
    lost: u64,
    waker: Option<Waker>,
    closed: bool,
}

/// What a listener hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard<T> {
    /// News.
    News(T),
    /// So many older ones were dropped, because the listener was slow.
    Lost(u64),
}

impl<T: Clone> Feed<T> {
    /// Tells everyone who listens.
    pub fn tell(&self, news: T) {
        let mut wakers = Vec::new();
        self.listeners.borrow_mut().retain(|listener| {
            let Some(queue) = listener.upgrade() else { return false };
            let mut queue = queue.borrow_mut();
            if queue.news.len() >= queue.limit {
                queue.news.pop_front();
                queue.lost += 1;
            }
            queue.news.push_back(news.clone());
            wakers.extend(queue.waker.take());
            true
        });
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl<T> Feed<T> {
    /// Listens from now on, keeping at most `limit` unheard news.
    pub fn listen(&self, limit: usize) -> Listener<T> {
        let queue = Queue {
            news: VecDeque::new(),
            limit: limit.max(1),
            lost: 0,
            waker: None,
            closed: false,
        };
        let queue = Rc::new(RefCell::new(queue));
        self.listeners.borrow_mut().push(Rc::downgrade(&queue));
        Listener { queue, _feed: self.clone() }
    }

    /// Ends every listener once it has heard what was told.
    pub fn close(&self) {
        for queue in self.listeners.borrow_mut().drain(..).filter_map(|l| l.upgrade()) {
            let waker = {
                let mut queue = queue.borrow_mut();
                queue.closed = true;
                queue.waker.take()
            };
            waker.into_iter().for_each(Waker::wake);
        }
    }
}

/// The listening side: a stream that ends with [`Feed::close`].
pub struct Listener<T> {
    queue: Rc<RefCell<Queue<T>>>,
    /// Keeps the feed open for as long as somebody listens.
    _feed: Feed<T>,
}

impl<T> Stream for Listener<T> {
    type Item = Heard<T>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Heard<T>>> {
        let mut queue = self.queue.borrow_mut();
        if queue.lost > 0 {
            return Poll::Ready(Some(Heard::Lost(std::mem::take(&mut queue.lost))));
        }
        match queue.news.pop_front() {
            Some(news) => Poll::Ready(Some(Heard::News(news))),
            None if queue.closed => Poll::Ready(None),
            None => {
                queue.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::{FutureExt, StreamExt, executor::block_on};

    #[test]
    fn everyone_hears_and_the_slow_are_told_what_they_lost() {
        let feed = Feed::default();
        feed.tell(0);
        let (mut quick, mut slow) = (feed.listen(4), feed.listen(2));
        for n in 1..=4 {
            feed.tell(n);
        }
        assert_eq!(block_on(slow.next()), Some(Heard::Lost(2)));
        assert_eq!(block_on(slow.next()), Some(Heard::News(3)));
        let all: Vec<_> = std::iter::from_fn(|| quick.next().now_or_never().flatten()).collect();
        assert_eq!(all, [1, 2, 3, 4].map(Heard::News));
        feed.close();
        assert_eq!(block_on(slow.next()), Some(Heard::News(4)));
        assert_eq!(block_on(slow.next()), None);
    }
}
