//! What an upstream tells of mirrored packages at the addresses that its root names for that: its advisories with their
//! texts, and its filter lists in brief. The documents of packages say the same, but only when somebody asks for one, and
//! without the texts.
//!
//! It is part of the sync. What an upstream fails to tell is told in the report of that; what it told last holds.

use std::collections::BTreeMap;
use std::time::Duration;

use composer::PackageName;
use composer::notices::{Advisory, NoticeAddresses, read_advisories, read_filter_summary};
use serde_json::json;

use crate::registry::kernel::failure::Failure;
use crate::registry::sources::composer::PACKAGIST;
use crate::registry::sources::composer::client::ConditionalResponse;
use crate::registry::sources::composer::error::UpstreamRepositoryError;
use crate::registry::sources::composer::import_batch::ImportBatch;
use crate::registry::sources::composer::notices::{AnswerExtent, with_answer, with_summary};
use crate::store::MAX_ARGUMENT_BYTES;
use crate::store::packages::authority::Validators;
use crate::store::packages::upstream_notices::{self, AlsoMeant, AmendedNotices, UpstreamNotices};
use crate::store::sources::upstream_feeds::{self, DueName, FeedState};

/// How long the answer to a question for all advisories of a package holds.
const ADVISORIES_TTL: Duration = Duration::from_hours(1);
/// The same of Packagist, which also tells what was updated since then.
const PACKAGIST_ADVISORIES_TTL: Duration = Duration::from_hours(24);
/// By how much what is asked for overlaps with what was asked for before: clocks differ, and caches are behind.
const OVERLAP: Duration = Duration::from_hours(1);

/// Packages of one question.
const NAMES_A_QUESTION: usize = 100;
/// Packages that one sync asks for; more are left to the next one.
const NAMES_A_SYNC: i64 = 1000;
/// Documents that one sync reads because of a summary; of other packages it is kept what the summary says.
const DOCUMENTS_A_SYNC: usize = 50;
/// Most bytes of an answer.
const MAX_ANSWER_BYTES: usize = 8 << 20;

/// Filter lists in brief: package → list → constraint.
type FilterSummary = BTreeMap<String, BTreeMap<String, String>>;

/// Asks for what is due, and keeps it.
pub async fn refresh_feeds(import: &mut ImportBatch<'_>) -> Result<(), Failure> {
    let announced = import.root().root.notices.clone();
    if announced.advisories_api.is_none() && announced.filter_summary.is_none() {
        return Ok(());
    }
    let (organization, id) = (import.organization, import.upstream.id);
    let known = import.app.ports.database.ask(upstream_feeds::state(organization, id)).await?.unwrap_or_default();
    let mut state = known.clone();
    if let Some(api) = &announced.advisories_api {
        let asked = refresh_advisories(import, &announced, api, &mut state).await;
        report(import, "security-advisories", asked)?;
    }
    if let Some(summary) = &announced.filter_summary {
        let asked = refresh_filter(import, &announced, summary, &mut state).await;
        report(import, "filter", asked)?;
    }
    if state != known {
        import.app.ports.database.ask(upstream_feeds::keep_state(organization, id, &state)).await?;
    }
    Ok(())
}

