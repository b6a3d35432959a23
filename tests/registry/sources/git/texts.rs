//! The texts that a version brings along: README, changelog, licence and composer.json, and the limits of their size.

use serde_json::json;

use crate::support::{File, TestRegistry, file, manifest};

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
