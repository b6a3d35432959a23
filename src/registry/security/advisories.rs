//! Writing down what is known to be wrong with a package: advisories, and entries of filter lists.
//!
//! Both are about published packages of the organization, and a caller may only speak of packages that it sees. How
//! composer reads them is `notices`'.

use composer::notices::{SEVERITIES, is_reserved_list};
use composer::{Constraint, PackageName};
use serde_json::{Value, json};

use crate::ports::{DatabaseError, Millis, Stmt};
use crate::registry::access::actor::Actor;
use crate::registry::access::view::{VersionFilter, View};
use crate::registry::kernel::app::App;
use crate::registry::kernel::audit::AuditEvent;
use crate::registry::kernel::failure::{Failure, Kind};
use crate::registry::kernel::ids::new_uid;
use crate::registry::kernel::validation::FieldErrors;
use crate::registry::security::concerns::Concerns;
use crate::registry::security::feed::MALWARE;
use crate::store::security::advisories as store;
use crate::store::security::advisories::{
    AdvisoryChanges, AdvisoryRow, FilterEntryRow, NewAdvisory, NoticeFilter, NoticeKey,
};
use crate::store::{Page, Update};

const MAX_TEXT: usize = 500;
const MAX_URL: usize = 2000;
const MAX_CONSTRAINT: usize = 1000;
const MAX_SOURCES: usize = 20;

/// Where an advisory was published elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdvisorySourceSpec {
    /// `GitHub`.
    pub name: String,
    /// Its id there; composer's ignore list takes it.
    pub remote_id: String,
}

/// What a request to write down or to change an advisory says; every field is optional here.
#[derive(Debug, Clone, Default)]
pub struct AdvisorySpec {
    /// What people call it; made up when it is left out.
    pub advisory_id: Option<String>,
    /// `vendor/package`.
    pub package: Option<String>,
    /// Composer constraint.
    pub affected_versions: Option<String>,
    /// One line.
    pub title: Option<String>,
    /// `CVE-2026-0001`.
    pub cve: Update<String>,
    /// Where to read more.
    pub link: Update<String>,
    /// `low`, `medium`, `high` or `critical`.
    pub severity: Update<String>,
    /// Where it was published elsewhere.
    pub sources: Option<Vec<AdvisorySourceSpec>>,
    /// When it was made public; now when it is left out.
    pub reported_at: Option<Millis>,
}

fn check_constraint(wrong: &mut FieldErrors, field: &str, text: Option<&str>) {
    wrong.check_text(field, text, MAX_CONSTRAINT);
    if let Some(Err(error)) = text.map(Constraint::parse) {
        wrong.push(field, format!("is not a version constraint that Composer understands: {error}"));
    }
}

fn named<T>(update: &Update<T>) -> Option<&T> {
    match update {
        Update::Set(Some(value)) => Some(value),
        Update::Set(None) | Update::Keep => None,
    }
}

impl AdvisorySpec {
    fn check(&self) -> Result<(), Failure> {
        let mut wrong = FieldErrors::default();
        wrong.check_text("advisory_id", self.advisory_id.as_deref(), 100);
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.:".contains(c);
        if self.advisory_id.as_deref().is_some_and(|id| !id.chars().all(plain)) {
            wrong.push("advisory_id", "may hold letters, digits, and - _ . : only");
        }
        wrong.check_text("title", self.title.as_deref(), MAX_TEXT);
        check_constraint(&mut wrong, "affected_versions", self.affected_versions.as_deref());
        wrong.check_text("cve", named(&self.cve).map(String::as_str), 50);
        wrong.check_link("link", named(&self.link).map(String::as_str), MAX_URL);
        if named(&self.severity).is_some_and(|severity| !SEVERITIES.contains(&severity.as_str())) {
            wrong.push("severity", format!("must be one of {}", SEVERITIES.join(", ")));
        }
        if self.reported_at.is_some_and(|moment| !(Millis(0)..=Millis::LAST).contains(&moment)) {
            wrong.push("reported_at", "must be unix time in seconds");
        }
        let sources = self.sources.as_deref().unwrap_or_default();
        if sources.len() > MAX_SOURCES {
            wrong.push("sources", format!("must not hold more than {MAX_SOURCES}"));
        }
        for source in sources {
            wrong.check_text("sources", Some(&source.name), MAX_TEXT);
            wrong.check_text("sources", Some(&source.remote_id), MAX_TEXT);
        }
        wrong.into_result()
    }

