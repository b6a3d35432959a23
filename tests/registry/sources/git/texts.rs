//! The texts that a version brings along: README, changelog, licence and composer.json, and the limits of their size.

use std::time::Duration;

use rostrum::ports::Database as _;
use rostrum::store::packages::texts::{NewText, delete_unreferenced_texts, insert_texts};
use serde_json::json;

use crate::support::faults::count;
use crate::support::{ADMIN, File, Repo, TestRegistry, file, manifest};

const DAY: Duration = Duration::from_hours(24);

#[tokio::test]
async fn readme_changelog_and_licence_are_kept_for_every_version() {
    let registry = TestRegistry::new();
    let repo = registry.git_host.serve("acme/lib");
    repo.commit(&[manifest("acme/lib"), file("README.md", "# One"), file("LICENSE", "MIT")]);
    repo.tag("1.0.0");
    repo.commit(&[
        manifest("acme/lib"),
        file("README.md", "# Two"),
        file("LICENSE", "MIT"),
        file("CHANGELOG.md", "new"),
    ]);
    repo.tag("2.0.0");
    registry.register(&repo).await;
    registry.run_until_idle().await;
    let kept = registry.database.rows(
        "SELECT v.pretty || ' ' || f.kind || ' ' || f.name || ' ' || t.content AS row FROM version_files f
           JOIN versions v ON v.id = f.version_id JOIN texts t ON t.sha256 = f.text_sha256
          WHERE v.ref_name LIKE 'refs/tags/%' ORDER BY v.pretty, f.kind",
    );
    let kept: Vec<&str> = kept.iter().map(|row| row["row"].as_str().expect("text")).collect();
    assert_eq!(
        kept,
        [
            "1.0.0 license LICENSE MIT",
            "1.0.0 readme README.md # One",
            "2.0.0 changelog CHANGELOG.md new",
            "2.0.0 license LICENSE MIT",
            "2.0.0 readme README.md # Two",
        ]
    );
    assert_eq!(registry.database.rows("SELECT count(*) AS n FROM texts"), [json!({"n": 4})], "one text, stored once");
}

#[tokio::test]
async fn a_text_that_is_too_long_is_left_out_and_costs_its_version_nothing() {
    for (filters, path) in [(true, ""), (true, "tool/"), (false, ""), (false, "tool/")] {
        let registry = TestRegistry::new();
        let repo = registry.git_host.serve("acme/lib");
        if !filters {
            registry.git_host.forbid_filters(&repo);
        }
        let at = |File { path: name, mode, content }: File| File { path: format!("{path}{name}"), mode, content };
        // Longer than is kept, and longer than any object that is held in memory.
        let long = [file("README.md", vec![b'r'; 200_001]), file("CHANGELOG.md", vec![b'c'; 9 << 20])];
        repo.commit(
            &[manifest("acme/lib"), file("LICENSE", "MIT")].into_iter().chain(long).map(at).collect::<Vec<_>>(),
        );
        repo.tag("1.0.0");
        registry.register_as(json!({"url": repo.url, "path": path})).await;
        registry.run_until_idle().await;
        assert_eq!(registry.skipped(), [], "{filters} {path}");
        let kept = registry.database.rows("SELECT DISTINCT name FROM version_files");
        assert_eq!(kept, [json!({"name": "LICENSE"})], "{filters} {path}");
    }
}

#[tokio::test]
async fn a_manifest_that_is_too_long_is_a_skipped_version_however_it_is_fetched() {
    for filters in [true, false] {
        let registry = TestRegistry::new();
        let repo = registry.git_host.serve("acme/lib");
        if !filters {
            registry.git_host.forbid_filters(&repo);
        }
        let long = format!(r#"{{"name":"acme/lib","description":"{}"}}"#, "x".repeat(9 << 20));
        repo.commit(&[file("composer.json", long)]);
        repo.tag("1.0.0");
        repo.commit(&[manifest("acme/lib")]);
        registry.register(&repo).await;
        registry.run_until_idle().await;
        let reason = "composer.json is larger than 200 kB".to_owned();
        assert_eq!(registry.skipped(), [("refs/tags/1.0.0".to_owned(), reason)], "{filters}");
    }
}

/// As many versions with a README of 100 kB each.
fn long_versions(repo: &Repo, number: usize) {
    for at in 0..number {
        repo.commit(&[manifest("acme/lib"), file("README.md", format!("{at} {}", "long ".repeat(20_000)))]);
        repo.tag(&format!("1.{at}.0"));
    }
}

#[tokio::test]
async fn the_texts_of_many_versions_are_never_in_one_batch() {
    let registry = TestRegistry::new();
    let repo = registry.git_host.serve("acme/lib");
    long_versions(&repo, 40);
    registry.register(&repo).await;
    registry.run_until_idle().await;
    let largest = registry.meter.largest_batch();
    assert!(largest < 1_300_000, "{largest} bytes of 4 MB");
    let kept = "SELECT count(*) AS n FROM version_files f JOIN texts t ON t.sha256 = f.text_sha256
                 WHERE length(t.content) > 100000";
    assert_eq!(registry.database.rows(kept), [json!({"n": 41})], "those of the tags and of main");
}

#[tokio::test]
async fn texts_wait_a_day_for_their_versions_and_no_longer() {
    let registry = TestRegistry::new();
    let (_, first) = registry.published("acme/lib", &["1.0.0"]).await;
    let repo = registry.git_host.serve("acme/second");
    long_versions(&repo, 12);
    let id = registry.register(&repo).await;
    registry.run_until_idle().await;
    assert_eq!(count(&registry, "texts"), 11, "the other repository has the name; the last text waits for its version");

    registry.advance_seconds(23 * 3600);
    registry.cron().await;
    assert_eq!(count(&registry, "texts"), 11, "a sync may be about to publish them");
    registry.delete(&format!("/api/repositories/{first}")).bearer(ADMIN).send().await.expect(200);
    registry.post(&format!("/api/repositories/{id}/sync")).bearer(ADMIN).send().await.expect(200);
    registry.run_until_idle().await;
    assert_eq!((count(&registry, "version_files"), count(&registry, "texts")), (13, 12));

    registry.advance_seconds(25 * 3600);
    registry.cron().await;
    assert_eq!(count(&registry, "texts"), 12, "they are needed");
    registry.delete(&format!("/api/repositories/{id}")).bearer(ADMIN).send().await.expect(200);
    registry.advance_seconds(3600);
    registry.cron().await;
    assert_eq!(count(&registry, "texts"), 0);
}

#[tokio::test]
async fn a_text_that_is_stored_again_waits_from_then_on() {
    let registry = TestRegistry::new();
    let text = NewText { sha256: "a".repeat(64), content: "MIT".to_owned() };
    let store = || registry.database.batch(insert_texts(std::slice::from_ref(&text), registry.isolate.app.now()));
    let forget = || registry.database.batch(vec![delete_unreferenced_texts(registry.isolate.app.now().minus(DAY))]);
    store().await.expect("stored");
    registry.advance_seconds(23 * 3600);
    store().await.expect("stored again");
    registry.advance_seconds(23 * 3600);
    forget().await.expect("looked at");
    assert_eq!(count(&registry, "texts"), 1);
    registry.advance_seconds(2 * 3600);
    forget().await.expect("looked at");
    assert_eq!(count(&registry, "texts"), 0);
}