/// Tells what the upstream failed at, which fails no sync.
fn report(
    import: &mut ImportBatch<'_>,
    what: &'static str,
    asked: Result<(), UpstreamRepositoryError>,
) -> Result<(), Failure> {
    match asked {
        Err(UpstreamRepositoryError::Internal(failure)) => Err(failure),
        Err(error) => {
            import.skip(what, format!("what it said of them last holds: {error}"));
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}

async fn refresh_advisories(
    import: &mut ImportBatch<'_>,
    announced: &NoticeAddresses,
    api: &str,
    state: &mut FeedState,
) -> Result<(), UpstreamRepositoryError> {
    let tells_updates = import.upstream.provider == PACKAGIST;
    if tells_updates {
        ask_for_updates(import, announced, api, state).await?;
    }
    let ttl = if tells_updates { PACKAGIST_ADVISORIES_TTL } else { ADVISORIES_TTL };
    let before = import.app.now().minus(ttl);
    let due = upstream_feeds::due_for_advisories(import.organization, import.upstream.id, before, NAMES_A_SYNC);
    let due = import.app.ports.database.ask(due).await?;
    for names in due.chunks(NAMES_A_QUESTION) {
        ask_for_all(import, announced, api, names).await?;
    }
    Ok(())
}

/// Asks for what was updated since it was asked for that the last time, whichever packages that concerns. After a day
/// everything is asked for in full.
async fn ask_for_updates(
    import: &mut ImportBatch<'_>,
    announced: &NoticeAddresses,
    api: &str,
    state: &mut FeedState,
) -> Result<(), UpstreamRepositoryError> {
    let now = import.app.now();
    let since = state.advisories_since.filter(|since| now < since.plus(PACKAGIST_ADVISORIES_TTL));
    if let Some(since) = since {
        let mut url = import.remote.resolve(api)?;
        url.query_pairs_mut().append_pair("updatedSince", &since.minus(OVERLAP).seconds().to_string());
        let ConditionalResponse::Document { bytes, .. } = import.remote.get(url, None, MAX_ANSWER_BYTES).await? else {
            return Err(UpstreamRepositoryError::Missing { name: api.to_owned() });
        };
        let answer = read_advisories(&bytes)?;
        let names = json!(answer.keys().collect::<Vec<_>>()).to_string();
        keep_advisories(import, announced, names, answer, AnswerExtent::Updates).await?;
    }
    state.advisories_since = Some(now);
    Ok(())
}

/// Asks for all advisories of some packages. A question that the server will not answer is not repeated at once, so that it
/// keeps no other waiting.
async fn ask_for_all(
    import: &mut ImportBatch<'_>,
    announced: &NoticeAddresses,
    api: &str,
    names: &[DueName],
) -> Result<(), UpstreamRepositoryError> {
    let names: Vec<&str> = names.iter().map(|due| due.name.as_str()).collect();
    let form = form_of(&names);
    let names = json!(names).to_string();
    let url = import.remote.resolve(api)?;
    let answer = import.remote.ask(url, form, MAX_ANSWER_BYTES).await;
    let kept = match answer.and_then(|bytes| Ok(read_advisories(&bytes)?)) {
        Ok(answer) => keep_advisories(import, announced, names.clone(), answer, AnswerExtent::All).await,
        Err(error) if error.is_server_failure() => return Err(error),
        Err(error) => Err(error),
    };
    let (organization, id, now) = (import.organization, import.upstream.id, import.app.now());
    import.app.ports.database.ask(upstream_feeds::record_asked(organization, id, names, now)).await?;
    kept
}

/// The question as Composer asks it.
fn form_of(names: &[&str]) -> String {
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    form.extend_pairs(names.iter().map(|name| ("packages[]", *name)));
    form.finish()
}

/// Keeps what an answer says of the packages among `names` (a JSON array) that are mirrored from the upstream.
async fn keep_advisories(
    import: &ImportBatch<'_>,
    announced: &NoticeAddresses,
    names: String,
    mut answer: BTreeMap<String, Vec<Advisory>>,
    extent: AnswerExtent,
) -> Result<(), UpstreamRepositoryError> {
    amend(import, names, AlsoMeant::Nothing, |known| {
        let answer = answer.remove(&known.name).unwrap_or_default();
        let advisories = with_answer(announced, &known.advisories, answer, extent);
        UpstreamNotices { advisories, ..known.clone() }
    })
    .await
}

async fn refresh_filter(
    import: &mut ImportBatch<'_>,
    announced: &NoticeAddresses,
    summary: &str,
    state: &mut FeedState,
) -> Result<(), UpstreamRepositoryError> {
    let url = import.remote.resolve(summary)?;
    let known = Some(&state.filter_validators).filter(|known| **known != Validators::default());
    let (bytes, validators) = match import.remote.get(url, known, MAX_ANSWER_BYTES).await? {
        ConditionalResponse::Unchanged => return Ok(()),
        ConditionalResponse::Absent => return Err(UpstreamRepositoryError::Missing { name: summary.to_owned() }),
        ConditionalResponse::Document { bytes, validators } => (bytes, validators),
    };
    let summary = read_filter_summary(&bytes)?;
    let names = json!(summary.keys().collect::<Vec<_>>()).to_string();
    if names.len() > MAX_ARGUMENT_BYTES {
        let message = format!("has more than {MAX_ARGUMENT_BYTES} bytes of names on its filter lists");
        return Err(UpstreamRepositoryError::TooLarge(message));
    }
    read_newly_listed(import, announced, &names, &summary).await?;
    amend(import, names, AlsoMeant::Listed, |known| {
        let filter = with_summary(announced, &known.filter, summary.get(&known.name));
        UpstreamNotices { filter, ..known.clone() }
    })
    .await?;
    state.filter_validators = validators;
    Ok(())
}

/// Asks for the documents of packages of which a summary says something new, as Composer does: they tell why.
async fn read_newly_listed(
    import: &mut ImportBatch<'_>,
    announced: &NoticeAddresses,
    names: &str,
    summary: &FilterSummary,
) -> Result<(), UpstreamRepositoryError> {
    let (organization, id) = (import.organization, import.upstream.id);
    let known = upstream_notices::mirrored(organization, id, names.to_owned(), AlsoMeant::Nothing);
    let known = import.app.ports.database.ask(known).await?;
    let is_new = |known: &UpstreamNotices| {
        with_summary(announced, &known.filter, summary.get(&known.name)).iter().any(|one| !known.filter.contains(one))
    };
    let new = known.into_iter().map(|known| known.notices).filter(is_new).take(DOCUMENTS_A_SYNC);
    for name in new.filter_map(|known| PackageName::parse(&known.name).ok()) {
        if !import.may_ask_on() {
            break;
        }
        if let Err(error) = import.import_package(&name, None).await {
            import.record_failure(&name, error)?;
        }
    }
    Ok(import.flush().await?)
}

/// Keeps what `change` makes of what is known of the mirrored packages among `names` (a JSON array).
async fn amend(
    import: &ImportBatch<'_>,
    names: String,
    also: AlsoMeant,
    mut change: impl FnMut(&UpstreamNotices) -> UpstreamNotices,
) -> Result<(), UpstreamRepositoryError> {
    let (organization, id) = (import.organization, import.upstream.id);
    let known = import.app.ports.database.ask(upstream_notices::mirrored(organization, id, names, also)).await?;
    let amended = known.into_iter().map(|before| AmendedNotices { now: change(&before.notices), before });
    let amended: Vec<AmendedNotices> = amended.filter(|one| one.now != one.before.notices).collect();
    if !amended.is_empty() {
        let batch = upstream_notices::amend(organization, id, &amended, import.app.now());
        import.app.ports.database.ask(batch).await?;
    }
    Ok(())
}
