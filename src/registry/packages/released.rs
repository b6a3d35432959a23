//! When a version was *released*: the moment that `updates_until` of a grant goes by, and nothing else that is said of a
//! version's age. It is the moment from which on customers could have it: what states that itself is believed, and anything
//! else is released when it is listed for the first time. It stays, also when a version is hidden again, or its tag moves or
//! goes and comes back:
//!
//! - an annotated tag by its own date;
//! - in the first sync of a repository, whose past nobody here has seen, a tag or branch by the date of its commit;
//! - a version by the date that its shop states before anybody could see it, which moves here with an old product;
//! - any other tag, a branch, and an uploaded zip when they are listed: when they are seen or uploaded, or, if they or their
//!   package were hidden then, when that ends.
//!
//! A version of an upstream is released at the `time` that the upstream states. Where it states none, it was released before it
//! was seen here, and nobody knows when: it counts as released at the latest moment that it can have been.
//!
//! A branch that moves is something new each time, so it is released each time.
//!
//! Whoever tags and commits writes these dates, and may have a wrong clock. So a date that lies after the moment of the sync, or
//! before there was git, is not believed, nor is that of a tag which is older than its commit; then the next rule holds.
//!
//! `time` in the metadata says when the files were made, and `published-time` when the registry first published what a
//! version is now; see [`super::render`].

use crate::ports::Millis;
use crate::registry::kernel::dates::{php_date, rfc3339};
use crate::registry::kernel::failure::{Failure, Kind};
use crate::store::access::released::Released;
use crate::store::packages::remarks::{Remark, RemarkKind};

/// The seventh of April 2005, when git came to be: no commit and no tag is older.
const FIRST_DAY_OF_GIT: Millis = Millis(1_112_832_000_000);

/// What git tells of the age of a ref.
#[derive(Debug, Clone, Copy)]
pub struct RefDates {
    /// The date of the annotated tag, if it is one.
    pub tagged_at: Option<Millis>,
    /// The date of the commit.
    pub committed_at: Millis,
}

/// Which sync of its repository sees a ref first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FirstSeenBy {
    /// The first one.
    FirstSync,
    /// A later one.
    LaterSync,
}

/// The date that a ref states which a sync sees for the first time, `now`; `None`: it is released when it is shown.
pub fn of_new_ref(dates: RefDates, first_seen_by: FirstSeenBy, now: Millis) -> Option<Millis> {
    let is_believed = |date: &Millis| (FIRST_DAY_OF_GIT..=now).contains(date);
    let tagged_at = dates.tagged_at.filter(|date| is_believed(date) && *date >= dates.committed_at);
    let committed_at =
        Some(dates.committed_at).filter(|date| first_seen_by == FirstSeenBy::FirstSync && is_believed(date));
    tagged_at.or(committed_at)
}

/// The eighth of June 1995, when PHP came to be: nothing that is sold here is older.
const FIRST_DAY_OF_PHP: Millis = Millis(802_569_600_000);

/// Refuses a date that a shop cannot have released a version at.
///
/// # Errors
/// `Invalid` for one that lies in the future, or before there was PHP.
pub fn check_stated(moment: Millis, now: Millis) -> Result<(), Failure> {
    let refused = |reason: &str| Err(Failure::invalid_field("released_at", reason));
    if moment > now {
        return refused("must not lie in the future; hide the version (\"status\": 0) until it is to be sold");
    }
    if moment < FIRST_DAY_OF_PHP {
        return refused("must not lie before 1995-06-08, when there was no PHP; null leaves the date open");
    }
    Ok(())
}

/// Whether a version has the date `stated` already, to the second that dates are written with; `None` is the one on which it
/// will be shown.
pub fn is(released: Released, when_shown: bool, stated: Option<Millis>) -> bool {
    match stated {
        None => when_shown,
        Some(stated) => !when_shown && released.at.seconds() == stated.seconds(),
    }
}

/// The refusal of another date for a version that customers could have since `moment`.
pub fn stays(version: &str, package: &str, moment: Millis) -> Failure {
    let message = format!(
        "Version {version} of {package} could be installed since {} UTC, which stays the date by which it is sold. Another \
         one can be given as long as nobody could see the version.",
        php_date(moment)
    );
    Failure::new(Kind::Conflict, message)
}

