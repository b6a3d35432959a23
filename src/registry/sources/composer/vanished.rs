//! What becomes of a package that its upstream has no longer. Whoever installs it goes on doing so: its versions and their
//! archives stay, marked abandoned, and the mark is taken back when the package is there again. The setting
//! `retire_vanished_packages` takes it out of the metadata instead.
//!
//! A package is gone when the upstream says so of its name (404), or lists others and not this one. One that is named
//! without any version stays as it is: that is how a repository answers whose permission has ended.

use std::collections::{HashMap, HashSet};

use composer::PackageName;
use serde_json::json;

use crate::registry::access::view::read_index;
use crate::registry::kernel::failure::Failure;
use crate::registry::kernel::ids::new_uid;
use crate::registry::packages::publish::{PackagePlan, Plan, publish};
use crate::registry::packages::render::{Abandoned, render_abandoned};
use crate::registry::sources::composer::import_batch::{ImportBatch, Left, VanishedPackage};
use crate::store::kernel::audit::{NewRepositoryEntry, record_by_repository};
use crate::store::kernel::organizations::Touched;
use crate::store::packages::authority::{AnswerKind, PreviousAnswer};
use crate::store::packages::publication::{KnownPackage, LiveVersions};
use crate::store::packages::state::listed_names;
use crate::store::sources::upstream_answers::{self, MirroredPart, NameRow, NewAnswer, SkippedVersion};

/// Names that are looked up together: one parameter of a statement holds them.
const LOOKED_UP_AT_ONCE: usize = 1000;

/// Packages that are marked in one batch: their documents are in memory together.
const MARKED_AT_ONCE: usize = 10;

impl ImportBatch<'_> {
    /// Keeps what was noted as vanished, or has it leave the metadata.
    pub(super) async fn settle_vanished(&mut self) -> Result<(), Failure> {
        let mut vanished = std::mem::take(&mut self.vanished);
        if vanished.is_empty() {
            return Ok(());
        }
        if self.app.ports.database.ask(upstream_answers::retires_vanished(self.organization)).await? {
            for VanishedPackage { name, left } in vanished {
                self.leaving.push(name.to_string());
                self.record_left(&name, left);
            }
            return Ok(());
        }
        while !vanished.is_empty() {
            let rest = vanished.split_off(vanished.len().min(LOOKED_UP_AT_ONCE));
            let newly = self.keep(std::mem::replace(&mut vanished, rest)).await?;
            for some in newly.chunks(MARKED_AT_ONCE) {
                self.mark(some).await?;
            }
        }
        Ok(())
    }

    /// Records what the upstream has left of a package of which nothing is kept.
    fn record_left(&mut self, name: &PackageName, left: Left) {
        let (answer, published) = left.into_answer();
        self.record_answer(name, Ok(answer), published);
    }

    /// Keeps the packages of which anything is published from here; those that are to be marked.
    async fn keep(&mut self, vanished: Vec<VanishedPackage>) -> Result<Vec<NewlyVanished>, Failure> {
        let names: Vec<&PackageName> = vanished.iter().map(|package| &package.name).collect();
        let reads = (
            upstream_answers::ownership(self.organization, self.upstream.id, json!(names).to_string()),
            listed_names(self.organization, self.upstream.id),
        );
        let (known, listed) = self.app.ports.database.ask(reads).await?;
        let mut known: HashMap<String, NameRow> = known.into_iter().map(|row| (row.name.clone(), row)).collect();
        let listed: HashSet<String> = listed.into_iter().map(|row| row.name).collect();
        let mut newly = Vec::new();
        for VanishedPackage { name, left } in vanished {
            let Some(known) = known.remove(name.as_str()).filter(|_| listed.contains(name.as_str())) else {
                self.record_left(&name, left);
                continue;
            };
            self.has_kept = true;
            match left {
                Left::Name(_) => {
                    let reason = "it is named there without any version; those that it had are kept as they were";
                    self.noted.push(kept(&name, reason.to_owned(), known.has_vanished));
                }
                Left::Nothing if known.has_vanished => self.noted.push(self.gone(&name)),
                Left::Nothing => newly.push(NewlyVanished { name, known }),
            }
        }
        Ok(newly)
    }

    /// What is noted of a package that is kept because it is gone.
    fn gone(&self, name: &PackageName) -> NewAnswer {
        let url = &self.upstream.url;
        kept(name, format!("it is no longer at {url}; what it had is kept, marked abandoned"), true)
    }

    /// Publishes packages as abandoned, and writes down why.
    async fn mark(&self, packages: &[NewlyVanished]) -> Result<(), Failure> {
        let now = self.app.now();
        let names: Vec<&PackageName> = packages.iter().map(|package| &package.name).collect();
        let documents =
            upstream_answers::mirrored_documents(self.organization, self.upstream.id, json!(names).to_string());
        let documents = self.app.ports.database.ask(documents).await?;
        // Their names are announced from now on, if the upstream announces them no longer.
        let mut plan = Plan { touched: Touched::Names, ..self.new_plan() };
        let (mut answers, mut entries) = (Vec::new(), Vec::new());
        for package in packages {
            let name = &package.name;
            let parts: Vec<&MirroredPart> = documents.iter().filter(|part| part.name == name.as_str()).collect();
            if parts.is_empty() {
                // Somebody has just taken it out of the metadata.
                continue;
            }
            plan.packages.push(package.abandoned(&parts)?);
            answers.push(self.gone(name));
            entries.push(NewRepositoryEntry {
                uid: new_uid(&*self.app.ports.entropy, now)?,
                label: name.to_string(),
                details: json!({ "package": name, "repository": self.upstream.url }),
            });
        }
        let after = (
            upstream_answers::record_answer(self.upstream.id, answers, now),
            record_by_repository(self.organization, &self.upstream.uid, "package.vanished", &entries, now),
        );
        publish(self.app, plan, after).await?;
        self.app.memory.invalidate_published(self.organization);
        Ok(())
    }
}

/// A package that is found gone for the first time.
struct NewlyVanished {
    name: PackageName,
    known: NameRow,
}

impl NewlyVanished {
    /// The plan of the package as an abandoned one; `parts` are those of its documents.
    fn abandoned(&self, parts: &[&MirroredPart]) -> Result<PackagePlan, Failure> {
        let Self { name, known } = self;
        let text = |stability| -> String {
            parts.iter().filter(|part| part.stability == stability).map(|part| part.body.as_str()).collect()
        };
        let index = read_index(parts.first().map(|part| part.version_index.as_str()));
        let Abandoned { rendered, default_branch } =
            render_abandoned(name, [&text("stable"), &text("dev")], &index).map_err(Failure::internal)?;
        let versions = index.into_iter().map(|version| version.normalized).collect();
        Ok(PackagePlan {
            name: name.clone(),
            known: KnownPackage { repository_id: known.ownership.owner, revision: known.ownership.revision },
            rendered,
            live: LiveVersions { package: name.to_string(), versions, default_branch },
            released_at: None,
        })
    }
}

/// What is noted of a package that is kept: it stays found. It is asked for without conditions, so that it is published anew
/// when it is there again, even if it is what it was.
fn kept(name: &PackageName, reason: String, has_vanished: bool) -> NewAnswer {
    NewAnswer {
        name: name.to_string(),
        answer: Ok(AnswerKind::Found),
        published: PreviousAnswer::default(),
        has_vanished,
        skipped: vec![SkippedVersion { version: String::new(), reason }],
    }
}
