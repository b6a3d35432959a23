//! A list in groups, of which one statement each reads what belongs to them.

/// Most that a group holds.
#[derive(Debug, Clone, Copy)]
pub struct BatchLimits {
    /// Bytes, besides those of one item however large.
    pub bytes: usize,
    /// Items.
    pub items: usize,
}

/// `items` in their order, in as few groups as hold no more than `limits`; `bytes` is how much belongs to an item.
pub fn batches<T>(items: impl IntoIterator<Item = T>, limits: BatchLimits, bytes: impl Fn(&T) -> usize) -> Vec<Vec<T>> {
    let mut batches: Vec<Vec<T>> = Vec::new();
    let mut held = 0;
    for item in items {
        let own = bytes(&item);
        held += own;
        match batches.last_mut() {
            Some(batch) if held <= limits.bytes && batch.len() < limits.items => batch.push(item),
            _ => {
                held = own;
                batches.push(vec![item]);
            }
        }
    }
    batches
}
