//! The callers that an isolate keeps in memory, bounded by their bytes.
//!
//! Most of a caller is the constraints of its grants, and many callers have the same ones: those are kept once, counted once,
//! and go with the last caller that has them.

use std::collections::HashMap;
use std::sync::Arc;

use composer::Constraint;
use lru::LruCache;

use crate::registry::access::caller::Caller;
use crate::registry::access::grant::ALLOCATION_BYTES;
use crate::registry::kernel::cache::Cached;
use crate::registry::kernel::secrets::TokenHash;

/// Most bytes of all callers together, of the isolate's 128 MB. One with 30 permissions takes some 6 kB, so that is 2,800 of
/// them; one with a thousand grants on long names, and as many constraints of its own, takes 0.6 MB. Natively 16.8 MB of them are
/// 12 to 16 MB of live allocations, and 16 to 18 MB with what an allocator keeps of each.
pub const MAX_CALLER_BYTES: usize = 16 << 20;

/// What an entry costs besides its caller: its hash, its place in the table and in the order of use.
const ENTRY_BYTES: usize = 256;

/// A caller; `None` is a token that was revoked a moment ago.
pub type CachedCaller = Cached<Option<Arc<Caller>>>;

struct Entry {
    caller: CachedCaller,
    /// Without its constraints.
    bytes: usize,
}

struct SharedConstraint {
    constraint: Arc<Constraint>,
    /// Grants that have it.
    holders: usize,
}

/// Callers by token hash; the one that was not asked for the longest goes first.
pub struct Callers {
    entries: LruCache<TokenHash, Entry>,
    /// By what is written.
    constraints: HashMap<Box<str>, SharedConstraint>,
    bytes: usize,
    max_bytes: usize,
}

impl Default for Callers {
    fn default() -> Self {
        let (entries, constraints) = (LruCache::unbounded(), HashMap::new());
        Self { entries, constraints, bytes: 0, max_bytes: MAX_CALLER_BYTES }
    }
}

impl Callers {
    /// What is known under `hash`.
    pub fn get(&mut self, hash: &TokenHash) -> Option<&CachedCaller> {
        self.entries.get(hash).map(|entry| &entry.caller)
    }

    /// A constraint that a caller here has.
    pub fn constraint(&self, written: &str) -> Option<Arc<Constraint>> {
        self.constraints.get(written).map(|shared| shared.constraint.clone())
    }

    /// About how many bytes all of it takes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Keeps a caller, unless it alone would take a quarter of the room, and removes those that were not asked for the longest.
    pub fn put(&mut self, hash: TokenHash, caller: CachedCaller) {
        self.remove(&hash);
        let bytes = ENTRY_BYTES + caller.value.as_ref().map_or(0, |caller| caller.bytes());
        let before = self.bytes;
        self.bytes += bytes;
        for constraint in caller.value.iter().flat_map(|caller| caller.constraints()) {
            self.hold(constraint);
        }
        let is_too_large = self.bytes - before > self.max_bytes / 4;
        let key = hash.clone();
        self.entries.put(hash, Entry { caller, bytes });
        if is_too_large {
            self.remove(&key);
        }
        while self.bytes > self.max_bytes {
            let Some((_, entry)) = self.entries.pop_lru() else { break };
            self.release(&entry);
        }
    }

    /// Removes what is known under `hash`.
    pub fn remove(&mut self, hash: &TokenHash) {
        if let Some(entry) = self.entries.pop(hash) {
            self.release(&entry);
        }
    }

    fn hold(&mut self, constraint: &Arc<Constraint>) {
        if let Some(shared) = self.constraints.get_mut(constraint.as_written()) {
            shared.holders += 1;
            return;
        }
        self.bytes += bytes_of(constraint);
        let shared = SharedConstraint { constraint: constraint.clone(), holders: 1 };
        self.constraints.insert(constraint.as_written().into(), shared);
    }

    fn release(&mut self, entry: &Entry) {
        self.bytes -= entry.bytes;
        for constraint in entry.caller.value.iter().flat_map(|caller| caller.constraints()) {
            let Some(shared) = self.constraints.get_mut(constraint.as_written()) else { continue };
            shared.holders -= 1;
            if shared.holders == 0 {
                self.constraints.remove(constraint.as_written());
                self.bytes -= bytes_of(constraint);
            }
        }
    }
}

