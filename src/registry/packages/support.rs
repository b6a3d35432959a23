//! What Composer's drivers for GitHub, GitLab, Bitbucket and Gitea fill in where a composer.json does not say it: the page of
//! the sources, that of the issues, and who may be funded. It follows from the address of the repository, so it is for those
//! alone who are shown `source`. In stored documents these addresses are marked: a mark is taken off for developers
//! ([`super::render::absolute`]), and what has it is left out for customers ([`for_customers`]).

use std::borrow::Cow;

use composer::Map;
use serde_json::Value;

use crate::json::read_text;
use crate::registry::kernel::provider::Provider;
use crate::store::packages::state::{LiveVersion, PackageSource};
use crate::store::packages::version_source::VersionSource;

/// Stands before an address that the registry has filled in.
pub const FILLED_IN: &str = "rostrum-filled-in:";

/// Fills in what the entry of a version does not say.
pub fn fill_in(entry: &mut Map, source: &PackageSource, version: &LiveVersion) {
    let VersionSource::Ref(reference) = &version.source else { return };
    let provider = Provider::parse(&source.provider).unwrap_or(Provider::Git);
    let Some(pages) = Pages::of(provider, &source.url, reference, &version.reference) else { return };
    let stated = entry.get("support").and_then(Value::as_object).cloned();
    let mut support = stated.unwrap_or_default();
    for (key, page) in [("source", Some(pages.source)), ("issues", pages.issues)] {
        let is_stated = support.get(key).is_some_and(|stated| !stated.is_null());
        if let Some(page) = page.filter(|_| !is_stated) {
            support.insert(key.to_owned(), format!("{FILLED_IN}{page}").into());
        }
    }
    if !support.is_empty() {
        entry.insert("support".to_owned(), support.into());
    }
    let is_stated = entry.get("funding").is_some_and(|stated| !stated.is_null());
    if let Some(funding) = source.funding.as_deref().filter(|_| provider == Provider::GitHub && !is_stated) {
        fill_in_funding(entry, funding);
    }
}

fn fill_in_funding(entry: &mut Map, stored: &str) {
    let stored: StoredFunding = read_text(stored).unwrap_or_default();
    let marked = |mut one: Value| {
        let url = one.get("url").and_then(Value::as_str).map(|url| format!("{FILLED_IN}{url}"))?;
        one["url"] = url.into();
        Some(one)
    };
    let entries: Vec<Value> = stored.entries.into_iter().filter_map(marked).collect();
    if !entries.is_empty() {
        entry.insert("funding".to_owned(), entries.into());
    }
}

/// What `.github/FUNDING.yml` of a repository says, as it is kept with the repository.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct StoredFunding {
    /// The id of the file's content; `None` when there is no such file.
    pub file: Option<String>,
    /// As metadata has it: a list of `{type, url}`.
    pub entries: Vec<Value>,
}

/// The pages of a repository in a browser.
struct Pages {
    /// The files of a version.
    source: String,
    issues: Option<String>,
}

/// The page of the repository at `address` in a browser, where the provider's are known.
pub fn repository_page(provider: Provider, address: &str) -> Option<&str> {
    let home = address.trim_end_matches('/');
    let home = home.strip_suffix(".git").unwrap_or(home);
    match provider {
        Provider::GitHub | Provider::GitLab | Provider::Bitbucket | Provider::Gitea => Some(home),
        Provider::Git | Provider::Composer | Provider::Artifact => None,
    }
}

