//! What an upstream's documents say to be wrong with a package, as it is kept and handed on.

use std::collections::{BTreeMap, BTreeSet};

use composer::notices::{Advisory, DocumentNotices, FilterEntry, NoticeAddresses};
use serde_json::json;

use crate::store::packages::upstream_notices::UpstreamNotices;

/// Most bytes of the advisories of one package: a row has two million, and JSON within JSON may take twice as many.
const MAX_STORED_BYTES: usize = 500_000;

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
    } else if announced.advisories_api.is_some() {
        before.advisories.clone()
    } else {
        Vec::new()
    };
    let advisories = within_a_row(advisories);
    let filter = notices.filter.unwrap_or_else(|| before.filter.clone());
    let filter = filter.into_iter().filter(|entry| announced.filter_lists.contains(&entry.list)).collect();
    Some(UpstreamNotices { name: name.to_owned(), advisories, filter }).filter(|now| now != before)
}

/// What an answer says of a package.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnswerExtent {
    /// All of its advisories.
    All,
    /// Those that were updated lately.
    Updates,
}

/// The advisories of a package after an upstream has answered a question for them. What documents name stays until they no
/// longer do, and what was not asked for stays too.
pub fn with_answer(
    announced: &NoticeAddresses,
    known: &[Advisory],
    answer: Vec<Advisory>,
    extent: AnswerExtent,
) -> Vec<Advisory> {
    let answer = with_texts(answer, known);
    if extent == AnswerExtent::All && !announced.advisories_in_documents {
        return within_a_row(answer);
    }
    let mut now = known.to_vec();
    for advisory in answer {
        match now.iter_mut().find(|known| known.advisory_id == advisory.advisory_id) {
            Some(known) => *known = advisory,
            None => now.push(advisory),
        }
    }
    within_a_row(now)
}

/// The entries of a package after the summary of the filter lists was read, which says list → constraint of it. Where that
/// is what the entries say together, they stay; else it is newer than they are, and says less.
pub fn with_summary(
    announced: &NoticeAddresses,
    known: &[FilterEntry],
    summary: Option<&BTreeMap<String, String>>,
) -> Vec<FilterEntry> {
    let parts = |constraint: &str| -> BTreeSet<String> {
        constraint.split("||").map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect()
    };
    let mut now = Vec::new();
    for list in &announced.filter_lists {
        let Some(constraint) = summary.and_then(|lists| lists.get(list)) else { continue };
        let of_list: Vec<&FilterEntry> = known.iter().filter(|entry| entry.list == *list).collect();
        let said: BTreeSet<String> = of_list.iter().flat_map(|entry| parts(&entry.constraint)).collect();
        if said == parts(constraint) {
            now.extend(of_list.into_iter().cloned());
        } else {
            now.push(FilterEntry {
                list: list.clone(),
                constraint: constraint.clone(),
                reason: None,
                url: None,
                id: None,
                source: None,
            });
        }
    }
    now
}

/// As many of the advisories as one row of the database takes.
fn within_a_row(advisories: Vec<Advisory>) -> Vec<Advisory> {
    let mut bytes = 0;
    let fits = |advisory: &Advisory| {
        bytes += json!(advisory).to_string().len();
        bytes <= MAX_STORED_BYTES
    };
    advisories.into_iter().take_while(fits).collect()
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

    #[test]
    fn an_answer_completes_what_documents_name_and_is_all_there_is_where_they_name_nothing() {
        let known = [advisory("A-1", None), advisory("A-2", Some("known"))];
        let answer = || vec![advisory("A-1", Some("told")), advisory("A-3", Some("new"))];
        let in_documents = announced(&[]);
        let all = [advisory("A-1", Some("told")), advisory("A-2", Some("known")), advisory("A-3", Some("new"))];
        for extent in [AnswerExtent::All, AnswerExtent::Updates] {
            assert_eq!(with_answer(&in_documents, &known, answer(), extent), all, "{extent:?}");
        }
        let elsewhere = NoticeAddresses::default();
        assert_eq!(with_answer(&elsewhere, &known, answer(), AnswerExtent::Updates), all);
        assert_eq!(with_answer(&elsewhere, &known, answer(), AnswerExtent::All), answer());
        let brief = with_answer(&elsewhere, &known, vec![advisory("A-2", None)], AnswerExtent::All);
        assert_eq!(brief, [advisory("A-2", Some("known"))], "a text that was known is not lost");
    }

    #[test]
    fn a_summary_adds_and_ends_entries_and_leaves_those_that_say_the_same() {
        let with = |constraint: &str, reason: Option<&str>| FilterEntry {
            constraint: constraint.to_owned(),
            reason: reason.map(str::to_owned),
            ..entry("malware")
        };
        let known = [with("1.0.0", Some("stolen")), with("2.*", None), entry("other")];
        let summary = |lists: &[(&str, &str)]| {
            lists.iter().map(|(list, constraint)| ((*list).to_owned(), (*constraint).to_owned())).collect()
        };
        let read = |lists: &[(&str, &str)]| with_summary(&announced(&["malware"]), &known, Some(&summary(lists)));
        assert_eq!(read(&[("malware", "2.* ||1.0.0")]), known[..2]);
        assert_eq!(read(&[("malware", "2.* || 1.0.0 || 3.*"), ("other", "*")]), [with("2.* || 1.0.0 || 3.*", None)]);
        assert_eq!(read(&[("other", "*")]), []);
        assert_eq!(with_summary(&announced(&["malware"]), &known, None), []);
    }

    #[test]
    fn no_more_is_kept_than_a_row_takes() {
        let long = Advisory { affected_versions: "1".repeat(20_000), ..advisory("A-1", None) };
        let kept = with_answer(&announced(&[]), &[], vec![long.clone(); 2], AnswerExtent::All);
        assert_eq!(kept.len(), 1, "of one id there is one");
        let many = (0..100).map(|number| Advisory { advisory_id: format!("A-{number}"), ..long.clone() }).collect();
        let kept = with_answer(&announced(&[]), &[], many, AnswerExtent::All);
        assert_eq!(kept.len(), 24);
    }
}
