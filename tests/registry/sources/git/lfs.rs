//! Files that Git LFS keeps: in the zips of repositories that say so, in place of the pointers to them.

use std::time::Duration;

use bytes::Bytes;
use rostrum::ports::Job;
use rostrum::registry::operations::jobs::perform;
use serde_json::{Value, json};

use crate::delivery::dist::listing;
use crate::support::lfs_host::{OTHER_STORE, STORE, STORE_HEADER, tells_secrets};
use crate::support::{
    ADMIN, File, HostFault, Repo, Step, TestRegistry, file, logs, manifest, noise, pointer_to, sha1_of,
};

const LOGO: &[u8] = b"the logo itself";
const MODEL: &[u8] = b"the model itself, which is larger";
/// `ada:secret`, which the repository has.
const LOGIN: &str = "Basic YWRhOnNlY3JldA==";

fn rules() -> File {
    file(".gitattributes", "*.lfs filter=lfs diff=lfs merge=lfs -text\n")
}

/// A package with two files that Git LFS keeps, one that only looks so, and one whose attributes say so.
fn package(registry: &TestRegistry) -> Vec<File> {
    vec![
        rules(),
        manifest("acme/lib"),
        file("assets/logo.lfs", registry.lfs_host.put(LOGO)),
        file("model.lfs", registry.lfs_host.put(MODEL)),
        file("pointer.txt", pointer_to(b"nobody's")),
        file("small.lfs", "never given to Git LFS"),
    ]
}

/// A repository with these files as version 1.0.0, registered with `spec` besides, and nothing built yet.
async fn registered(registry: &TestRegistry, files: &[File], mut spec: Value) -> (Repo, String) {
    let repo = registry.git_host.serve("acme/lib");
    repo.commit(files);
    repo.tag("1.0.0");
    spec["url"] = json!(repo.url);
    let id = registry.register_as(spec).await;
    let sync = registry.tasks.next_job().expect("the sync");
    perform(&registry.isolate.app, sync).await.expect("synced");
    (repo, id)
}

async fn zip(registry: &TestRegistry) -> Bytes {
    registry.get_from_new_isolate("/dist/acme/lib/1.0.0.zip").await.expect(200).body
}

async fn shasum(registry: &TestRegistry) -> String {
    let reply = registry.get_from_new_isolate("/p2/acme/lib.json").await.expect(200);
    reply.versions("acme/lib")[0]["dist"]["shasum"].as_str().expect("text").to_owned()
}

/// What operators are told of pointers in the zip.
async fn told(registry: &TestRegistry) -> Vec<String> {
    let version = registry.get("/api/packages/acme%2Flib/versions/1.0.0").bearer(ADMIN).send().await.expect(200).json();
    let remarks = version["remarks"].as_array().expect("a list").iter();
    remarks
        .map(|remark| {
            assert_eq!(remark["kind"], "lfs_pointers");
            remark["text"].as_str().expect("text").to_owned()
        })
        .collect()
}

#[tokio::test]
async fn a_zip_has_the_files_that_git_lfs_keeps_when_the_repository_says_so() {
    for filters in [true, false] {
        let registry = TestRegistry::new();
        let files = package(&registry);
        let spec = json!({"lfs": true, "auth_credentials": {"username": "ada", "password": "secret"}});
        let (repo, id) = registered(&registry, &files, spec).await;
        assert_eq!(registry.repository_view(&id).await["lfs"], json!(true));
        if !filters {
            registry.git_host.forbid_filters(&repo);
            registry.database.execute("UPDATE repositories SET capabilities = NULL");
        }
        registry.run_until_idle().await;
        let zip = zip(&registry).await;
        let listing = listing(&zip);
        assert_eq!(listing.len(), files.len());
        assert_eq!(listing["assets/logo.lfs"].1, LOGO);
        assert_eq!(listing["model.lfs"].1, MODEL);
        assert_eq!(listing["small.lfs"].1, b"never given to Git LFS");
        assert_eq!(listing["pointer.txt"].1, pointer_to(b"nobody's").as_bytes());
        assert_eq!(shasum(&registry).await, sha1_of(&zip));
        assert_eq!(told(&registry).await, [""; 0]);
        let requests = registry.lfs_host.take_requests();
        assert!(requests.len() > 3);
        for request in requests {
            if request.is_batch() {
                assert_eq!(request.url, format!("{}/info/lfs/objects/batch", repo.url));
                assert_eq!(request.header("authorization"), Some(LOGIN));
                assert_eq!(request.header("content-type"), Some("application/vnd.git-lfs+json"));
                assert_eq!(
                    (&request.body["operation"], &request.body["transfers"]),
                    (&json!("download"), &json!(["basic"]))
                );
            } else {
                assert_eq!((request.header("authorization"), request.header("x-store")), (None, Some(STORE_HEADER)));
            }
        }
        assert!(!tells_secrets(&logs::text()), "{}", logs::text());
    }
}

