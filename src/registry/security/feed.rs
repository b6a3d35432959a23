//! What is known to be wrong with a package's versions, as composer reads it: security advisories and filter lists.
//!
//! Composer finds both at the top of the p2 documents, and asks for the full text of an advisory, or for a filter list
//! of many packages, at an address that `packages.json` names (docs/composer-protocol.md, section 5). A notice that
//! concerns no version that the caller sees is not shown: it would tell of versions that are hidden.

use std::collections::BTreeMap;

use composer::PackageName;
use composer::notices::{AdvisorySource, AdvisoryText};
use serde_json::{Map, Value, json};

use crate::ports::Millis;
use crate::registry::access::view::{VersionFilter, View};
use crate::registry::kernel::app::App;
use crate::registry::kernel::dates::{php_date, read_moment};
use crate::registry::kernel::failure::Failure;
use crate::registry::packages::notices::{FilterEntrySummary, share_an_id};
use crate::registry::security::concerns::Concerns;
use crate::store::security::advisories::{
    AdvisoryRow, ListedEntry, UpstreamAdvisoryRow, advisories_for, filter_entries_for, upstream_advisories,
};

/// The filter list that composer heeds without being told to.
pub const MALWARE: &str = "malware";

/// What a packages.json says of where notices are; `lists` are the filter lists with entries.
pub fn addresses(base_url: &str, lists: &[String]) -> Map<String, Value> {
    let names = lists.iter().map(String::as_str).chain([MALWARE]);
    let lists: Map<String, Value> = names.map(|name| (name.to_owned(), json!({ "enabled": true }))).collect();
    let mut root = Map::new();
    root.insert(
        "security-advisories".to_owned(),
        json!({ "metadata": true, "api-url": format!("{base_url}/security-advisories") }),
    );
    root.insert(
        "filter".to_owned(),
        json!({
            "metadata": true,
            "lists": lists,
            "api-url": format!("{base_url}/filter-lists"),
            "summary-url": format!("{base_url}/filter-lists/summary.json"),
        }),
    );
    root
}

/// The full advisories of the packages among `names` that `view` sees: name → advisories. Names that are none are
/// passed over.
pub async fn full_advisories(
    app: &App,
    view: &View,
    names: &[String],
) -> Result<BTreeMap<String, Vec<Value>>, Failure> {
    let names: Vec<String> = visible(view, names);
    let mut answer: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    if names.is_empty() {
        return Ok(answer);
    }
    let organization = view.organization();
    let batch = (advisories_for(organization, &names), upstream_advisories(organization, &names));
    let (own, upstream) = app.ports.database.ask(batch).await?;
    let packages = own.iter().map(|row| &row.package_name).chain(upstream.iter().map(|row| &row.package_name));
    let concerns = Concerns::load(app, view, packages.map(String::as_str)).await?;
    for row in own {
        if concerns.is_shown(&row.package_name, &row.affected_versions) {
            answer.entry(row.package_name.clone()).or_default().push(full(&row));
        }
    }
    for row in upstream {
        let UpstreamAdvisoryRow { package_name, advisory, .. } = &row;
        if concerns.is_shown(package_name, &advisory.affected_versions) {
            let advisory = full_of_upstream(&row, app.now());
            let list = answer.entry(package_name.clone()).or_default();
            // What was written down here comes first, then what the upstream says that was registered first.
            if !list.iter().any(|known| share_an_id(&ids(known), &ids(&advisory))) {
                list.push(advisory);
            }
        }
    }
    Ok(answer)
}

/// All that an advisory goes by: its id, and those of the places where it was published.
fn ids(advisory: &Value) -> Vec<&str> {
    let sources = advisory["sources"].as_array().into_iter().flatten().map(|source| &source["remoteId"]);
    std::iter::once(&advisory["advisoryId"]).chain(sources).filter_map(Value::as_str).collect()
}

/// An upstream's advisory in full. Composer stops at one without a text, so one whose text is not known says that, and
/// where to read it.
fn full_of_upstream(row: &UpstreamAdvisoryRow, now: Millis) -> Value {
    let UpstreamAdvisoryRow { package_name, upstream_url, advisory } = row;
    let known = advisory.text.clone().unwrap_or_else(|| AdvisoryText {
        title: format!("Known to {upstream_url} by this id; its text is not known here"),
        cve: None,
        link: None,
        severity: None,
        sources: vec![AdvisorySource { name: upstream_url.clone(), remote_id: advisory.advisory_id.clone() }],
        reported_at: String::new(),
    });
    json!({
        "advisoryId": advisory.advisory_id,
        "packageName": package_name,
        "affectedVersions": advisory.affected_versions,
        "title": known.title,
        "cve": known.cve,
        "link": known.link,
        "severity": known.severity,
        "sources": known.sources,
        "reportedAt": php_date(read_moment(&json!(known.reported_at)).unwrap_or(now)),
    })
}