/// A constraint with its place in the table, where what is written stands a second time. The table may be half empty, as it is
/// when it has grown, and each of both texts is an allocation, with what an allocator keeps of it.
fn bytes_of(constraint: &Constraint) -> usize {
    let place = 2 * size_of::<(Box<str>, SharedConstraint)>();
    constraint.bytes() + constraint.as_written().len() + place + 3 * ALLOCATION_BYTES
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::ports::Millis;
    use crate::registry::access::caller::CachedCredential;
    use crate::registry::access::grant::{everything, read_grants};

    fn hash(id: i64) -> TokenHash {
        TokenHash::of(&id.to_string())
    }

    /// Puts a caller with these constraints into a cache, as the look-up does.
    fn put(callers: &mut Callers, id: i64, constraints: &[&str]) {
        let grants: Vec<Value> = constraints
            .iter()
            .map(|constraint| {
                json!({"target": "acme/lib", "version_constraint": constraint, "updates_until": null,
                       "minimum_stability": "dev", "expires_at": null})
            })
            .collect();
        let record: CachedCredential = serde_json::from_value(json!({
            "id": id, "uid": "u", "organization_id": 1, "scopes": ["packages:read"], "grants": grants,
            "rate_limit_max": null, "expires_at": null, "consumer_id": null,
        }))
        .expect("a record");
        let caller = Caller::from_record(record, |written| callers.constraint(written)).expect("valid");
        callers.put(hash(id), Cached { value: Some(Arc::new(caller)), cached_at: Millis(0) });
    }

    #[test]
    fn grants_take_no_room_of_the_rows_that_they_were_read_from() {
        let rows = vec![everything(); 30];
        let grants = read_grants(rows, |_| None).expect("valid grants");
        assert_eq!((grants.len(), grants.capacity()), (30, 30));
    }

    fn constraint_of(callers: &mut Callers, id: i64) -> Arc<Constraint> {
        let caller = callers.get(&hash(id)).and_then(|cached| cached.value.clone()).expect("it is kept");
        caller.constraints().next().expect("it has a grant").clone()
    }

    #[test]
    fn callers_share_their_constraints_and_the_last_one_takes_them_along() {
        let mut callers = Callers::default();
        put(&mut callers, 1, &["^1.0 || ^2.0", "^1.0 || ^2.0"]);
        let one = callers.bytes();
        put(&mut callers, 2, &["^1.0 || ^2.0", "^1.0 || ^2.0"]);
        let (first, second) = (constraint_of(&mut callers, 1), constraint_of(&mut callers, 2));
        assert!(Arc::ptr_eq(&first, &second));
        assert!(callers.bytes() < 2 * one, "the constraint counts once");
        callers.remove(&hash(1));
        assert!(callers.constraint("^1.0 || ^2.0").is_some());
        assert_eq!(callers.bytes(), one);
        callers.remove(&hash(2));
        assert_eq!((callers.bytes(), callers.constraints.len()), (0, 0));
    }

    #[test]
    fn the_bytes_are_bounded_and_who_was_not_asked_for_the_longest_goes_first() {
        let mut callers = Callers { max_bytes: 20_000, ..Callers::default() };
        for id in 0..200 {
            let own = format!("^{id}.0 || ^{}.5", id + 1);
            put(&mut callers, id, &[&own]);
            callers.get(&hash(0));
            assert!(callers.bytes() <= 20_000);
        }
        assert!(callers.get(&hash(0)).is_some() && callers.get(&hash(199)).is_some());
        assert!(callers.get(&hash(1)).is_none());
        assert_eq!(callers.constraints.len(), callers.entries.len());
        for id in 0..200 {
            callers.remove(&hash(id));
        }
        assert_eq!((callers.bytes(), callers.constraints.len()), (0, 0));
    }

    #[test]
    fn a_caller_that_would_take_a_quarter_of_the_room_alone_is_not_kept() {
        let mut callers = Callers { max_bytes: 20_000, ..Callers::default() };
        put(&mut callers, 1, &["^1.0"]);
        let before = callers.bytes();
        let long = vec!["1.0"; 200].join(" || ");
        put(&mut callers, 2, &[&long]);
        assert!(callers.get(&hash(2)).is_none());
        assert_eq!(callers.bytes(), before);
    }
}
