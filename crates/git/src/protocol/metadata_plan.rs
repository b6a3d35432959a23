//! Which requests bring the manifests of many commits with the least traffic.
//!
//! git's `tree:<depth>` filter counts from the commit's root tree, which is depth 0, and keeps
//! what is *less* deep than its number, trees and blobs alike. So `tree:1` is the root tree alone,
//! and `tree:2` adds the root's files and the trees of its directories (one level, not their
//! content). A directory `k` names below the root is a tree at depth `k`: `tree:{k+1}` has it,
//! and `tree:{k+2}` has its files too.
//!
//! Objects that a request names in `want` are never filtered away, so the second request of
//! [`MetadataPlan::TreeThenBlobs`] carries no filter.

use crate::protocol::capabilities::Capabilities;

/// How to fetch the metadata of commits. Requests are for any number of commits at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MetadataPlan {
    /// One request: commits, their root trees and the small files in them.
    Combined {
        /// For [`FetchRequest::commits`](crate::FetchRequest::commits).
        filter: String,
    },
    /// Two requests: commits with trees down to the package's directory, then the files by id
    /// ([`missing_blobs`](crate::missing_blobs)).
    TreeThenBlobs {
        /// For the first request.
        filter: String,
    },
    /// One request for each batch of [`MetadataPlan::UNFILTERED_BATCH`] commits, with all their
    /// files. Halve the batch when the pack is too large.
    Unfiltered,
}

impl MetadataPlan {
    /// Commits per request of [`MetadataPlan::Unfiltered`]. Versions of one package share most
    /// files, so sixteen cost little more than one.
    pub const UNFILTERED_BATCH: usize = 16;

    /// Largest file that a combined filter brings along. A manifest or a readme is a few
    /// kilobytes; what is larger and still wanted comes by id.
    pub const COMBINED_BLOB_LIMIT: &str = "200k";

    /// The best plan that the server's capabilities allow for a package whose directory is
    /// `depth` names below the root (0: the root itself).
    pub fn choose(capabilities: &Capabilities, depth: usize) -> Self {
        if !capabilities.filter {
            return Self::Unfiltered;
        }
        if depth == 0 {
            let limit = Self::COMBINED_BLOB_LIMIT;
            return Self::Combined { filter: format!("combine:tree:2+blob:limit={limit}") };
        }
        // Without `blob:none` the files beside each directory on the way would come along.
        Self::TreeThenBlobs { filter: format!("combine:tree:{}+blob:none", depth + 1) }
    }

    /// The next plan to try when the server answered this one with
    /// [`FetchError::Remote`](crate::FetchError::Remote); nothing is left after
    /// [`MetadataPlan::Unfiltered`]. Servers may forbid kinds of filters (`combine`, or `tree`
    /// beyond some depth) without advertising it, and each has its own words for that.
    pub fn after_refusal(&self, depth: usize) -> Option<Self> {
        let tree = format!("tree:{}", depth + 1);
        match self {
            Self::Combined { .. } => Some(Self::TreeThenBlobs { filter: tree }),
            Self::TreeThenBlobs { filter } if filter.starts_with("combine:") => {
                Some(Self::TreeThenBlobs { filter: tree })
            }
            Self::TreeThenBlobs { filter } if *filter == tree => {
                Some(Self::TreeThenBlobs { filter: "blob:none".to_owned() })
            }
            Self::TreeThenBlobs { .. } => Some(Self::Unfiltered),
            Self::Unfiltered => None,
        }
    }

    /// The filter of the request for commits.
    pub fn filter(&self) -> Option<&str> {
        match self {
            Self::Combined { filter } | Self::TreeThenBlobs { filter } => Some(filter),
            Self::Unfiltered => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ladder(capabilities: &Capabilities, depth: usize) -> Vec<Option<String>> {
        let first = MetadataPlan::choose(capabilities, depth);
        std::iter::successors(Some(first), |plan| plan.after_refusal(depth))
            .map(|plan| plan.filter().map(str::to_owned))
            .collect()
    }

    #[test]
    fn every_ladder_ends_without_a_filter() {
        let able = Capabilities { filter: true, ..Capabilities::default() };
        let some = |filter: &str| Some(filter.to_owned());
        assert_eq!(ladder(&able, 0), [some("combine:tree:2+blob:limit=200k"), some("tree:1"), some("blob:none"), None]);
        assert_eq!(ladder(&able, 2), [some("combine:tree:3+blob:none"), some("tree:3"), some("blob:none"), None]);
        assert_eq!(ladder(&Capabilities::default(), 0), [None]);
    }
}
