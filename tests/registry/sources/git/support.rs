//! What metadata says of a repository's pages and of who may be funded, where a composer.json does not say it.

use rostrum::registry::operations::jobs::perform;
use serde_json::{Value, json};

use crate::support::{ADMIN, Repo, Step, TestConsumer, TestRegistry, file, manifest};

const FUNDING: &str = "github: [ada]\ncustom: https://acme.test/pay\n";

/// A repository at GitHub with a FUNDING.yml, published.
async fn published(registry: &TestRegistry, more: &[crate::support::File]) -> (Repo, String) {
    let repo = registry.git_host.serve("acme/lib");
    repo.commit(&[&[file(".github/FUNDING.yml", FUNDING), file(".github/big.bin", vec![7; 4096])], more].concat());
    repo.tag("v1.0.0");
    let id = registry.register_as(json!({"url": repo.url, "vcs_type": "github"})).await;
    registry.run_until_idle().await;
    (repo, id)
}

async fn shown_to_developers(registry: &TestRegistry, part: &str) -> Value {
    registry.get_from_new_isolate(&format!("/p2/acme/lib{part}.json")).await.expect(200).versions("acme/lib").remove(0)
}

async fn shown_to_customers(registry: &TestRegistry, consumer: &TestConsumer, part: &str) -> Value {
    let path = format!("/p2/acme/lib{part}.json");
    let reply = consumer.get(&registry.another_isolate(), &path).send().await.expect(200);
    assert!(!reply.text().contains("git.test"), "{}", reply.text());
    assert!(!reply.text().contains("rostrum-filled-in"), "{}", reply.text());
    reply.versions("acme/lib").remove(0)
}

fn funding() -> Value {
    json!([{"type": "github", "url": "https://github.com/ada"}, {"type": "custom", "url": "https://acme.test/pay"}])
}

#[tokio::test]
async fn developers_are_led_to_the_pages_of_the_repository_and_customers_are_not() {
    let registry = TestRegistry::new();
    published(&registry, &[manifest("acme/lib")]).await;
    let consumer = registry.consumer().await;
    let beta = json!({"consumer_id": consumer.id, "package": "acme/lib", "version": "*", "minimum_stability": "dev"});
    registry.storefront_post("/permissions", &beta).send().await.expect(201);
    let home = "https://git.test/acme/lib";
    for (part, label) in [("", "v1.0.0"), ("~dev", "main")] {
        let entry = shown_to_developers(&registry, part).await;
        assert_eq!(
            entry["support"],
            json!({"source": format!("{home}/tree/{label}"), "issues": format!("{home}/issues")})
        );
        assert_eq!(entry["funding"], funding());
        let entry = shown_to_customers(&registry, &consumer, part).await;
        assert_eq!((entry.get("support"), entry.get("funding"), entry.get("source")), (None, None, None));
    }
    let token = registry.reader().await;
    let plain = registry.get("/p2/acme/lib.json").basic(&token).send().await.expect(200).json();
    assert_eq!(plain["packages"]["acme/lib"]["v1.0.0"]["support"]["issues"], format!("{home}/issues"));
}

#[tokio::test]
async fn what_the_author_states_is_shown_to_everybody_as_it_is() {
    let registry = TestRegistry::new();
    let stated = r#"{"name":"acme/lib","support":{"issues":"https://acme.test/help","email":"help@acme.test"},
        "funding":[{"type":"custom","url":"https://acme.test/thanks"}]}"#;
    published(&registry, &[file("composer.json", stated)]).await;
    let consumer = registry.consumer().await;
    registry.grant(&consumer, "acme/lib", "*").await;
    let support = json!({"issues": "https://acme.test/help", "email": "help@acme.test"});
    let funding = json!([{"type": "custom", "url": "https://acme.test/thanks"}]);
    let entry = shown_to_customers(&registry, &consumer, "").await;
    assert_eq!((&entry["support"], &entry["funding"]), (&support, &funding));
    let entry = shown_to_developers(&registry, "").await;
    let mut with_source = support;
    with_source["source"] = json!("https://git.test/acme/lib/tree/v1.0.0");
    assert_eq!((&entry["support"], &entry["funding"]), (&with_source, &funding));
}

