//! Work that waits for others, several pieces of it at once.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

/// Most calls of ports that one request has open at once: the runtime lets six wait for an answer, and keeps others back.
pub const MAX_AT_ONCE: usize = 6;

/// Does `work` on each of `items`, on [`MAX_AT_ONCE`] of them at a time, in their order.
pub async fn side_by_side<I, F: Future<Output = ()>>(items: Vec<I>, work: impl Fn(I) -> F) {
    let mut waiting = items.into_iter();
    let mut running: Vec<Pin<Box<F>>> = Vec::new();
    poll_fn(|context| {
        loop {
            running.retain_mut(|piece| piece.as_mut().poll(context).is_pending());
            let free = MAX_AT_ONCE - running.len();
            let before = running.len();
            running.extend(waiting.by_ref().take(free).map(|item| Box::pin(work(item))));
            // What has begun just now has to be polled, so that somebody wakes us.
            if running.len() == before {
                return if running.is_empty() { Poll::Ready(()) } else { Poll::Pending };
            }
        }
    })
    .await;
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::pin::pin;
    use std::task::{Context, Waker};

    use super::*;

    /// Is over when it was polled as often.
    fn after(polls: u32, done: impl Fn()) -> impl Future<Output = ()> {
        let mut left = polls;
        poll_fn(move |_| {
            left -= 1;
            if left > 0 {
                return Poll::Pending;
            }
            done();
            Poll::Ready(())
        })
    }

    #[test]
    fn all_of_it_is_done_and_no_more_than_a_few_pieces_at_once() {
        for total in [0, 1, MAX_AT_ONCE, 4 * MAX_AT_ONCE + 1] {
            let (begun, done, most) = (Cell::new(0), Cell::new(0), Cell::new(0));
            let work = side_by_side((0..total).collect(), |item| {
                begun.set(begun.get() + 1);
                most.set(most.get().max(begun.get() - done.get()));
                after(u32::try_from(item % 3).expect("small") + 1, || done.set(done.get() + 1))
            });
            let mut work = pin!(work);
            let mut context = Context::from_waker(Waker::noop());
            while work.as_mut().poll(&mut context).is_pending() {}
            assert_eq!((begun.get(), done.get()), (total, total));
            assert!(most.get() <= MAX_AT_ONCE, "{} at once", most.get());
            assert_eq!(most.get() > 1, total > 1, "{} at once of {total}", most.get());
        }
    }
}
