//! A whole registry in process: the real router and use cases on the real SQL, with a real git server to sync from.
//!
//! [`TestRegistry`] is one deployment. Its ports count their calls and fail on demand; its clock stands still until the
//! test moves it; its background work and jobs wait for [`TestRegistry::run_until_idle`].

pub mod client;
pub mod composer_host;
pub mod database;
pub mod environment;
pub mod faults;
pub mod git_host;
pub mod lfs_host;
pub mod logs;
pub mod meter;
pub mod registries;
pub mod repo;
pub mod storage;
pub mod storefront;
pub mod users;
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
use rostrum::store::organizations::profiles::{NewOrganization, insert};
use serde_json::{Value, json};

pub use client::{ORIGIN, TestRequest, TestResponse, send_concurrently, statuses_of_concurrent};

pub use composer_host::{ComposerHost, RecordedPost, RecordedRequest, sha1_of, upstream_version, zip_of};
pub use environment::START;
pub use git_host::{GitHost, HostFault, Protocol, Step};
pub use lfs_host::{LfsHost, pointer_to};
pub use meter::{Calls, FaultTiming, Port, PortMeter};
pub use repo::{File, Repo, file, manifest, noise};
pub use storefront::TestConsumer;
pub use users::{PASSWORD, TestUser, token_of};

use composer_host::TestNetwork;
use database::Sqlite;
use environment::{DeterministicEntropy, ManualClock, TestTasks};
use registries::Registries;
use storage::{MemoryBlobs, MemoryCache};

/// The administrator's token.
pub const ADMIN: &str = "the-administrators-token";

/// One isolate: it shares everything with the others but its memory.
#[derive(Clone)]
pub struct TestIsolate {
    pub app: App,
    router: Router,
}

impl TestIsolate {
    pub fn get(&self, path: &str) -> TestRequest {
        self.request(Method::GET, path)
    }

    pub fn request(&self, method: Method, path: &str) -> TestRequest {
        TestRequest::new(self.app.clone(), self.router.clone(), method, path)
    }
}

/// A deployment.
pub struct TestRegistry {
    pub database: Arc<Sqlite>,
    pub blobs: Arc<MemoryBlobs>,
    pub cache: Arc<MemoryCache>,
    pub git_host: GitHost,
    pub composer_host: ComposerHost,
    pub lfs_host: LfsHost,
    pub registries: Registries,
    pub tasks: Arc<TestTasks>,
    pub meter: PortMeter,
    pub clock: Arc<ManualClock>,
    pub isolate: TestIsolate,
}

impl TestRegistry {
    pub fn new() -> Self {
        Self::with(|_| {})
    }

