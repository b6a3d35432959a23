//! What an isolate keeps between requests, all of it bounded and none of it the truth: one slot for each type, so that a
//! domain keeps its caches in types of its own and nobody else names them; and permits, for work that only one may do at
//! a time.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::ports::Millis;
use crate::store::OrganizationId;

/// How long a permit is held when it is not given back: a request that its client has left may never be carried on.
const PERMIT_TTL: Duration = Duration::from_mins(1);

/// How long somebody counts as waiting for a permit after having looked for it: whoever waits may be gone.
const AWAITED_TTL: Duration = Duration::from_secs(1);

/// A cache of what organizations publish, which is emptied when one of them publishes something.
pub trait PublishedCache: Default + Send + 'static {
    /// Removes what an organization publishes.
    fn invalidate(&mut self, organization: OrganizationId);
}

/// Removes what an organization publishes from the slot that it is given.
type Invalidate = fn(&(dyn Any + Send + Sync), OrganizationId);

struct Entry {
    id: TypeId,
    slot: Arc<dyn Any + Send + Sync>,
    /// Of a [`PublishedCache`].
    invalidate: Option<Invalidate>,
}

/// The isolate's memory.
#[derive(Default)]
pub struct Memory {
    /// A handful, so that looking through them is faster than hashing.
    slots: Mutex<Vec<Entry>>,
    permits: Mutex<HashMap<String, Millis>>,
    /// The permits that somebody waits for, and until when they count as waiting.
    awaited: Mutex<HashMap<String, Millis>>,
}

/// What is kept under one type.
pub struct Slot<T>(Arc<Mutex<T>>);

impl<T> Slot<T> {
    /// The value, for as long as the guard lives.
    pub fn lock(&self) -> MutexGuard<'_, T> {
        lock(&self.0)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic while it was held cannot leave a cache in a state that matters.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn invalidate<T: PublishedCache>(slot: &(dyn Any + Send + Sync), organization: OrganizationId) {
    if let Some(cache) = slot.downcast_ref::<Mutex<T>>() {
        lock(cache).invalidate(organization);
    }
}

impl Memory {
    /// The slot of `T`, made when it is asked for first.
    pub fn slot<T: Default + Send + 'static>(&self) -> Slot<T> {
        self.find(None)
    }

    /// The slot of a cache of what organizations publish; see [`Memory::invalidate_published`].
    pub fn published_slot<T: PublishedCache>(&self) -> Slot<T> {
        self.find(Some(invalidate::<T>))
    }

    fn find<T: Default + Send + 'static>(&self, invalidate: Option<Invalidate>) -> Slot<T> {
        let mut slots = lock(&self.slots);
        let id = TypeId::of::<T>();
        let known = slots.iter().find(|entry| entry.id == id).map(|entry| entry.slot.clone());
        if let Some(Ok(slot)) = known.map(Arc::downcast::<Mutex<T>>) {
            return Slot(slot);
        }
        let slot = Arc::new(Mutex::new(T::default()));
        slots.push(Entry { id, slot: slot.clone(), invalidate });
        Slot(slot)
    }

    /// Empties the caches of what an organization publishes: something of it has just changed.
    pub fn invalidate_published(&self, organization: OrganizationId) {
        for entry in lock(&self.slots).iter() {
            if let Some(invalidate) = entry.invalidate {
                invalidate(&*entry.slot, organization);
            }
        }
    }

    /// Notes that somebody waits for the permit of that name. Who goes on waiting notes it again within a second.
    pub fn note_awaited(&self, name: &str, now: Millis) {
        lock(&self.awaited).insert(name.to_owned(), now.plus(AWAITED_TTL));
    }

    /// Whether somebody waits for the permit of that name: who can give it back soon, should.
    pub fn is_awaited(&self, name: &str, now: Millis) -> bool {
        let mut awaited = lock(&self.awaited);
        awaited.retain(|_, until| now < *until);
        awaited.contains_key(name)
    }

    /// Acquires the permit of that name, if it is free: only one piece of work of the isolate has it at a time.
    pub fn try_acquire_permit(self: &Arc<Self>, name: &str, now: Millis) -> Option<Permit> {
        let mut permits = lock(&self.permits);
        permits.retain(|_, until| now < *until);
        if permits.contains_key(name) {
            return None;
        }
        let until = now.plus(PERMIT_TTL);
        permits.insert(name.to_owned(), until);
        lock(&self.awaited).remove(name);
        Some(Permit { memory: self.clone(), name: name.to_owned(), until })
    }
}

/// What one piece of work has for itself; given back when it is dropped.
pub struct Permit {
    memory: Arc<Memory>,
    name: String,
    until: Millis,
}

impl Permit {
    /// Keeps it for longer: the work goes on.
    pub fn renew(&mut self, now: Millis) {
        let mut permits = lock(&self.memory.permits);
        if permits.get(&self.name).is_none_or(|until| *until == self.until) {
            self.until = now.plus(PERMIT_TTL);
            permits.insert(self.name.clone(), self.until);
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut permits = lock(&self.memory.permits);
        if permits.get(&self.name) == Some(&self.until) {
            permits.remove(&self.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Kept(Vec<OrganizationId>);

    impl PublishedCache for Kept {
        fn invalidate(&mut self, organization: OrganizationId) {
            self.0.retain(|kept| *kept != organization);
        }
    }

    #[test]
    fn each_type_has_a_slot_of_its_own() {
        let memory = Memory::default();
        memory.slot::<Vec<u8>>().lock().push(1);
        memory.slot::<String>().lock().push('x');
        assert_eq!(*memory.slot::<Vec<u8>>().lock(), [1]);
        assert_eq!(*memory.slot::<String>().lock(), "x");
        assert!(Memory::default().slot::<String>().lock().is_empty());
    }

    #[test]
    fn only_caches_of_what_is_published_are_emptied_and_only_for_the_organization_that_publishes() {
        let other: OrganizationId = serde_json::from_str("2").expect("a primary key");
        let memory = Memory::default();
        memory.published_slot::<Kept>().lock().0.extend([OrganizationId::ROOT, other]);
        memory.slot::<String>().lock().push('x');
        memory.invalidate_published(OrganizationId::ROOT);
        assert_eq!(memory.published_slot::<Kept>().lock().0, [other]);
        assert_eq!(*memory.slot::<String>().lock(), "x");
    }

    #[test]
    fn a_permit_is_one_holders_until_it_is_given_back_or_runs_out() {
        let memory = Arc::new(Memory::default());
        let permit = memory.try_acquire_permit("one", Millis(0)).expect("free");
        assert!(memory.try_acquire_permit("one", Millis(0)).is_none());
        assert!(memory.try_acquire_permit("two", Millis(0)).is_some());
        drop(permit);
        let lost = memory.try_acquire_permit("one", Millis(0)).expect("given back");
        let taken = memory.try_acquire_permit("one", Millis(0).plus(PERMIT_TTL)).expect("it ran out");
        // Dropped late, it does not give back what somebody else has by now.
        drop(lost);
        assert!(memory.try_acquire_permit("one", Millis(0).plus(PERMIT_TTL)).is_none());
        drop(taken);
    }
}