impl Pages {
    /// The pages of the repository at `address` for a version that comes from the ref `reference` at `commit`. Whether a
    /// repository has its issues switched on is not asked; Bitbucket's are off unless somebody switches them on.
    fn of(provider: Provider, address: &str, reference: &str, commit: &str) -> Option<Self> {
        let home = repository_page(provider, address)?;
        let (kind, label) = match reference.strip_prefix("refs/tags/") {
            Some(tag) => ("tag", tag),
            None => ("branch", reference.strip_prefix("refs/heads/").unwrap_or(reference)),
        };
        let label = path_of(label);
        let issues = Some(format!("{home}/issues"));
        Some(match provider {
            Provider::GitHub => Self { source: format!("{home}/tree/{label}"), issues },
            Provider::GitLab => {
                Self { source: format!("{home}/-/tree/{label}"), issues: Some(format!("{home}/-/issues")) }
            }
            Provider::Bitbucket => Self { source: format!("{home}/src/{commit}/?at={label}"), issues: None },
            Provider::Gitea => Self { source: format!("{home}/{kind}/{label}"), issues },
            Provider::Git | Provider::Composer | Provider::Artifact => return None,
        })
    }
}

/// The name of a ref in a path: what would end the path or begin an escape in it is escaped.
fn path_of(label: &str) -> String {
    label.replace('%', "%25").replace('#', "%23").replace('?', "%3F")
}

/// The value (JSON text) of a field as customers are shown it, who are not told where the sources are; `None`: not at all.
pub fn for_customers<'v>(key: &str, value: &'v str) -> Option<Cow<'v, str>> {
    match key {
        "source" => None,
        "support" | "funding" if value.contains(FILLED_IN) => without_filled_in(value).map(Cow::Owned),
        _ => Some(Cow::Borrowed(value)),
    }
}

fn without_filled_in(value: &str) -> Option<String> {
    let is_filled_in = |value: &Value| value.as_str().is_some_and(|text| text.starts_with(FILLED_IN));
    match serde_json::from_str(value).ok()? {
        Value::Object(mut support) => {
            support.retain(|_, value| !is_filled_in(value));
            (!support.is_empty()).then(|| Value::Object(support).to_string())
        }
        // Either all of it is stated, or all of it is filled in.
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ADDRESS: &str = "https://host.test/acme/lib.git";

    fn pages(provider: Provider, reference: &str) -> (String, Option<String>) {
        let pages = Pages::of(provider, ADDRESS, reference, "c0ffee").expect("it has pages");
        (pages.source, pages.issues)
    }

    #[test]
    fn each_provider_has_its_pages() {
        let home = "https://host.test/acme/lib";
        for (provider, tag, branch, issues) in [
            (Provider::GitHub, "tree/v1.0", "tree/feature/a%23b", Some("issues")),
            (Provider::GitLab, "-/tree/v1.0", "-/tree/feature/a%23b", Some("-/issues")),
            (Provider::Bitbucket, "src/c0ffee/?at=v1.0", "src/c0ffee/?at=feature/a%23b", None),
            (Provider::Gitea, "tag/v1.0", "branch/feature/a%23b", Some("issues")),
        ] {
            let issues = issues.map(|page| format!("{home}/{page}"));
            assert_eq!(pages(provider, "refs/tags/v1.0"), (format!("{home}/{tag}"), issues.clone()));
            assert_eq!(pages(provider, "refs/heads/feature/a#b"), (format!("{home}/{branch}"), issues));
        }
        assert!(Pages::of(Provider::Git, ADDRESS, "refs/tags/1.0", "c0ffee").is_none());
    }

    #[test]
    fn customers_are_shown_what_the_author_states_and_nothing_that_was_filled_in() {
        let marked = format!("{FILLED_IN}https://host.test/acme/lib/issues");
        let shown = |key: &str, value: Value| for_customers(key, &value.to_string()).map(Cow::into_owned);
        let both = json!({"email": "help@acme.test", "issues": marked});
        assert_eq!(shown("support", both), Some(json!({"email": "help@acme.test"}).to_string()));
        assert_eq!(shown("support", json!({ "issues": marked })), None);
        assert_eq!(shown("funding", json!([{"type": "github", "url": marked}])), None);
        let stated = json!([{"type": "custom", "url": "https://acme.test"}]);
        assert_eq!(shown("funding", stated.clone()), Some(stated.to_string()));
        assert_eq!(shown("source", json!({"type": "git"})), None);
        let described = json!(format!("about {FILLED_IN}"));
        assert_eq!(shown("description", described.clone()), Some(described.to_string()));
    }
}
