//! The layout of an archive: which composer.json describes it, and what `archive.exclude` leaves out of one.

use crate::glob::Glob;

/// Why no composer.json of an archive describes it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoManifest {
    /// No composer.json at the top, and several things to look into.
    #[error(
        "the archive has no composer.json at its top level and more than one top-level entry ({}); \
         put composer.json at the top, or everything into one directory",
        .found.join(", ")
    )]
    SeveralTopLevelEntries {
        /// The first two that were found.
        found: Vec<String>,
    },
    /// No composer.json where one is looked for.
    #[error("the archive has no composer.json at its top level or in its only top-level directory")]
    Missing,
}

const MANIFEST: &str = "composer.json";

/// Which entry of an archive is its composer.json (`Util\Zip::getComposerJson`): the one at the top, else the one
/// in the only top-level directory. Entries with `__MACOSX` in their name are not looked at.
///
/// # Errors
/// [`NoManifest`] if there is none at either place.
pub fn manifest_path<'a>(entries: &[&'a str]) -> Result<&'a str, NoManifest> {
    let find = |path: &str| entries.iter().copied().find(|entry| *entry == path);
    if let Some(path) = find(MANIFEST) {
        return Ok(path);
    }
    let mut top: Option<String> = None;
    for entry in entries.iter().filter(|entry| !entry.contains("__MACOSX")) {
        let Some(path) = top_level_path(entry) else {
            continue;
        };
        match &top {
            Some(known) if *known != path => {
                return Err(NoManifest::SeveralTopLevelEntries { found: vec![known.clone(), path] });
            }
            _ => top = Some(path),
        }
    }
    top.and_then(|directory| find(&format!("{directory}{MANIFEST}"))).ok_or(NoManifest::Missing)
}

/// The top-level path an entry proves: itself, or the directory it lies directly in.
fn top_level_path(entry: &str) -> Option<String> {
    let trimmed = entry.trim_end_matches('/');
    match trimmed.rsplit_once('/') {
        None => Some(entry.to_owned()),
        Some((directory, _)) if !directory.contains(['/', '\\']) => Some(format!("{directory}/")),
        Some(_) => None,
    }
}

/// The rules of composer.json's `archive.exclude`, in order.
///
/// The semantics are those of `ComposerExcludeFilter`: every rule is tried on every path, the last one that applies
/// wins, `!` includes again (even below an excluded directory), a leading `/` anchors, and a rule that names a
/// directory covers what is in it. Wild cards are Symfony's: `*` and `?` stop at `/` and do not match a dot at the
/// start of a name, `/**/` spans directories, `{a,b}` alternates.
#[derive(Debug, Clone)]
pub struct ExcludeRules {
    rules: Vec<Rule>,
}

#[derive(Debug, Clone)]
struct Rule {
    glob: Glob,
    excludes: bool,
}

impl ExcludeRules {
    /// Reads the rules. Nothing is refused: a rule that makes no sense applies to nothing, as with Composer.
    pub fn parse(rules: &[String]) -> Self {
        Self { rules: rules.iter().map(|rule| Rule::parse(rule)).collect() }
    }

    /// Whether a path, relative to the root of the tree and without a leading slash, is left out.
    ///
    /// Composer makes no difference between files and directories: `foo/` also excludes a file `foo`.
    ///
    /// Rules and paths come from strangers and multiply each other. So `spend` is told of the steps that are about to be
    /// taken, some at a time, and puts an end to it with an error.
    pub fn excludes<E>(&self, path: &str, spend: impl FnMut(usize) -> Result<(), E>) -> Result<bool, E> {
        self.decide(path, false, spend)
    }

    /// As [`excludes`](Self::excludes), for a path that earlier rules (`export-ignore`) already decided about.
    pub fn decide<E>(
        &self,
        path: &str,
        already_excluded: bool,
        mut spend: impl FnMut(usize) -> Result<(), E>,
    ) -> Result<bool, E> {
        let path = format!("/{}", path.trim_matches('/'));
        for rule in self.rules.iter().rev() {
            if rule.glob.applies_to(&path, &mut spend)? {
                return Ok(rule.excludes);
            }
        }
        Ok(already_excluded)
    }
}