#[tokio::test]
async fn a_customer_of_many_versions_is_shown_none_of_their_pages() {
    let registry = TestRegistry::new();
    let stated = r#"{"name":"acme/lib","support":{"email":"help@acme.test"}}"#;
    let (repo, id) = published(&registry, &[manifest("acme/lib")]).await;
    repo.commit(&[file("composer.json", stated)]);
    repo.tag("v1.1.0");
    repo.commit(&[manifest("acme/lib")]);
    repo.tag("v1.2.0");
    registry.sync(&id).await;
    let consumer = registry.consumer().await;
    registry.grant(&consumer, "acme/lib", "*").await;
    let reply = consumer.get(&registry.another_isolate(), "/p2/acme/lib.json").send().await.expect(200);
    let supports: Vec<Option<Value>> =
        reply.versions("acme/lib").iter().map(|entry| entry.get("support").cloned()).collect();
    assert_eq!(supports, [None, Some(json!({"email": "help@acme.test"})), None]);
}

#[tokio::test]
async fn a_funding_file_is_fetched_when_it_is_another_one_and_goes_with_its_file() {
    let registry = TestRegistry::new();
    let (repo, id) = published(&registry, &[manifest("acme/lib")]).await;
    // The builds of the zips, which follow, fetch too.
    let fetches_of_a_sync = async || {
        registry.post(&format!("/api/repositories/{id}/sync")).bearer(ADMIN).send().await.expect(200);
        registry.git_host.take_steps();
        let job = registry.tasks.next_job().expect("the sync");
        perform(&registry.isolate.app, job).await.expect("synced");
        let fetches = registry.git_host.take_steps().into_iter().filter(|step| *step == Step::Fetch).count();
        registry.run_until_idle().await;
        fetches
    };
    repo.commit(&[file(".github/FUNDING.yml", FUNDING), manifest("acme/lib"), file("new.php", "<?php")]);
    assert_eq!(fetches_of_a_sync().await, 1, "the file is the same");
    assert_eq!(shown_to_developers(&registry, "~dev").await["funding"], funding());
    repo.commit(&[file(".github/FUNDING.yml", "patreon: ada\n"), manifest("acme/lib")]);
    assert_eq!(fetches_of_a_sync().await, 2);
    let patreon = json!([{"type": "patreon", "url": "https://www.patreon.com/ada"}]);
    for part in ["", "~dev"] {
        assert_eq!(shown_to_developers(&registry, part).await["funding"], patreon, "as Composer, for every version");
    }
    repo.commit(&[manifest("acme/lib")]);
    registry.sync(&id).await;
    assert_eq!(shown_to_developers(&registry, "~dev").await.get("funding"), None);
}

#[tokio::test]
async fn a_funding_file_is_read_from_servers_of_every_ability() {
    for forbidden in [None, Some("combine"), Some("tree"), Some("blob:none")] {
        let registry = TestRegistry::new();
        let repo = registry.git_host.serve("acme/lib");
        repo.commit(&[file(".github/FUNDING.yml", FUNDING), manifest("acme/lib")]);
        match forbidden {
            None => registry.git_host.forbid_filters(&repo),
            Some(kind) => registry.git_host.forbid_filter(&repo, kind),
        }
        registry.register_as(json!({"url": repo.url, "vcs_type": "github"})).await;
        registry.run_until_idle().await;
        let shown = shown_to_developers(&registry, "~dev").await;
        assert_eq!(shown["funding"], funding(), "{forbidden:?}");
    }
}

#[tokio::test]
async fn no_pages_are_made_up_for_a_host_of_which_nothing_is_known() {
    let registry = TestRegistry::new();
    let repo = registry.git_host.serve("acme/lib");
    repo.commit(&[file(".github/FUNDING.yml", FUNDING), manifest("acme/lib")]);
    repo.tag("v1.0.0");
    registry.register(&repo).await;
    registry.run_until_idle().await;
    let entry = shown_to_developers(&registry, "").await;
    assert_eq!((entry.get("support"), entry.get("funding")), (None, None));
}