/// An advisory in full, as composer reads it.
fn full(row: &AdvisoryRow) -> Value {
    json!({
        "advisoryId": row.advisory_id,
        "packageName": row.package_name,
        "affectedVersions": row.affected_versions,
        "title": row.title,
        "cve": row.cve,
        "link": row.link,
        "severity": row.severity,
        "sources": row.sources,
        "reportedAt": php_date(row.reported_at),
    })
}

/// The names of packages, in lower case, of which `view` may see something.
fn visible(view: &View, names: &[String]) -> Vec<String> {
    let names = names.iter().filter_map(|name| PackageName::parse_ignoring_case(name).ok());
    names
        .filter(|name| !matches!(view.version_filter(name.as_str()), VersionFilter::Nothing))
        .map(|name| name.as_str().to_owned())
        .collect()
}

/// The entries of `lists` (empty: all lists) for the packages among `names` that `view` sees: list → entries.
pub async fn filter_of(
    app: &App,
    view: &View,
    names: &[String],
    lists: &[String],
) -> Result<Map<String, Value>, Failure> {
    let names = visible(view, names);
    let mut answer: Map<String, Value> = lists.iter().map(|list| (list.clone(), json!([]))).collect();
    if names.is_empty() {
        return Ok(answer);
    }
    let lists = (!lists.is_empty()).then_some(lists);
    let rows = filter_entries_for(&*app.ports.database, view.organization(), Some(&names), lists).await?;
    let concerns = Concerns::load(app, view, rows.iter().map(|row| row.package_name.as_str())).await?;
    for row in rows {
        if concerns.is_shown(&row.package_name, &row.constraint) {
            let package = row.package_name.clone();
            let entry = summary(&row).json(Some(&package));
            let list = answer.entry(row.list.clone()).or_insert_with(|| json!([]));
            let is_same = |known: &Value| ["package", "constraint"].iter().all(|key| known[key] == entry[key]);
            if let Some(list) = list.as_array_mut()
                && !list.iter().any(is_same)
            {
                list.push(entry);
            }
        }
    }
    Ok(answer)
}

/// Every filter list in brief: list → package → the constraint of its entries.
pub async fn filter_summary(app: &App, view: &View) -> Result<Map<String, Value>, Failure> {
    let mut answer: Map<String, Value> = Map::from_iter([(MALWARE.to_owned(), json!({}))]);
    let rows = filter_entries_for(&*app.ports.database, view.organization(), None, None).await?;
    let concerns = Concerns::load(app, view, rows.iter().map(|row| row.package_name.as_str())).await?;
    for row in rows {
        if !concerns.is_shown(&row.package_name, &row.constraint) {
            continue;
        }
        let list = answer.entry(row.list.clone()).or_insert_with(|| json!({}));
        let joined = match list[&row.package_name].as_str() {
            Some(others) if others.split(" || ").any(|known| known == row.constraint) => others.to_owned(),
            Some(others) => format!("{others} || {}", row.constraint),
            None => row.constraint.clone(),
        };
        list[&row.package_name] = json!(joined);
    }
    Ok(answer)
}

/// What is shown of an entry of a filter list.
fn summary(row: &ListedEntry) -> FilterEntrySummary {
    let ListedEntry { list, constraint, reason, url, id, source, .. } = row.clone();
    FilterEntrySummary { list, constraint, reason, url, id, source }
}

#[cfg(test)]
mod tests {
    use composer::NormalizedVersion;

    use crate::registry::packages::notices::SecurityNotices;

    #[test]
    fn notices_stand_behind_the_versions_of_a_document() {
        let notices = SecurityNotices::parse(
            r#"{"advisories":[{"advisoryId":"A-1","affectedVersions":"<2"}],
                "filter":[{"list":"malware","constraint":"1.*","reason":"stolen","url":null,"id":"u"}]}"#,
        )
        .expect("readable");
        let mut document = r#"{"packages":{}}"#.to_owned();
        notices.limited_to(None).add_to(&mut document);
        let expected = r#"{"packages":{},"security-advisories":[{"advisoryId":"A-1","affectedVersions":"<2"}],"filter":{"malware":[{"constraint":"1.*","reason":"stolen","id":"u"}]}}"#;
        assert_eq!(document, expected);

        let seen = [NormalizedVersion::from_stored("3.0.0.0".to_owned())];
        let mut document = r#"{"packages":{}}"#.to_owned();
        notices.limited_to(Some(&seen)).add_to(&mut document);
        assert_eq!(document, r#"{"packages":{},"security-advisories":[],"filter":{}}"#);
    }
}
