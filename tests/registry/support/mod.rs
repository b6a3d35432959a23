//! A whole registry in process: the real router and use cases on the real SQL, with a real git server to sync from.
//!
//! [`World`] is one deployment. Its ports count what they are asked and break when they are told to; its clock stands
//! still until the test moves it; its background work and jobs wait for [`World::settle`].

pub mod client;
pub mod composer_host;
pub mod database;
pub mod faults;
pub mod git_host;
pub mod logs;
pub mod meter;
pub mod people;
pub mod repo;
pub mod shop;
pub mod storage;
pub mod surroundings;
pub mod zips;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use http::Method;
use rostrum::http::router;
use rostrum::ports::Job;
use rostrum::registry::kernel::app::{App, Config, Ports};
use rostrum::registry::kernel::failure::Failure;
use rostrum::registry::kernel::ids::new_uid;
use rostrum::registry::kernel::memory::Memory;
use rostrum::registry::kernel::secrets::{Keyring, TokenHash};
use rostrum::registry::operations::cron;
use rostrum::registry::operations::jobs::perform;
use rostrum::store::kernel::organizations;
use serde_json::{Value, json};

pub use client::{Ask, ORIGIN, Reply, at_once, statuses_at_once};

pub use composer_host::{ComposerHost, Heard, Posted, sha1_of, upstream_version, zip_of};
pub use git_host::{GitHost, Step, Trouble};
pub use meter::{Calls, Meter, Moment, Port};
pub use people::{PASSWORD, Person, token_of};
pub use repo::{File, Repo, file, manifest};
pub use shop::Customer;
pub use surroundings::DAWN;

use composer_host::Internet;
use database::Sqlite;
use storage::{Kv, Shelf};
use surroundings::{Chance, Desk, ManualClock};

/// The administrator's token.
pub const ADMIN: &str = "the-administrators-token";

/// One isolate: it shares everything with the others but its memory.
#[derive(Clone)]
pub struct Isolate {
    pub app: App,
    router: Router,
}

impl Isolate {
    pub fn get(&self, path: &str) -> Ask {
        self.ask(Method::GET, path)
    }

    pub fn ask(&self, method: Method, path: &str) -> Ask {
        Ask::new(self.app.clone(), self.router.clone(), method, path)
    }
}

/// A deployment.
pub struct World {
    pub database: Arc<Sqlite>,
    pub blobs: Arc<Shelf>,
    pub cache: Arc<Kv>,
    pub host: GitHost,
    pub far: ComposerHost,
    pub desk: Arc<Desk>,
    pub meter: Meter,
    clock: Arc<ManualClock>,
    pub isolate: Isolate,
}

impl World {
    pub fn new() -> Self {
        Self::with(|_| {})
    }

    /// A deployment with other settings.
    pub fn with(set: impl FnOnce(&mut Config)) -> Self {
        logs::begin();
        let meter = Meter::default();
        let clock = Arc::new(ManualClock::new());
        let database = Arc::new(Sqlite::new(meter.clone()));
        // The migration dates the root organization by the real clock.
        let birth = DAWN.seconds() - 24 * 3600;
        database.execute(&format!("UPDATE organizations SET revision = {birth}, names_revision = {birth}"));
        let blobs = Arc::new(Shelf::new(meter.clone()));
        let cache = Arc::new(Kv::new(clock.clone(), meter.clone()));
        let host = GitHost::new(meter.clone());
        let far = ComposerHost::new(meter.clone());
        let desk = Arc::new(Desk::new(meter.clone()));
        let mut config = Config {
            admin_token: Some(TokenHash::of(ADMIN)),
            keyring: Keyring::parse(&hex::encode([7; 32])).expect("a key"),
            ..Config::default()
        };
        set(&mut config);
        let ports = Ports {
            database: database.clone(),
            blobs: blobs.clone(),
            cache: cache.clone(),
            upstream: Arc::new(Internet { git: host.clone(), composer: far.clone() }),
            clock: clock.clone(),
            entropy: Arc::new(Chance::default()),
            tasks: desk.clone(),
        };
        let app = App { ports, config: Arc::new(config), memory: Arc::new(Memory::default()) };
        Self { database, blobs, cache, host, far, desk, meter, clock, isolate: Isolate { app, router: router() } }
    }

    /// Another isolate of the same deployment, that remembers nothing yet.
    pub fn another_isolate(&self) -> Isolate {
        let app = App { memory: Arc::new(Memory::default()), ..self.isolate.app.clone() };
        Isolate { app, router: self.isolate.router.clone() }
    }

    // ------------------------------------------------------------------------------------------ requests

    pub fn get(&self, path: &str) -> Ask {
        self.isolate.get(path)
    }

    pub fn head(&self, path: &str) -> Ask {
        self.isolate.ask(Method::HEAD, path)
    }

    pub fn post(&self, path: &str) -> Ask {
        self.isolate.ask(Method::POST, path)
    }

    pub fn put(&self, path: &str) -> Ask {
        self.isolate.ask(Method::PUT, path)
    }

    pub fn patch(&self, path: &str) -> Ask {
        self.isolate.ask(Method::PATCH, path)
    }

    pub fn delete(&self, path: &str) -> Ask {
        self.isolate.ask(Method::DELETE, path)
    }

    /// A new token that may read every package.
    pub async fn reader(&self) -> String {
        self.token(&json!({ "description": "a reader" })).await.1
    }