    fn sources_json(&self) -> Option<String> {
        let sources = self.sources.as_ref()?;
        let list = sources.iter().map(|source| json!({ "name": source.name, "remoteId": source.remote_id }));
        Some(Value::Array(list.collect()).to_string())
    }

    fn named(&self) -> Value {
        let fields = [
            ("affected_versions", self.affected_versions.is_some()),
            ("title", self.title.is_some()),
            ("cve", self.cve.is_set()),
            ("link", self.link.is_set()),
            ("severity", self.severity.is_set()),
            ("sources", self.sources.is_some()),
            ("reported_at", self.reported_at.is_some()),
        ];
        json!({ "fields": fields.iter().filter(|(_, is_named)| *is_named).map(|(field, _)| *field).collect::<Vec<_>>() })
    }
}

/// The package of a request, if `view` sees some version of it that `constraint`, the request's field `field`, concerns: who
/// may see nothing of it hears what is said of a package that does not exist.
async fn package(
    app: &App,
    view: &View,
    name: Option<String>,
    field: &str,
    constraint: &str,
) -> Result<PackageName, Failure> {
    let name =
        name.ok_or_else(|| Failure::invalid_field("package", "is required: name the package, like `acme/lib`"))?;
    let name = PackageName::parse_ignoring_case(&name)
        .map_err(|error| Failure::invalid_field("package", error.to_string()))?;
    require_concern(app, view, &name, field, constraint).await?;
    Ok(name)
}

/// Refuses a constraint that concerns no version of a package that `view` sees.
async fn require_concern(
    app: &App,
    view: &View,
    package: &PackageName,
    field: &str,
    constraint: &str,
) -> Result<(), Failure> {
    if matches!(view.version_filter(package.as_str()), VersionFilter::All) {
        return Ok(());
    }
    let concerns = Concerns::load(app, view, [package.as_str()]).await?;
    if !concerns.sees_part_of(package.as_str()) {
        return Err(unknown(package));
    }
    if concerns.is_shown(package.as_str(), constraint) {
        return Ok(());
    }
    let detail = format!("concerns no version of {package} that your token sees. Use one that sees the versions");
    Err(Failure::invalid_field(field, detail))
}

fn unknown(package: &PackageName) -> Failure {
    Failure::invalid_field("package", format!("{package} is not published here. Publish it first."))
}

fn conflict(words: &'static str) -> impl FnOnce(DatabaseError) -> Failure {
    move |error| match error {
        DatabaseError::Conflict(_) => Failure::new(Kind::Conflict, words),
        DatabaseError::Fault(fault) => fault.into(),
    }
}

/// Writes an advisory down; `keep` makes a statement of its public id that belongs to the same batch.
///
/// # Errors
/// `Invalid` for a wrong field or a package that is not published; `Conflict` for an `advisory_id` that is taken.
pub async fn report(
    app: &App,
    by: &Actor,
    mut spec: AdvisorySpec,
    keep: impl FnOnce(&str) -> Option<Stmt>,
) -> Result<AdvisoryRow, Failure> {
    spec.check()?;
    let name = spec.package.take();
    let required = |field: &str| Failure::invalid_field(field, "is required");
    let title = spec.title.as_deref().ok_or_else(|| required("title"))?;
    let affected = spec.affected_versions.as_deref().ok_or_else(|| required("affected_versions"))?;
    let package = package(app, &by.view, name, "affected_versions", affected).await?;
    let now = app.now();
    let uid = new_uid(&*app.ports.entropy, now)?;
    // The tail of the id is its random part.
    let made_up = || format!("RSA-{}", &uid.replace('-', "")[16..]);
    let advisory_id = spec.advisory_id.clone().unwrap_or_else(made_up);
    let new = NewAdvisory {
        uid: &uid,
        advisory_id: &advisory_id,
        package_name: package.as_str(),
        affected_versions: affected.trim(),
        title: title.trim(),
        cve: named(&spec.cve).map(|text| text.trim()),
        link: named(&spec.link).map(String::as_str),
        severity: named(&spec.severity).map(String::as_str),
        sources: spec.sources_json().unwrap_or_else(|| "[]".to_owned()),
        reported_at: spec.reported_at.unwrap_or(now),
    };
    let event = AuditEvent {
        action: "advisory.created",
        target: &uid,
        label: Some(&advisory_id),
        details: json!({ "package": new.package_name, "affected_versions": new.affected_versions }),
    };
    let recorded = by.record(app, &event)?;
    let keep = keep(&uid);
    let row = store::insert_advisory(&*app.ports.database, by.organization(), new, now, recorded, keep).await.map_err(
        conflict("There is an advisory with this `advisory_id` already. Change that one, or choose another id."),
    )?;
    app.memory.invalidate_published(by.organization());
    row.ok_or_else(|| unknown(&package))
}