    /// A deployment with other settings.
    pub fn with(set: impl FnOnce(&mut Config)) -> Self {
        logs::begin();
        let meter = PortMeter::default();
        let clock = Arc::new(ManualClock::new());
        let database = Arc::new(Sqlite::new(meter.clone()));
        // The migration dates the root organization by the real clock.
        let created = START.seconds() - 24 * 3600;
        database.execute(&format!("UPDATE organizations SET revision = {created}, names_revision = {created}"));
        let blobs = Arc::new(MemoryBlobs::new(meter.clone()));
        let cache = Arc::new(MemoryCache::new(clock.clone(), meter.clone()));
        let git_host = GitHost::new(meter.clone(), clock.clone());
        let composer_host = ComposerHost::new(meter.clone());
        let lfs_host = LfsHost::default();
        let registries = Registries::default();
        let tasks = Arc::new(TestTasks::new(meter.clone()));
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
            rate_limiter: None,
            http_client: Arc::new(TestNetwork {
                git: git_host.clone(),
                composer: composer_host.clone(),
                lfs: lfs_host.clone(),
                registries: registries.clone(),
            }),
            clock: clock.clone(),
            entropy: Arc::new(DeterministicEntropy::default()),
            tasks: tasks.clone(),
        };
        let app = App { ports, config: Arc::new(config), memory: Arc::new(Memory::default()) };
        Self {
            database,
            blobs,
            cache,
            git_host,
            composer_host,
            lfs_host,
            registries,
            tasks,
            meter,
            clock,
            isolate: TestIsolate { app, router: router() },
        }
    }

    /// Another isolate of the same deployment, whose caches are empty.
    pub fn another_isolate(&self) -> TestIsolate {
        let app = App { memory: Arc::new(Memory::default()), ..self.isolate.app.clone() };
        TestIsolate { app, router: self.isolate.router.clone() }
    }

    // ------------------------------------------------------------------------------------------ requests

    pub fn get(&self, path: &str) -> TestRequest {
        self.isolate.get(path)
    }

    pub fn head(&self, path: &str) -> TestRequest {
        self.isolate.request(Method::HEAD, path)
    }

    pub fn post(&self, path: &str) -> TestRequest {
        self.isolate.request(Method::POST, path)
    }

    pub fn put(&self, path: &str) -> TestRequest {
        self.isolate.request(Method::PUT, path)
    }

    pub fn patch(&self, path: &str) -> TestRequest {
        self.isolate.request(Method::PATCH, path)
    }

    pub fn delete(&self, path: &str) -> TestRequest {
        self.isolate.request(Method::DELETE, path)
    }

    /// A new token that may read every package.
    pub async fn reader(&self) -> String {
        self.token(&json!({ "description": "a reader" })).await.1
    }

    /// The names that the `list` has for a token.
    pub async fn listed_names(&self, token: &str) -> Value {
        let list = self.get("/list.json").basic(token).composer().send().await.expect(200);
        list.json()["packageNames"].clone()
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
        let new = NewOrganization { uid: &uid, slug, name: slug, description: None };
        insert(&*app.ports.database, new, app.now(), None).await.expect("the slug is free");
    }

    // ------------------------------------------------------------------------------------------ repositories

    /// A new repository at `https://git.test/{name}.git` with one commit of a package of that name on `main`.
    pub fn repository(&self, name: &str) -> Repo {
        let repo = self.git_host.serve(name);
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
        self.run_until_idle().await;
        self.composer_host.take_requests();
        id
    }

    /// Changes the settings.
    pub async fn set(&self, settings: Value) {
        self.patch("/api/settings").bearer(ADMIN).json(&settings).send().await.expect(200);
        self.run_until_idle().await;
        self.composer_host.take_requests();
    }

    /// A repository with these tags on its only commit, registered and synced.
    pub async fn published(&self, name: &str, tags: &[&str]) -> (Repo, String) {
        let repo = self.repository(name);
        for tag in tags {
            repo.tag(tag);
        }
        let id = self.register(&repo).await;
        self.run_until_idle().await;
        (repo, id)
    }

    /// Asks for a sync and waits for it.
    pub async fn sync(&self, id: &str) -> Value {
        self.post(&format!("/api/repositories/{id}/sync")).bearer(ADMIN).send().await.expect(200);
        self.run_until_idle().await;
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
    pub async fn upload(&self, name: &str, version: &str, zip: impl Into<bytes::Bytes>) -> TestResponse {
        self.put(&format!("/api/packages/{name}/versions/{version}")).bearer(ADMIN).body(zip).send().await
    }

    /// What the administrator's composer gets from an isolate whose caches are empty.
    pub async fn get_from_new_isolate(&self, path: &str) -> TestResponse {
        self.another_isolate().get(path).bearer(ADMIN).composer().send().await
    }

    // ------------------------------------------------------------------------------------------ time and work

    pub fn advance(&self, span: Duration) {
        self.clock.advance(span);
    }

    /// Whether the clock was asked to wake anybody since the last call of this.
    pub fn has_waited(&self) -> bool {
        !self.clock.take_slept().is_empty()
    }

    /// Whether somebody slept for exactly so many seconds, since the last call of this.
    /// From now on upstreams send a byte in each `pause`.
    pub fn drip_upstreams(&self, piece: usize, pause: Duration) {
        self.composer_host.drip(&self.clock, piece, pause);
    }

    pub fn has_slept(&self, seconds: u64) -> bool {
        self.clock.take_slept().contains(&Duration::from_secs(seconds))
    }

    pub fn advance_seconds(&self, seconds: u64) {
        self.advance(Duration::from_secs(seconds));
    }

    /// Does the background work and the jobs until nothing is left. None of them may fail.
    pub async fn run_until_idle(&self) {
        let failures = self.run_until_idle_with_failures().await;
        assert!(failures.is_empty(), "{failures:?}");
    }

    /// The same for jobs that may fail; each is tried once.
    pub async fn run_until_idle_with_failures(&self) -> Vec<(Job, Failure)> {
        let mut failures = Vec::new();
        for _ in 0..1000 {
            if let Some(work) = self.tasks.next_background() {
                work.await;
            } else if let Some(job) = self.tasks.next_job() {
                if let Err(failure) = perform(&self.isolate.app, job.clone()).await {
                    failures.push((job, failure));
                }
            } else {
                return failures;
            }
        }
        panic!("the work never ends");
    }

    /// Does `work`, and the jobs meanwhile that come.
    pub async fn while_jobs_run<T>(&self, work: impl Future<Output = T>) -> T {
        let jobs = async {
            loop {
                match self.tasks.next_job() {
                    Some(job) => drop(perform(&self.isolate.app, job).await),
                    None => tokio::task::yield_now().await,
                }
            }
        };
        tokio::select! {
            biased;
            result = work => result,
            () = jobs => unreachable!("the jobs never end"),
        }
    }

    /// What cron does: puts the due repositories on the queue; says how many.
    pub async fn cron(&self) -> usize {
        cron::run_scheduled(&self.isolate.app).await.expect("cron works")
    }

    /// The calls of the ports while `work` is done.
    pub async fn counted<T>(&self, work: impl Future<Output = T>) -> (T, Calls) {
        self.meter.reset();
        let result = work.await;
        (result, self.meter.calls())
    }
}
