//! How many calls work at once: slots, which requests and events take by turns, so that neither starves the other.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::oneshot;

/// Who works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// A request that waits for its answer.
    Request,
    /// An event of the queue.
    Event,
}

/// The slots. Clones share them.
#[derive(Debug, Clone)]
pub(super) struct Slots(Arc<Mutex<State>>);

/// A slot, free again when dropped.
#[derive(Debug)]
pub(super) struct Slot(Slots);

#[derive(Debug)]
struct State {
    free: usize,
    /// Who waits, by class, in the order of arrival.
    waiting: [VecDeque<oneshot::Sender<Slot>>; 2],
    /// Whose turn it was last.
    last: Class,
}

impl Slots {
    pub(super) fn new(count: usize) -> Self {
        let state = State { free: count, waiting: Default::default(), last: Class::Event };
        Self(Arc::new(Mutex::new(state)))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a slot.
    pub(super) async fn acquire(&self, class: Class) -> Slot {
        let turn = {
            let mut state = self.state();
            if state.free > 0 {
                state.free -= 1;
                state.last = class;
                return Slot(self.clone());
            }
            let (sender, turn) = oneshot::channel();
            state.waiting[class as usize].push_back(sender);
            turn
        };
        match turn.await {
            Ok(slot) => slot,
            // Senders leave the list only with a slot.
            Err(_) => std::future::pending().await,
        }
    }
}

impl State {
    /// The next in line, of the other class than last time if somebody of it waits.
    fn next(&mut self) -> Option<oneshot::Sender<Slot>> {
        let order = match self.last {
            Class::Request => [Class::Event, Class::Request],
            Class::Event => [Class::Request, Class::Event],
        };
        for class in order {
            // Who has gone has no turn.
            while let Some(next) = self.waiting[class as usize].pop_front() {
                if !next.is_closed() {
                    self.last = class;
                    return Some(next);
                }
            }
        }
        None
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut state = self.0.state();
        match state.next() {
            None => state.free += 1,
            Some(next) => {
                drop(state);
                // One that goes just now drops the slot, and the next has its turn.
                let _ = next.send(Self(self.0.clone()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt as _, poll};

    use super::*;

    #[tokio::test]
    async fn requests_and_events_take_turns() {
        let slots = Slots::new(1);
        let mut held = slots.acquire(Class::Request).await;
        let mut requests: Vec<_> = (0..3).map(|_| Box::pin(slots.acquire(Class::Request))).collect();
        let mut events: Vec<_> = (0..3).map(|_| Box::pin(slots.acquire(Class::Event))).collect();
        for waiting in requests.iter_mut().chain(&mut events) {
            assert!(poll!(waiting).is_pending());
        }
        for turn in 0..6 {
            drop(held);
            let class = if turn % 2 == 0 { &mut events } else { &mut requests };
            held = class.remove(0).now_or_never().expect("it is its turn");
        }
        drop(held);
        assert_eq!(slots.state().free, 1);
    }

    #[tokio::test]
    async fn who_leaves_loses_no_slot() {
        let slots = Slots::new(1);
        let held = slots.acquire(Class::Event).await;
        let mut leaving = Box::pin(slots.acquire(Class::Request));
        let mut late = Box::pin(slots.acquire(Class::Request));
        let mut served = Box::pin(slots.acquire(Class::Request));
        for waiting in [&mut leaving, &mut late, &mut served] {
            assert!(poll!(waiting).is_pending());
        }
        drop(leaving);
        drop(held);
        // It was given the slot, and goes without having looked.
        drop(late);
        drop(served.now_or_never().expect("the slot is free"));
        assert_eq!(slots.state().free, 1);
    }
}