/// An advisory that concerns a version that `view` sees.
pub async fn get(app: &App, view: &View, uid: &str) -> Result<AdvisoryRow, Failure> {
    let found = app.ports.database.ask(store::advisory(view.organization(), uid)).await?;
    let concerns = Concerns::load(app, view, found.iter().map(|row| row.package_name.as_str())).await?;
    let is_shown = |row: &AdvisoryRow| concerns.is_shown(&row.package_name, &row.affected_versions);
    found.filter(is_shown).ok_or_else(|| Failure::not_found("Advisory"))
}

/// Changes what the request names, and nothing else.
pub async fn change(app: &App, by: &Actor, uid: &str, spec: AdvisorySpec) -> Result<AdvisoryRow, Failure> {
    for (field, is_named) in [("package", spec.package.is_some()), ("advisory_id", spec.advisory_id.is_some())] {
        if is_named {
            return Err(Failure::invalid_field(field, "cannot be changed. Remove the advisory and write another."));
        }
    }
    spec.check()?;
    let known = get(app, &by.view, uid).await?;
    if let (Some(affected), Ok(package)) = (&spec.affected_versions, PackageName::parse(&known.package_name)) {
        require_concern(app, &by.view, &package, "affected_versions", affected).await?;
    }
    let event =
        AuditEvent { action: "advisory.changed", target: uid, label: Some(&known.advisory_id), details: spec.named() };
    let recorded = by.record(app, &event)?;
    let changes = AdvisoryChanges {
        sources: spec.sources_json(),
        affected_versions: spec.affected_versions.map(|text| text.trim().to_owned()),
        title: spec.title.map(|text| text.trim().to_owned()),
        cve: spec.cve,
        link: spec.link,
        severity: spec.severity,
        reported_at: spec.reported_at,
    };
    let key = NoticeKey { uid, package: &known.package_name };
    let row =
        store::update_advisory(&*app.ports.database, by.organization(), key, changes, app.now(), recorded).await?;
    app.memory.invalidate_published(by.organization());
    row.ok_or_else(|| Failure::not_found("Advisory"))
}

/// Removes an advisory.
pub async fn withdraw(app: &App, by: &Actor, uid: &str) -> Result<(), Failure> {
    let known = get(app, &by.view, uid).await?;
    let details = json!({ "package": known.package_name });
    let recorded = by.record(
        app,
        &AuditEvent { action: "advisory.removed", target: uid, label: Some(&known.advisory_id), details },
    )?;
    let key = NoticeKey { uid, package: &known.package_name };
    store::delete_advisory(&*app.ports.database, by.organization(), key, app.now(), recorded).await?;
    app.memory.invalidate_published(by.organization());
    Ok(())
}

/// A page of the advisories, newest first, and how many match in all; for whoever sees everything: a page of what is left over
/// after hiding some would give away how many are hidden.
pub async fn list(
    app: &App,
    view: &View,
    filter: NoticeFilter<'_>,
    page: Page,
) -> Result<(Vec<AdvisoryRow>, i64), Failure> {
    Ok(store::advisories(&*app.ports.database, view.organization(), filter, page).await?)
}

/// Most advisories of one package that are listed: a package has a few.
const MAX_OF_PACKAGE: Page = Page { limit: 1000, offset: 0 };

/// A page of the advisories of a package that concern a version which `view` sees, newest first, and how many there are in all.
pub async fn of_package(app: &App, view: &View, package: &str, page: Page) -> Result<(Vec<AdvisoryRow>, i64), Failure> {
    let filter = NoticeFilter { package: Some(package), class: None };
    let (mut rows, _) = list(app, view, filter, MAX_OF_PACKAGE).await?;
    let concerns = Concerns::load(app, view, [package]).await?;
    rows.retain(|row| concerns.is_shown(&row.package_name, &row.affected_versions));
    Ok(page.of(rows))
}