impl Rule {
    /// `BaseExcludeFilter::generatePattern`.
    fn parse(rule: &str) -> Self {
        let excludes = !rule.starts_with('!');
        let rule = rule.trim_start_matches('!');
        let (prefix, anchored) = match rule.find('/') {
            Some(0) => ("/", true),
            // No slash, or only the one at the end: the rule names an entry anywhere.
            None => ("/", false),
            Some(first) if first + 1 == rule.len() => ("/", false),
            Some(_) => ("", false),
        };
        Self { glob: Glob::compile(prefix, rule.trim_matches('/'), anchored), excludes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn excluded(rules: &[&str], path: &str) -> bool {
        let rules: Vec<String> = rules.iter().map(|&rule| rule.to_owned()).collect();
        ExcludeRules::parse(&rules).excludes(path, |_| Ok::<(), ()>(())).unwrap_or_default()
    }

    #[test]
    fn the_manifest_is_at_the_top_or_in_the_only_directory() {
        assert_eq!(manifest_path(&["src/a.php", "composer.json"]), Ok("composer.json"));
        assert_eq!(manifest_path(&["pkg/", "pkg/composer.json", "pkg/src/a.php"]), Ok("pkg/composer.json"));
        assert_eq!(manifest_path(&["pkg/composer.json", "__MACOSX/pkg/._composer.json"]), Ok("pkg/composer.json"));
        assert_eq!(manifest_path(&["pkg/sub/composer.json"]), Err(NoManifest::Missing));
        assert_eq!(manifest_path(&[]), Err(NoManifest::Missing));
        assert!(matches!(
            manifest_path(&["a/composer.json", "b/composer.json"]),
            Err(NoManifest::SeveralTopLevelEntries { .. })
        ));
        assert!(matches!(
            manifest_path(&["README", "pkg/composer.json"]),
            Err(NoManifest::SeveralTopLevelEntries { .. })
        ));
    }

    #[test]
    fn a_rule_covers_what_is_in_the_directory() {
        assert!(excluded(&["/tests"], "tests/unit/a.php"));
        assert!(!excluded(&["/tests"], "src/tests/a.php"));
        assert!(excluded(&["tests"], "src/tests/a.php"));
        assert!(excluded(&["tests/"], "src/tests/a.php"));
        assert!(!excluded(&["tests"], "src/tests2/a.php"));
    }

    #[test]
    fn the_last_rule_that_applies_wins() {
        assert!(!excluded(&["/docs", "!/docs/keep.md"], "docs/keep.md"));
        assert!(excluded(&["!/docs/keep.md", "/docs"], "docs/keep.md"));
        assert_eq!(ExcludeRules::parse(&["!/docs".to_owned()]).decide("docs/a", true, |_| Ok::<(), ()>(())), Ok(false));
    }

    #[test]
    fn wild_cards_are_symfonys() {
        assert!(excluded(&["*.md"], "docs/a.md"));
        assert!(!excluded(&["*.md"], ".hidden.md"));
        assert!(!excluded(&["*"], ".github"));
        assert!(excluded(&["*"], ".github/a"), "`*` names the entry below, whose name has no dot");
        assert!(excluded(&["/a/**/z"], "a/z"));
        assert!(excluded(&["/a/**/z"], "a/b/c/z"));
        assert!(!excluded(&["/a/*/z"], "a/b/c/z"));
        assert!(excluded(&["/*.{yml,dist}"], "phpunit.dist"));
        assert!(excluded(&[".*"], ".github/workflows/ci.yml"));
        assert!(excluded(&["/?oo"], "foo"));
    }

    #[test]
    fn deciding_ends_when_there_is_nothing_left_to_spend() {
        let rules = ExcludeRules::parse(&vec!["*a".repeat(1000); 100]);
        let mut left = 1_000_000_usize;
        let spend = |steps: usize| {
            left = left.checked_sub(steps).ok_or("spent")?;
            Ok(())
        };
        assert_eq!(rules.excludes(&"a".repeat(1000), spend), Err("spent"));
        assert!(left < 10_000, "{left} are left");
    }
}
