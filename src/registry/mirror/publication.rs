//! Writing what upstreams have: any number of packages in one batch, all of them or none.

use std::time::Duration;

use serde_json::json;

use crate::composer::PackageName;
use crate::ports::Stmt;
use crate::registry::App;
use crate::registry::failure::{Failure, Kind};
use crate::registry::ids::new_uid;
use crate::registry::memory::Place;
use crate::registry::mirror::intake::Intake;
use crate::store::mirror_publication::{
    MirroredDist, MirroredDocument, MirroredVersion, PackageUpsert, Source, guard, replace_documents, settle_versions,
    upsert_dists, upsert_packages, upsert_versions,
};
use crate::store::mirrors::{self, AnswerUpsert, KnownVersion, Ownership, note_answers};
use crate::store::organizations::{self, Touched};
use crate::store::packages::{self, NameAndRevision};
use crate::store::run;

/// Bytes of one part of a document: as a string inside of JSON it may be twice as long, and D1 takes 2 MB a value.
const PART_BYTES: usize = 500_000;

/// How long a package waits for others that are being published.
const PATIENCE: Duration = Duration::from_mins(1);

/// Waits for the isolate's one place for rendering and publishing: a package with a thousand versions takes tens of
/// megabytes while that is done, and composer asks for a dozen packages at a time.
pub async fn turn_to_publish(app: &App) -> Result<Place, Failure> {
    let words = "Too many packages are being mirrored at the moment. Try again.";
    app.wait_for_place(&["publish"], PATIENCE).await.ok_or_else(|| Failure::new(Kind::Upstream, words))
}

/// A package that is to be published, and whose it was when that was decided.
pub struct Incoming {
    /// What upstream has.
    pub intake: Intake,
    /// Whose the name is.
    pub ownership: Ownership,
    /// What is noted of the upstream's answer.
    pub answer: AnswerUpsert,
}

/// Names as one JSON argument.
pub fn names_json<'n>(names: impl IntoIterator<Item = &'n PackageName>) -> String {
    let names: Vec<&str> = names.into_iter().map(PackageName::as_str).collect();
    json!(names).to_string()
}

/// The versions of packages that are published now.
pub async fn known_versions(
    app: &App,
    organization_id: i64,
    names: &[PackageName],
) -> Result<Vec<KnownVersion>, Failure> {
    let stmt = mirrors::known_versions(organization_id, names_json(names));
    Ok(run(&*app.ports.database, stmt).await?.decode()?)
}

/// Publishes packages of one upstream, all or nothing; `extra` goes into the same batch. Says what they are then.
///
/// # Errors
/// When one of them belongs to somebody else by now, the repository has another address, or the database failed;
/// nothing is written then.
pub async fn publish(
    app: &App,
    source: Source<'_>,
    incoming: Vec<Incoming>,
    extra: Vec<Stmt>,
) -> Result<Vec<NameAndRevision>, Failure> {
    let names = names_json(incoming.iter().map(|one| &one.intake.name));
    let mut rows = Rows::default();
    for one in incoming {
        rows.add(new_uid(&*app.ports.entropy, source.now)?, one);
    }
    let mut batch = vec![
        guard(source, &rows.packages),
        organizations::touch(source.organization_id, Touched::Versions, source.now),
    ];
    batch.extend(upsert_packages(source, &rows.packages));
    batch.extend(upsert_versions(source, &rows.versions));
    batch.push(settle_versions(source, names.clone()));
    batch.extend(upsert_dists(source, &rows.dists));
    batch.extend(replace_documents(source, names.clone(), &rows.documents));
    batch.extend(note_answers(&rows.answers, source.now));
    batch.extend(extra);
    batch.push(packages::revisions(source.organization_id, names));
    drop(rows);
    Ok(app.ports.database.batch(batch).await?.pop().unwrap_or_default().decode()?)
}

/// Packages as rows.
#[derive(Default)]
struct Rows {
    packages: Vec<PackageUpsert>,
    versions: Vec<MirroredVersion>,
    dists: Vec<MirroredDist>,
    documents: Vec<MirroredDocument>,
    answers: Vec<AnswerUpsert>,
}

impl Rows {
    fn add(&mut self, uid: String, Incoming { intake, ownership, answer }: Incoming) {
        let summary = intake.rendered.summary;
        self.packages.push(PackageUpsert {
            uid,
            name: intake.name.to_string(),
            owner: ownership.owner,
            revision: ownership.revision,
            description: summary.description,
            package_type: summary.package_type,
            abandoned: summary.abandoned,
            latest_version: summary.latest_version,
            version_index: summary.version_index,
        });
        for (stability, text) in [("stable", &intake.rendered.stable), ("dev", &intake.rendered.dev)] {
            for (part, body) in crate::store::publication::parts(text, PART_BYTES).into_iter().enumerate() {
                let name = intake.name.to_string();
                self.documents.push(MirroredDocument { name, stability, part, body: body.to_owned() });
            }
        }
        self.versions.extend(intake.versions);
        self.dists.extend(intake.dists);
        self.answers.push(answer);
    }
}