/// What is known of the age of an upstream's version that states no `time`.
#[derive(Debug, Clone, Copy)]
pub struct UndatedVersion {
    /// When the document of its package was last changed, as the upstream's server says.
    pub document_changed_at: Option<Millis>,
    /// The latest `time` of another version in that document.
    pub newest_stated: Option<Millis>,
    /// Whether anything of the package was seen here before.
    pub first_seen_by: FirstSeenBy,
}

/// When an upstream's version counts as released that states no `time`, and is seen for the first time, `now`: no later than
/// the document was changed that it is in. So nobody gets a version whose updates ended before it came out; but one may be kept
/// from somebody who has paid for it. A package that was seen before had the version not, so that now is as good.
///
/// A document that is older than a version in it is not believed.
pub fn of_undated(version: UndatedVersion, now: Millis) -> Millis {
    let UndatedVersion { document_changed_at, newest_stated, first_seen_by } = version;
    let earliest = newest_stated.map_or(FIRST_DAY_OF_GIT, |stated| stated.max(FIRST_DAY_OF_GIT));
    let is_believed = |date: &Millis| first_seen_by == FirstSeenBy::FirstSync && (earliest..=now).contains(date);
    document_changed_at.filter(is_believed).unwrap_or(now)
}

/// What is said of an upstream's version that states no `time`, and counts as released at `moment`.
pub fn undated(moment: Millis) -> Remark {
    let text = format!(
        "Its upstream does not say when it was released. For `updates_until` it counts as released at {}, the latest moment \
         that this can have been.",
        rfc3339(moment)
    );
    Remark::new(RemarkKind::Undated, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Millis = Millis(1_800_000_000_000);
    const COMMITTED: Millis = Millis(1_700_000_000_000);
    const TAGGED: Millis = Millis(1_750_000_000_000);

    fn released(tagged_at: Option<Millis>, committed_at: Millis, first_seen_by: FirstSeenBy) -> Millis {
        of_new_ref(RefDates { tagged_at, committed_at }, first_seen_by, NOW).unwrap_or(NOW)
    }

    #[test]
    fn an_annotated_tag_is_released_when_it_was_made_and_others_when_they_are_seen() {
        for first_seen_by in [FirstSeenBy::FirstSync, FirstSeenBy::LaterSync] {
            assert_eq!(released(Some(TAGGED), COMMITTED, first_seen_by), TAGGED);
        }
        assert_eq!(released(None, COMMITTED, FirstSeenBy::FirstSync), COMMITTED);
        assert_eq!(released(None, COMMITTED, FirstSeenBy::LaterSync), NOW);
    }

    #[test]
    fn a_version_without_a_date_is_no_younger_than_the_document_that_it_was_first_seen_in() {
        let of = |document_changed_at, newest_stated, first_seen_by| {
            of_undated(UndatedVersion { document_changed_at, newest_stated, first_seen_by }, NOW)
        };
        let first = FirstSeenBy::FirstSync;
        assert_eq!(of(Some(TAGGED), None, first), TAGGED);
        assert_eq!(of(Some(TAGGED), Some(COMMITTED), first), TAGGED);
        assert_eq!(of(None, Some(COMMITTED), first), NOW);
        assert_eq!(of(Some(COMMITTED), Some(TAGGED), first), NOW, "a version is younger than its document");
        assert_eq!(of(Some(TAGGED), None, FirstSeenBy::LaterSync), NOW);
        for absurd in [Millis(NOW.0 + 1), Millis(0)] {
            assert_eq!(of(Some(absurd), None, first), NOW);
        }
    }

    #[test]
    fn a_date_that_cannot_be_true_is_not_believed() {
        let (future, epoch) = (Millis(NOW.0 + 1), Millis(0));
        for absurd in [future, epoch, Millis(-1), Millis(FIRST_DAY_OF_GIT.0 - 1), Millis(COMMITTED.0 - 1)] {
            assert_eq!(released(Some(absurd), COMMITTED, FirstSeenBy::FirstSync), COMMITTED, "{absurd:?}");
            assert_eq!(released(Some(absurd), COMMITTED, FirstSeenBy::LaterSync), NOW, "{absurd:?}");
        }
        for absurd in [future, epoch] {
            assert_eq!(released(None, absurd, FirstSeenBy::FirstSync), NOW, "{absurd:?}");
        }
        assert_eq!(released(Some(TAGGED), future, FirstSeenBy::FirstSync), NOW);
        assert_eq!(released(Some(TAGGED), epoch, FirstSeenBy::FirstSync), TAGGED);
        assert_eq!(released(Some(COMMITTED), COMMITTED, FirstSeenBy::LaterSync), COMMITTED);
    }
}
