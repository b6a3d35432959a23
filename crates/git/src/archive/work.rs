//! How much work it is to decide what an archive holds. Patterns, paths and their numbers come from strangers and multiply
//! each other, so no bound on one of them bounds their product: the work itself is counted.

/// Deciding what an archive holds is more work than it may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "deciding which files the zip holds is too much work ({limit} steps are not enough): the rules of .gitattributes and of \
     `archive.exclude` in composer.json are too many or too long for so many paths; fewer rules, or shorter ones, help"
)]
pub struct WorkSpent {
    /// The most steps that are taken.
    pub limit: u64,
}

/// The steps that are taken for one archive. A step is one state of a pattern that is compared with one byte of a path, or
/// something of that order: some nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ArchiveWork {
    spent: u64,
    limit: u64,
}

impl ArchiveWork {
    /// Nothing is spent yet of `limit` steps.
    pub fn new(limit: u64) -> Self {
        Self { spent: 0, limit }
    }

    /// Counts `steps` that are about to be taken.
    ///
    /// # Errors
    /// When they are more than what is left: they are not to be taken then.
    pub fn spend(&mut self, steps: usize) -> Result<(), WorkSpent> {
        let spent = self.spent.saturating_add(steps as u64);
        if spent > self.limit {
            return Err(WorkSpent { limit: self.limit });
        }
        self.spent = spent;
        Ok(())
    }

    /// The steps that were taken.
    pub fn spent(&self) -> u64 {
        self.spent
    }
}
