//! Links in zips, by whatever system the zip says that it was made on.

use crate::support::TestRegistry;
use crate::support::zips::{ZipEntry, made_on, package_with, text, with_file_type, zip_of};

#[tokio::test]
async fn the_bits_of_a_link_are_believed_whatever_system_the_zip_was_made_on() {
    for system in [0, 3, 7, 10, 19, 255] {
        for (target, reason) in [
            ("/etc/passwd", "the symlink link is unsafe: its target is absolute"),
            ("../outside", "the symlink link is unsafe: its target may lie outside"),
        ] {
            let registry = TestRegistry::new();
            let zip = made_on(package_with(ZipEntry::Link("link", target)), system);
            let reply = registry.upload("acme/lib", "1.0.0", zip).await;
            assert_eq!(reply.status, 400, "{system}: {}", reply.text());
            assert!(reply.text().contains(reason), "{system}: {}", reply.text());
        }
    }
}

#[tokio::test]
async fn an_error_repeats_only_the_beginning_of_a_long_name() {
    let registry = TestRegistry::new();
    let long = format!("a/{}/../b", "x".repeat(60_000));
    let reply = registry.upload("acme/lib", "1.0.0", package_with(ZipEntry::Directory(&long))).await;
    assert_eq!(reply.status, 400);
    assert!(reply.text().len() < 2_000, "{} bytes", reply.text().len());
}

#[tokio::test]
async fn devices_sockets_and_pipes_are_refused() {
    for mode in [0o020_644, 0o060_644, 0o010_644, 0o140_644] {
        let registry = TestRegistry::new();
        let zip = with_file_type(package_with(text("device", "")), mode);
        let reply = registry.upload("acme/lib", "1.0.0", zip).await;
        assert_eq!(reply.status, 400, "{mode:o}: {}", reply.text());
        let reason = "the entry device is neither a file nor a directory nor a symlink";
        assert!(reply.text().contains(reason), "{mode:o}: {}", reply.text());
    }
}

#[tokio::test]
async fn a_zip_of_more_than_twenty_thousand_files_is_refused() {
    let names: Vec<String> = (0..20_000).map(|number| format!("f{number}")).collect();
    let mut entries: Vec<ZipEntry<'_>> = names.iter().map(|name| text(name, "")).collect();
    entries.push(text("composer.json", r#"{"name":"acme/lib"}"#));
    let registry = TestRegistry::new();
    let reply = registry.upload("acme/lib", "1.0.0", zip_of(&entries)).await.expect(400);
    assert!(reply.text().contains("it has more than 20000 files and directories"), "{}", reply.text());
    entries.remove(0);
    registry.upload("acme/lib", "1.0.0", zip_of(&entries)).await.expect(201);
}
