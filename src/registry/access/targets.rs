//! The names that a view sees something of, as ranges that the database can search.

use crate::registry::access::view::View;
use crate::store::kernel::name_range::NameRange;

impl View {
    /// Whether some grant leaves versions out, so that what is visible depends on the versions that exist.
    pub fn leaves_versions_out(&self) -> bool {
        !self.sees_everything() && self.grants.iter().any(|grant| !grant.is_unlimited())
    }

    /// The ranges of all names of which something may be visible, and of some others.
    pub fn ranges(&self) -> String {
        if self.sees_everything() { NameRange::list(["*"]) } else { NameRange::list(self.targets()) }
    }

    /// The ranges that hold nothing but names of packages that are visible whole.
    pub fn whole_ranges(&self) -> String {
        NameRange::list(self.whole_targets().filter(|target| NameRange::is_exact(target)))
    }

    /// The ranges of all other names of which something may be visible; `None` when there are none.
    pub fn other_ranges(&self) -> Option<String> {
        let is_other = |target: &&str| !NameRange::is_exact(target) || !self.covers_all_of(target);
        let others: Vec<&str> = self.targets().filter(is_other).collect();
        (!others.is_empty()).then(|| NameRange::list(others))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::ports::Millis;
    use crate::registry::access::grant::{Grant, packages};
    use crate::store::OrganizationId;
    use crate::store::access::tokens::GrantRow;

    fn view(grants: &[(&str, &str)]) -> View {
        let grant = |(target, constraint): &(&str, &str)| {
            let row = GrantRow { version_constraint: (*constraint).to_owned(), ..packages(target) };
            Arc::new(Grant::from_row(&row).expect("a valid grant"))
        };
        let grants: Vec<Arc<Grant>> = grants.iter().map(grant).collect();
        View::new(OrganizationId::ROOT, &grants, Millis(0))
    }

    #[test]
    fn only_names_and_beginnings_without_a_constraint_are_seen_whole_by_their_range() {
        let view =
            view(&[("Acme/lib", "*"), ("shop/*", "*"), ("shop/paid", "^1"), ("*/theme", "*"), ("acme/cart", "^1")]);
        assert_eq!(view.whole_ranges(), r#"[["acme/lib","acme/lib"],["shop/","shop/~"]]"#);
        let others = r#"[["","~"],["acme/cart","acme/cart"]]"#;
        assert_eq!(view.other_ranges().as_deref(), Some(others), "what lies in a whole range needs no look");
        assert!(view.leaves_versions_out());
    }

    #[test]
    fn who_sees_everything_has_no_other_names() {
        let view = view(&[("*", "*"), ("acme/lib", "^1")]);
        assert_eq!((view.ranges().as_str(), view.other_ranges()), (r#"[["","~"]]"#, None));
        assert!(!view.leaves_versions_out());
    }
}
