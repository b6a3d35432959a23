//! What an upstream's documents say to be wrong with a package, as it is kept and handed on.

use composer::notices::{Advisory, DocumentNotices, NoticeAddresses};

use crate::store::packages::upstream_notices::UpstreamNotices;

/// What is kept of the notices in a document of the package `name`; `None` when it is what is `known` already. As for
/// Composer, what the root does not announce does not count; where a document says nothing, what was known holds.
pub fn kept(
    announced: &NoticeAddresses,
    name: &str,
    notices: DocumentNotices,
    known: Option<&UpstreamNotices>,
) -> Option<UpstreamNotices> {
    let empty = UpstreamNotices { name: name.to_owned(), advisories: Vec::new(), filter: Vec::new() };
    let before = known.unwrap_or(&empty);
    let advisories = if announced.advisories_in_documents {
        notices.advisories.map_or_else(|| before.advisories.clone(), |list| with_texts(list, &before.advisories))
    } else {
        Vec::new()
    };
    let filter = notices.filter.unwrap_or_else(|| before.filter.clone());
    let filter = filter.into_iter().filter(|entry| announced.filter_lists.contains(&entry.list)).collect();
    Some(UpstreamNotices { name: name.to_owned(), advisories, filter }).filter(|now| now != before)
}

/// The advisories with the texts that were known, where they have none of their own.
fn with_texts(advisories: Vec<Advisory>, known: &[Advisory]) -> Vec<Advisory> {
    let text_of = |id: &str| known.iter().find(|one| one.advisory_id == id).and_then(|one| one.text.clone());
    let complete = |advisory: Advisory| {
        let text = advisory.text.or_else(|| text_of(&advisory.advisory_id));
        Advisory { text, ..advisory }
    };
    advisories.into_iter().map(complete).collect()
}

#[cfg(test)]
mod tests {
    use composer::notices::{AdvisoryText, FilterEntry};

    use super::*;

    fn advisory(id: &str, title: Option<&str>) -> Advisory {
        let text = title.map(|title| AdvisoryText {
            title: title.to_owned(),
            cve: None,
            link: None,
            severity: None,
            sources: Vec::new(),
            reported_at: "2026-01-02 03:04:05".to_owned(),
        });
        Advisory { advisory_id: id.to_owned(), affected_versions: "*".to_owned(), text }
    }

    fn entry(list: &str) -> FilterEntry {
        FilterEntry {
            list: list.to_owned(),
            constraint: "*".to_owned(),
            reason: None,
            url: None,
            id: None,
            source: None,
        }
    }

    fn announced(lists: &[&str]) -> NoticeAddresses {
        let filter_lists = lists.iter().map(|list| (*list).to_owned()).collect();
        NoticeAddresses { advisories_in_documents: true, filter_lists, ..NoticeAddresses::default() }
    }

    #[test]
    fn what_is_not_announced_does_not_count_and_where_nothing_is_said_the_known_holds() {
        let known = UpstreamNotices {
            name: "acme/lib".to_owned(),
            advisories: vec![advisory("A-1", Some("known"))],
            filter: vec![entry("malware")],
        };
        let kept =
            |announced: &NoticeAddresses, notices: DocumentNotices| kept(announced, "acme/lib", notices, Some(&known));
        assert_eq!(kept(&announced(&["malware"]), DocumentNotices::default()), None, "it is known already");
        let now = DocumentNotices {
            advisories: Some(vec![advisory("A-1", None), advisory("A-2", None)]),
            filter: Some(vec![entry("malware"), entry("other")]),
        };
        let changed = kept(&announced(&["malware"]), now).expect("something new");
        assert_eq!(changed.advisories, [advisory("A-1", Some("known")), advisory("A-2", None)]);
        assert_eq!(changed.filter, [entry("malware")]);
        let gone = kept(&NoticeAddresses::default(), DocumentNotices::default()).expect("something new");
        assert!(gone.advisories.is_empty() && gone.filter.is_empty());
    }
}