/// An entry of a filter list about to be written down.
#[derive(Debug, Clone, Default)]
pub struct EntrySpec {
    /// `malware`, or a name of the operator's own.
    pub list: Option<String>,
    /// `vendor/package`.
    pub package: Option<String>,
    /// Composer constraint; every version when it is left out.
    pub constraint: Option<String>,
    /// What people are told.
    pub reason: Option<String>,
    /// Where to read more.
    pub url: Option<String>,
    /// Who says so.
    pub source: Option<String>,
}

impl EntrySpec {
    fn check(&self, list: &str) -> Result<(), Failure> {
        let mut wrong = FieldErrors::default();
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if list.is_empty()
            || list.len() > 50
            || !list.chars().all(plain)
            || !list.starts_with(|c: char| c.is_ascii_lowercase())
        {
            wrong.push("list", "must be up to 50 lower-case letters, digits and dashes, like `malware`");
        } else if is_reserved_list(list) {
            wrong.push("list", "is a name that Composer ignores. Choose another");
        }
        check_constraint(&mut wrong, "constraint", self.constraint.as_deref());
        wrong.check_text("reason", self.reason.as_deref(), MAX_TEXT);
        wrong.check_text("source", self.source.as_deref(), MAX_TEXT);
        wrong.check_link("url", self.url.as_deref(), MAX_URL);
        wrong.into_result()
    }
}

/// Puts versions of a package on a filter list.
///
/// # Errors
/// `Invalid` for a wrong field or a package that is not published; `Conflict` when the list has the same versions.
pub async fn flag(app: &App, by: &Actor, spec: EntrySpec) -> Result<FilterEntryRow, Failure> {
    let list = spec.list.clone().unwrap_or_else(|| MALWARE.to_owned());
    spec.check(&list)?;
    let constraint = spec.constraint.map_or_else(|| "*".to_owned(), |text| text.trim().to_owned());
    let package = package(app, &by.view, spec.package, "constraint", &constraint).await?;
    let now = app.now();
    let row = FilterEntryRow {
        uid: new_uid(&*app.ports.entropy, now)?,
        list,
        package_name: package.as_str().to_owned(),
        version_constraint: constraint,
        reason: spec.reason.map(|text| text.trim().to_owned()),
        url: spec.url,
        source: spec.source.map(|text| text.trim().to_owned()),
        created_at: now,
    };
    let event = AuditEvent {
        action: "filter_entry.created",
        target: &row.uid,
        label: Some(&row.package_name),
        details: json!({ "list": row.list, "constraint": row.version_constraint }),
    };
    let recorded = by.record(app, &event)?;
    let written = store::insert_filter_entry(&*app.ports.database, by.organization(), &row, recorded)
        .await
        .map_err(conflict("This list has these versions of the package already."))?;
    app.memory.invalidate_published(by.organization());
    if written { Ok(row) } else { Err(unknown(&package)) }
}

/// Takes versions off a filter list.
pub async fn unflag(app: &App, by: &Actor, uid: &str) -> Result<(), Failure> {
    let absent = || Failure::not_found("Filter entry");
    let found = app.ports.database.ask(store::filter_entry(by.organization(), uid)).await?;
    let concerns = Concerns::load(app, &by.view, found.iter().map(|row| row.package_name.as_str())).await?;
    let is_shown = |row: &FilterEntryRow| concerns.is_shown(&row.package_name, &row.version_constraint);
    let known = found.filter(is_shown).ok_or_else(absent)?;
    let details = json!({ "list": known.list });
    let event = AuditEvent { action: "filter_entry.removed", target: uid, label: Some(&known.package_name), details };
    let recorded = by.record(app, &event)?;
    let key = NoticeKey { uid, package: &known.package_name };
    store::delete_filter_entry(&*app.ports.database, by.organization(), key, app.now(), recorded).await?;
    app.memory.invalidate_published(by.organization());
    Ok(())
}

/// A page of the filter entries, newest first, and how many match in all; for the same as [`list`].
pub async fn entries(
    app: &App,
    view: &View,
    filter: NoticeFilter<'_>,
    page: Page,
) -> Result<(Vec<FilterEntryRow>, i64), Failure> {
    Ok(store::filter_entries(&*app.ports.database, view.organization(), filter, page).await?)
}
