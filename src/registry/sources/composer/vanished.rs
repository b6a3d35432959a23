//! What becomes of a package that its upstream has no longer. Whoever installs it goes on doing so: its versions and their
//! archives stay, marked abandoned, and the mark is taken back when the package is there again. The setting
//! `retire_vanished_packages` takes it out of the metadata instead.
//!
//! A package is gone when the upstream says so of its name (404), or lists others and not this one. One that is named
//! without any version stays as it is: that is how a repository answers whose permission has ended.

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
use crate::store::sources::upstream_answers::{self, MirroredPart, NameRow, NewAnswer, SkippedVersion};

impl ImportBatch<'_> {
    /// Keeps what was noted as vanished, or has it leave the metadata.
    pub(super) async fn settle_vanished(&mut self) -> Result<(), Failure> {
        let vanished = std::mem::take(&mut self.vanished);
        if vanished.is_empty() {
            return Ok(());
        }
        let retires = self.app.ports.database.ask(upstream_answers::retires_vanished(self.organization)).await?;
        for VanishedPackage { name, left } in vanished {
            if retires {
                self.leaving.push(name.to_string());
                let (answer, published) = left.into_answer();
                self.record_answer(&name, Ok(answer), published);
            } else {
                self.keep(&name, left).await?;
            }
        }
        Ok(())
    }

    /// Keeps a package, if anything of it is published from here.
    async fn keep(&mut self, name: &PackageName, left: Left) -> Result<(), Failure> {
        let names = json!([name]).to_string();
        let reads = (
            upstream_answers::ownership(self.organization, self.upstream.id, names),
            upstream_answers::mirrored_documents(self.organization, self.upstream.id, name.as_str()),
        );
        let (known, parts) = self.app.ports.database.ask(reads).await?;
        let Some(known) = known.into_iter().next().filter(|_| !parts.is_empty()) else {
            let (answer, published) = left.into_answer();
            self.record_answer(name, Ok(answer), published);
            return Ok(());
        };
        self.has_kept = true;
        match left {
            Left::Name(_) => {
                let reason = "it is named there without any version; those that it had are kept as they were";
                self.noted.push(kept(name, reason.to_owned(), known.has_vanished));
            }
            Left::Nothing => {
                let url = &self.upstream.url;
                let answer =
                    kept(name, format!("it is no longer at {url}; what it had is kept, marked abandoned"), true);
                if known.has_vanished {
                    self.noted.push(answer);
                } else {
                    self.mark(name, known, &parts, answer).await?;
                }
            }
        }
        Ok(())
    }

    /// Publishes a package as abandoned, and writes down why.
    async fn mark(
        &self,
        name: &PackageName,
        known: NameRow,
        parts: &[MirroredPart],
        answer: NewAnswer,
    ) -> Result<(), Failure> {
        let now = self.app.now();
        let text = |stability| -> String {
            parts.iter().filter(|part| part.stability == stability).map(|part| part.body.as_str()).collect()
        };
        let index = read_index(parts.first().map(|part| part.version_index.as_str()));
        let Abandoned { rendered, default_branch } =
            render_abandoned(name, [&text("stable"), &text("dev")], &index).map_err(Failure::internal)?;
        let versions = index.into_iter().map(|version| version.normalized).collect();
        let package = PackagePlan {
            name: name.clone(),
            known: KnownPackage { repository_id: known.ownership.owner, revision: known.ownership.revision },
            rendered,
            live: LiveVersions { package: name.to_string(), versions, default_branch },
        };
        let entry = NewRepositoryEntry {
            uid: new_uid(&*self.app.ports.entropy, now)?,
            label: name.to_string(),
            details: json!({ "package": name, "repository": self.upstream.url }),
        };
        // Its name is announced from now on, if the upstream announces it no longer.
        let plan = Plan { touched: Touched::Names, packages: vec![package], ..self.new_plan() };
        let after = (
            upstream_answers::record_answer(self.upstream.id, vec![answer], now),
            record_by_repository(self.organization, &self.upstream.uid, "package.vanished", &[entry], now),
        );
        publish(self.app, plan, after).await?;
        self.app.memory.invalidate_published(self.organization);
        Ok(())
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
