//! Which notices are shown to whom: those that concern a version that they see. Any other would tell of versions that are
//! hidden.

use std::collections::{BTreeSet, HashMap};

use composer::NormalizedVersion;
use serde_json::json;

use crate::registry::access::view::{VersionFilter, View};
use crate::registry::kernel::app::App;
use crate::registry::kernel::failure::Failure;
use crate::registry::packages::notices::concerns;
use crate::store::security::advisories::published_indexes;

/// Most packages whose version indexes one statement reads: a large one takes 300 kB.
const MAX_INDEXES: usize = 50;

/// The versions that a view sees of the packages that notices are about.
pub struct Concerns<'v> {
    view: &'v View,
    /// Of those packages that are not seen whole.
    seen: HashMap<String, Vec<NormalizedVersion>>,
}

impl<'v> Concerns<'v> {
    /// Reads which versions of some packages `view` sees; of those that it sees whole, or not at all, nothing has to be read.
    pub async fn load<'n>(
        app: &App,
        view: &'v View,
        packages: impl IntoIterator<Item = &'n str>,
    ) -> Result<Self, Failure> {
        let is_in_part = |name: &&str| matches!(view.version_filter(name), VersionFilter::Some(..));
        let names: BTreeSet<&str> = packages.into_iter().collect();
        let names: Vec<&str> = names.into_iter().filter(is_in_part).collect();
        let mut seen = HashMap::new();
        for names in names.chunks(MAX_INDEXES) {
            let indexes = published_indexes(view.organization(), json!(names).to_string());
            for package in app.ports.database.ask(indexes).await? {
                let filter = view.version_filter(&package.name);
                let visible = [&package.version_index, &package.former_index]
                    .into_iter()
                    .flat_map(|index| filter.visible_in_index(Some(index)));
                let versions = visible.map(|(version, _)| version).collect();
                seen.insert(package.name, versions);
            }
        }
        Ok(Self { view, seen })
    }

    /// Whether a notice about a package concerns a version that the view sees.
    pub fn is_shown(&self, package: &str, constraint: &str) -> bool {
        match self.view.version_filter(package) {
            VersionFilter::All => true,
            VersionFilter::Nothing => false,
            VersionFilter::Some(..) => self.seen.get(package).is_some_and(|seen| concerns(constraint, seen)),
        }
    }

    /// Whether the view sees some version of a package, as far as it does not see it whole.
    pub fn sees_part_of(&self, package: &str) -> bool {
        self.seen.get(package).is_some_and(|seen| !seen.is_empty())
    }
}