#[tokio::test]
async fn without_the_option_pointers_stay_and_the_remark_tells_of_it_and_a_change_builds_the_zip_anew() {
    let registry = TestRegistry::new();
    let (_, id) = registered(&registry, &package(&registry), json!({})).await;
    assert_eq!(registry.repository_view(&id).await["lfs"], json!(false));
    registry.run_until_idle().await;
    let with_pointers = zip(&registry).await;
    assert_eq!(listing(&with_pointers)["model.lfs"].1, pointer_to(MODEL).as_bytes());
    assert!(registry.lfs_host.take_requests().is_empty());
    let texts = told(&registry).await;
    let expected = format!(
        "`assets/logo.lfs` is a pointer of Git LFS in the zip, not the file of {} bytes that it stands for. `model.lfs` is a \
         pointer of Git LFS in the zip, not the file of {} bytes that it stands for. To have the files in the zip, set `lfs` \
         of the repository to true.",
        LOGO.len(),
        MODEL.len()
    );
    assert_eq!(texts, [expected]);
    let change = async |lfs: Value| {
        let path = format!("/api/repositories/{id}");
        registry.patch(&path).bearer(ADMIN).json(&json!({"lfs": lfs})).send().await.expect(200);
        assert_eq!(shasum(&registry).await, "", "what is there has another one than the zip to come");
        registry.run_until_idle().await;
    };
    change(json!(true)).await;
    let with_files = zip(&registry).await;
    assert_eq!(listing(&with_files)["model.lfs"].1, MODEL);
    assert_eq!(shasum(&registry).await, sha1_of(&with_files));
    assert_eq!(told(&registry).await, [""; 0]);
    change(json!(null)).await;
    assert!(zip(&registry).await == with_pointers, "the same commit gives the same bytes");
    assert_eq!(shasum(&registry).await, sha1_of(&with_pointers));
    let events = registry.database.rows("SELECT details FROM audit_log WHERE action = 'repository.changed'");
    assert_eq!(events[0]["details"], r#"{"fields":["lfs"]}"#);
}

#[tokio::test]
async fn a_change_of_the_option_leaves_zips_without_pointers_alone() {
    let registry = TestRegistry::new();
    let (_, id) = registered(&registry, &[rules(), manifest("acme/lib")], json!({})).await;
    registry.run_until_idle().await;
    let shasum_before = shasum(&registry).await;
    registry.git_host.take_steps();
    registry
        .patch(&format!("/api/repositories/{id}"))
        .bearer(ADMIN)
        .json(&json!({"lfs": true}))
        .send()
        .await
        .expect(200);
    assert_eq!(shasum(&registry).await, shasum_before);
    registry.run_until_idle().await;
    assert!(!registry.git_host.take_steps().contains(&Step::Fetch));
}

#[tokio::test]
async fn a_zip_that_was_built_while_the_option_changed_is_not_the_versions() {
    for (before, content) in [(true, pointer_to(MODEL).into_bytes()), (false, MODEL.to_vec())] {
        let registry = TestRegistry::new();
        registered(&registry, &package(&registry), json!({"lfs": before})).await;
        let mut next = registry.tasks.next_job();
        if before {
            // The first job only finds out that the zip is one for a job of its own.
            perform(&registry.isolate.app, next.expect("the builds")).await.expect("left to another job");
            next = registry.tasks.next_job();
        }
        registry.git_host.pause(Step::Fetch);
        let change = async {
            registry.git_host.until_paused().await;
            registry.database.execute(&format!("UPDATE repositories SET lfs = {}", i64::from(!before)));
            registry.git_host.resume();
        };
        let (built, ()) = tokio::join!(perform(&registry.isolate.app, next.expect("a build")), change);
        built.expect("built");
        registry.run_until_idle().await;
        registry.advance(Duration::from_hours(1));
        registry.cron().await;
        registry.run_until_idle().await;
        assert!(listing(&zip(&registry).await)["model.lfs"].1 == content, "{before}");
    }
}

#[tokio::test]
async fn a_file_that_the_server_does_not_have_stays_a_pointer_and_is_told_with_its_path() {
    for code in [404, 410] {
        let registry = TestRegistry::new();
        registered(&registry, &package(&registry), json!({"lfs": true})).await;
        registry.lfs_host.refuse(MODEL, code);
        registry.run_until_idle().await;
        let listing = listing(&zip(&registry).await);
        assert_eq!(listing["model.lfs"].1, pointer_to(MODEL).as_bytes());
        assert_eq!(listing["assets/logo.lfs"].1, LOGO);
        let expected = format!(
            "`model.lfs` is a pointer of Git LFS in the zip, because the LFS server does not have the file of {} bytes that it \
             stands for.",
            MODEL.len()
        );
        assert_eq!(told(&registry).await, [expected]);
    }
}

#[tokio::test]
async fn a_server_that_fails_is_told_with_path_and_host_and_asked_again() {
    let wrong = vec![b'x'; LOGO.len()];
    let longer = vec![b'x'; LOGO.len() + 1];
    let (batch, store) = ("git.test", "lfs-store.test");
    for (part, fault, host, words) in [
        (
            "objects/batch",
            HostFault::Status(401),
            batch,
            "it refuses the credentials (HTTP 401); check `auth_credentials`",
        ),
        (
            "objects/batch",
            HostFault::Status(404),
            batch,
            "it has no such repository, or the credentials may not see it",
        ),
        ("objects/batch", HostFault::Status(500), batch, "it answers with HTTP 500"),
        ("objects/batch", HostFault::TimedOut, batch, "the server did not answer within 30 s"),
        ("objects/batch", HostFault::Html, batch, "its answer is not that of an LFS server"),
        (STORE, HostFault::Status(403), store, "it answers with HTTP 403"),
        (STORE, HostFault::Status(503), store, "it answers with HTTP 503"),
        (STORE, HostFault::TimedOut, store, "the server did not answer within 30 s"),
        (STORE, HostFault::BrokenOff, store, "the server's answer broke off: connection reset"),
        (STORE, HostFault::Truncated, store, "it sends 7 bytes or more in place of 15"),
        (STORE, HostFault::Says(longer), store, "it sends 16 bytes or more in place of 15"),
        (STORE, HostFault::Says(wrong), store, "but the pointer promises"),
    ] {
        let registry = TestRegistry::new();
        registered(&registry, &package(&registry), json!({"lfs": true})).await;
        registry.lfs_host.inject_fault(part, fault.clone());
        let failures = registry.run_until_idle_with_failures().await;
        let [(Job::BuildLargeArchive { .. }, first), ..] = &failures[..] else { panic!("{fault:?}: {failures:?}") };
        let expected = format!("the LFS server {host} does not send the file assets/logo.lfs: ");
        assert!(first.detail.contains(&expected) && first.detail.contains(words), "{fault:?}: {}", first.detail);
        assert_eq!(registry.database.rows("SELECT count(error) AS n FROM dists"), [json!({"n": 0})]);
        assert!(registry.blobs.keys().is_empty() && registry.blobs.open_uploads() == 0, "{fault:?}");
        assert!(!tells_secrets(&format!("{} {failures:?}", logs::text())), "{fault:?}");
        registry.lfs_host.recover();
        registry.advance(Duration::from_mins(20));
        registry.cron().await;
        registry.run_until_idle().await;
        assert_eq!(listing(&zip(&registry).await)["assets/logo.lfs"].1, LOGO, "{fault:?}");
    }
}

#[tokio::test]
async fn an_error_of_one_file_that_may_pass_fails_the_build_for_now() {
    let registry = TestRegistry::new();
    registered(&registry, &package(&registry), json!({"lfs": true})).await;
    for code in [401, 403, 422, 500] {
        registry.lfs_host.refuse(MODEL, code);
        let failures = registry.run_until_idle_with_failures().await;
        let words =
            format!("the LFS server git.test does not send the file model.lfs: it answers with the error {code}");
        assert!(failures[0].1.detail.contains(&words), "{failures:?}");
        registry.advance(Duration::from_mins(20));
        registry.cron().await;
    }
    registry.lfs_host.recover();
    registry.run_until_idle().await;
    assert_eq!(listing(&zip(&registry).await)["model.lfs"].1, MODEL);
}

#[tokio::test]
async fn an_lfsconfig_is_heeded_on_the_origin_of_the_repository_alone() {
    for (named, asked, remark) in [
        ("https://git.test/lfs/acme", "https://git.test/lfs/acme/objects/batch", None),
        (
            "https://ada:hidden@lfs-evil.test/acme",
            "https://git.test/acme/lib.git/info/lfs/objects/batch",
            Some(
                "`.lfsconfig` names an LFS server at another address (https://lfs-evil.test), which is not asked: that of the \
                 repository is.",
            ),
        ),
    ] {
        let registry = TestRegistry::new();
        let config = file(".lfsconfig", format!("[lfs]\n\turl = {named}\n"));
        let files = [&package(&registry)[..], &[config]].concat();
        let spec = json!({"lfs": true, "auth_credentials": "ada:secret", "credential_type": "basic"});
        registered(&registry, &files, spec).await;
        registry.run_until_idle().await;
        assert_eq!(listing(&zip(&registry).await)["model.lfs"].1, MODEL);
        let requests = registry.lfs_host.take_requests();
        for request in &requests {
            let is_right = if request.is_batch() { request.url == asked } else { request.url.starts_with(STORE) };
            assert!(is_right, "{}", request.url);
        }
        assert_eq!(told(&registry).await, remark.into_iter().collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn what_one_origin_is_shown_no_other_sees_not_even_by_a_redirect() {
    let registry = TestRegistry::new();
    let spec = json!({"lfs": true, "auth_credentials": "ada:secret", "credential_type": "basic"});
    registered(&registry, &package(&registry), spec).await;
    registry.lfs_host.keep_beside_the_server(LOGO);
    let model =
        pointer_to(MODEL).lines().nth(1).and_then(|line| line.strip_prefix("oid sha256:")).expect("an id").to_owned();
    registry.lfs_host.inject_fault(&format!("{STORE}/{model}"), HostFault::Redirect(format!("{OTHER_STORE}/{model}")));
    registry.lfs_host.inject_fault(
        "git.test/acme/lib.git/info/lfs/objects/batch",
        HostFault::Redirect(format!("{OTHER_STORE}/info/lfs/objects/batch")),
    );
    registry.run_until_idle().await;
    assert_eq!(listing(&zip(&registry).await)["model.lfs"].1, MODEL);
    for request in registry.lfs_host.take_requests() {
        let (login, header) = (request.header("authorization"), request.header("x-store"));
        let expected = match request.url.as_str() {
            url if url.starts_with("https://git.test/") => (Some(LOGIN), None),
            url if url.starts_with(STORE) => (None, Some(STORE_HEADER)),
            _ => (None, None),
        };
        assert_eq!((login, header), expected, "{}", request.url);
    }
}

#[tokio::test]
async fn the_repositorys_login_goes_along_where_the_server_itself_has_the_file() {
    let registry = TestRegistry::new();
    let spec = json!({"lfs": true, "auth_credentials": "ada:secret", "credential_type": "basic"});
    registered(&registry, &package(&registry), spec).await;
    registry.lfs_host.keep_beside_the_server(MODEL);
    registry.run_until_idle().await;
    assert_eq!(listing(&zip(&registry).await)["model.lfs"].1, MODEL);
    let requests = registry.lfs_host.take_requests();
    let beside = requests.iter().find(|request| !request.is_batch() && request.url.contains("git.test"));
    assert_eq!(beside.expect("it was asked").header("authorization"), Some(LOGIN));
}

#[tokio::test]
async fn hundreds_of_files_are_asked_for_by_the_hundred() {
    let registry = TestRegistry::new();
    let contents: Vec<String> = (0..250).map(|number| format!("content {number}")).collect();
    let mut files = vec![rules(), manifest("acme/lib")];
    for (number, content) in contents.iter().enumerate() {
        files.push(file(&format!("{number:03}.lfs"), registry.lfs_host.put(content.as_bytes())));
    }
    registered(&registry, &files, json!({"lfs": true})).await;
    registry.run_until_idle().await;
    let listing = listing(&zip(&registry).await);
    assert!(
        contents
            .iter()
            .enumerate()
            .all(|(number, content)| { listing[&format!("{number:03}.lfs")].1 == content.as_bytes() })
    );
    // Those of the tag and of the branch; which files there are is asked first, and where they are when they are fetched.
    let batches = registry.lfs_host.take_requests().iter().filter(|request| request.is_batch()).count();
    assert_eq!(batches, 2 * (3 + 3));
}

/// A package whose files of Git LFS fill two parts of an upload and more.
async fn of_several_parts(registry: &TestRegistry) -> Vec<Vec<u8>> {
    let contents = [noise(11 << 19), noise(11 << 19).into_iter().rev().collect(), b"the last one".to_vec()];
    let mut files = vec![rules(), manifest("acme/lib"), file("z.php", "<?php")];
    for (name, content) in ["a.lfs", "m.lfs", "x.lfs"].into_iter().zip(&contents) {
        files.push(file(name, registry.lfs_host.put(content)));
    }
    registered(registry, &files, json!({"lfs": true, "branch_filter": ["none"]})).await;
    contents.into()
}

#[tokio::test]
async fn large_files_of_git_lfs_are_written_over_several_jobs_to_the_same_bytes() {
    let registry = TestRegistry::new();
    let contents = of_several_parts(&registry).await;
    registry.run_until_idle().await;
    let in_one_job = zip(&registry).await;
    let listed = listing(&in_one_job);
    assert!(["a.lfs", "m.lfs", "x.lfs"].iter().zip(&contents).all(|(name, content)| listed[*name].1 == *content));
    let registry = TestRegistry::new();
    of_several_parts(&registry).await;
    registry.git_host.slow_down(Duration::from_secs(31));
    let mut jobs = 0;
    while let Some(job) = registry.tasks.next_job() {
        jobs += usize::from(matches!(job, Job::BuildLargeArchive { .. }));
        perform(&registry.isolate.app, job).await.expect("built for a while");
    }
    assert!(jobs > 1, "{jobs}");
    assert!(zip(&registry).await == in_one_job);
}

#[tokio::test]
async fn a_file_that_vanishes_between_two_jobs_has_the_zip_begun_anew() {
    let registry = TestRegistry::new();
    let contents = of_several_parts(&registry).await;
    registry.git_host.slow_down(Duration::from_secs(31));
    while registry.database.rows("SELECT tag FROM archive_parts").is_empty() {
        let job = registry.tasks.next_job().expect("a build");
        perform(&registry.isolate.app, job).await.expect("built for a while");
    }
    registry.git_host.slow_down(Duration::ZERO);
    registry.lfs_host.refuse(&contents[1], 404);
    registry.run_until_idle().await;
    let listing = listing(&zip(&registry).await);
    assert!(listing["a.lfs"].1 == contents[0]);
    assert_eq!(listing["m.lfs"].1, pointer_to(&contents[1]).as_bytes());
    assert_eq!(listing["x.lfs"].1, contents[2]);
}

#[tokio::test]
async fn the_option_is_one_of_git_repositories_and_of_all_packages_of_a_monorepo() {
    let registry = TestRegistry::new();
    let body = json!({"kind": "composer", "url": "https://satis.test", "lfs": true});
    let reply = registry.post("/api/repositories").bearer(ADMIN).json(&body).send().await.expect(400);
    assert!(reply.text().contains("lfs"), "{}", reply.text());
    let repo = registry.git_host.serve("acme/mono");
    repo.commit(&[file("packages/a/composer.json", r#"{"name":"acme/a"}"#)]);
    let body = json!({"url": repo.url, "path": "packages/*", "lfs": true});
    let reply = registry.post("/api/repositories/monorepo").bearer(ADMIN).json(&body).send().await.expect(200);
    assert_eq!(reply.json()["repositories"][0]["lfs"], json!(true));
}

#[tokio::test]
async fn a_large_build_that_is_refused_for_good_leaves_no_upload_behind() {
    let registry = TestRegistry::new();
    let size = "size 12";
    let too_large = registry.lfs_host.put(b"the last one").replace(size, "size 3000000000");
    let files = [rules(), manifest("acme/lib"), file("z.lfs", too_large)];
    let large = file("a.lfs", registry.lfs_host.put(&noise(11 << 19)));
    registered(&registry, &[&files[..], &[large]].concat(), json!({"lfs": true, "branch_filter": ["none"]})).await;
    let mut has_recorded_parts = false;
    registry.git_host.slow_down(Duration::from_secs(31));
    while let Some(job) = registry.tasks.next_job() {
        perform(&registry.isolate.app, job).await.expect("built for a while, or refused");
        has_recorded_parts |= !registry.database.rows("SELECT tag FROM archive_parts").is_empty();
    }
    assert!(has_recorded_parts, "it has come as far as to store a part");
    let error = registry.database.rows("SELECT error FROM dists")[0]["error"].clone();
    assert_eq!(error, json!("the files add up to more than 2147483648 bytes"));
    assert_eq!((registry.blobs.open_uploads(), registry.blobs.keys().len()), (0, 0));
}