    /// A new token; its id and itself.
    pub async fn token(&self, spec: &Value) -> (String, String) {
        let reply = self.post("/api/tokens").bearer(ADMIN).json(spec).send().await.expect(201);
        (reply.id(), reply.json()["token"].as_str().expect("the token").to_owned())
    }

    /// Makes a second organization.
    pub async fn organization(&self, slug: &str) {
        let app = &self.isolate.app;
        let uid = new_uid(&*app.ports.entropy, app.now()).expect("entropy");
        let made = organizations::insert(&*app.ports.database, &uid, slug, slug, app.now()).await;
        made.expect("the slug is free").expect("made");
    }

    // ------------------------------------------------------------------------------------------ repositories

    /// A new repository at `https://git.test/{name}.git` with one commit of a package of that name on `main`.
    pub fn repository(&self, name: &str) -> Repo {
        let repo = self.host.serve(name);
        repo.commit(&[manifest(name), file("src/Lib.php", "<?php\n")]);
        repo
    }

    /// Registers a repository, and leaves its sync on the queue; says its id.
    pub async fn register(&self, repo: &Repo) -> String {
        self.register_as(json!({ "url": repo.url })).await
    }

    pub async fn register_as(&self, spec: Value) -> String {
        self.post("/api/repositories").bearer(ADMIN).json(&spec).send().await.expect(201).id()
    }

    /// Registers the upstream at `origin`, which is asked by name, and reads its root; says its id.
    pub async fn upstream(&self, origin: &str) -> String {
        self.upstream_as(json!({ "url": origin })).await
    }

    pub async fn upstream_as(&self, mut spec: Value) -> String {
        spec["kind"] = json!("composer");
        let id = self.register_as(spec).await;
        self.settle().await;
        self.far.take_heard();
        id
    }

    /// Changes the settings.
    pub async fn set(&self, settings: Value) {
        self.patch("/api/settings").bearer(ADMIN).json(&settings).send().await.expect(200);
        self.settle().await;
        self.far.take_heard();
    }

    /// A repository with these tags on its only commit, registered and synced.
    pub async fn published(&self, name: &str, tags: &[&str]) -> (Repo, String) {
        let repo = self.repository(name);
        for tag in tags {
            repo.tag(tag);
        }
        let id = self.register(&repo).await;
        self.settle().await;
        (repo, id)
    }

    /// Asks for a sync and waits for it.
    pub async fn sync(&self, id: &str) -> Value {
        self.post(&format!("/api/repositories/{id}/sync")).bearer(ADMIN).send().await.expect(200);
        self.settle().await;
        self.repository_view(id).await
    }

    /// What the API says of a repository.
    pub async fn repository_view(&self, id: &str) -> Value {
        self.get(&format!("/api/repositories/{id}")).bearer(ADMIN).send().await.expect(200).json()
    }

    /// The runs of all repositories, the latest last.
    pub fn runs(&self) -> Vec<Value> {
        self.database.rows("SELECT * FROM sync_runs ORDER BY id")
    }

    pub fn last_run(&self) -> Value {
        self.runs().pop().expect("there was a run")
    }

    /// What the last run left out: ref and reason.
    pub fn skipped(&self) -> Vec<(String, String)> {
        let run = self.last_run();
        let skipped: Vec<Value> = serde_json::from_str(run["skipped"].as_str().expect("text")).expect("JSON");
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        skipped.iter().map(|skipped| (text(&skipped["ref"]), text(&skipped["reason"]))).collect()
    }

    /// Uploads a zip as a version of the package `name`.
    pub async fn upload(&self, name: &str, version: &str, zip: impl Into<bytes::Bytes>) -> Reply {
        self.put(&format!("/api/packages/{name}/versions/{version}")).bearer(ADMIN).body(zip).send().await
    }

    /// What the administrator's composer gets from an isolate that remembers nothing.
    pub async fn fresh(&self, path: &str) -> Reply {
        self.another_isolate().get(path).bearer(ADMIN).composer().send().await
    }

    // ------------------------------------------------------------------------------------------ time and work

    pub fn advance(&self, span: Duration) {
        self.clock.advance(span);
    }

    pub fn advance_seconds(&self, seconds: u64) {
        self.advance(Duration::from_secs(seconds));
    }

    /// Does the background work and the jobs until nothing is left. None of them may fail.
    pub async fn settle(&self) {
        let failures = self.settle_with_failures().await;
        assert!(failures.is_empty(), "{failures:?}");
    }

    /// The same for jobs that may fail; each is tried once.
    pub async fn settle_with_failures(&self) -> Vec<(Job, Failure)> {
        let mut failures = Vec::new();
        for _ in 0..1000 {
            if let Some(work) = self.desk.next_background() {
                work.await;
            } else if let Some(job) = self.desk.next_job() {
                if let Err(failure) = perform(&self.isolate.app, job.clone()).await {
                    failures.push((job, failure));
                }
            } else {
                return failures;
            }
        }
        panic!("the work never ends");
    }

    /// What cron does: puts the due repositories on the queue; says how many.
    pub async fn cron(&self) -> usize {
        cron::tick(&self.isolate.app).await.expect("cron works")
    }

    /// The calls of the ports while `work` is done.
    pub async fn counted<T>(&self, work: impl Future<Output = T>) -> (T, Calls) {
        self.meter.reset();
        let result = work.await;
        (result, self.meter.calls())
    }
}
