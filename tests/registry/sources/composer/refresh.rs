//! Syncs of upstreams that are asked by name: what is asked for again, and when.

use serde_json::json;

use crate::sources::composer::lookup::{INTERVAL, SATIS, read};
use crate::support::{ADMIN, TestRegistry, upstream_version};

/// More than one sync asks for.
const PACKAGES: usize = 60;

#[tokio::test]
async fn a_sync_that_is_requested_asks_for_every_known_package_again_and_others_only_for_old_answers() {
    let registry = TestRegistry::new();
    registry.composer_host.lazy(SATIS);
    let publish = |version: &str| {
        for number in 0..PACKAGES {
            let name = format!("vendor/lib{number}");
            registry.composer_host.publish(SATIS, &name, &[upstream_version(SATIS, &name, version)]);
        }
    };
    publish("1.0.0");
    let id = registry.upstream(SATIS).await;
    let token = registry.reader().await;
    for number in 0..PACKAGES {
        read(&registry, &token, &format!("/p2/vendor/lib{number}.json")).await.expect(200);
    }
    publish("1.1.0");
    registry.advance_seconds(1);
    registry.cron().await;
    registry.run_until_idle().await;
    registry.composer_host.take_requests();
    let asked = || {
        let urls = registry.composer_host.take_urls();
        urls.iter().filter(|url| url.contains("/p2/") && !url.contains("~dev")).count()
    };
    registry.post(&format!("/api/repositories/{id}/sync")).bearer(ADMIN).json(&json!({})).send().await.expect(200);
    registry.run_until_idle().await;
    assert_eq!(asked(), PACKAGES);
    let last = format!("/p2/vendor/lib{}.json", PACKAGES - 1);
    for path in ["/p2/vendor/lib0.json", &last] {
        let name = path.trim_start_matches("/p2/").trim_end_matches(".json");
        assert_eq!(registry.get_from_new_isolate(path).await.version_names(name), ["1.1.0"]);
    }
    // It was asked for once; cron asks for what is old.
    registry.advance_seconds(INTERVAL / 2);
    registry.cron().await;
    registry.run_until_idle().await;
    assert_eq!(asked(), 0);
}
