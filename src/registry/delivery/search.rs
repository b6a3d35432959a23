//! Searching for packages by words, and asking who provides one.

use crate::registry::access::view::View;
use crate::registry::delivery::root::listed_names;
use crate::registry::kernel::app::App;
use crate::registry::kernel::failure::Failure;
use crate::registry::packages::read;
use crate::registry::packages::visible::{others_in_view, told};
use crate::store::Page;
use crate::store::packages::lists::{PackageFilter, PackageRow, Sort, SortKey, search_words};
use crate::store::packages::visible::{self, ProviderRow};

/// Most packages of one answer; composer requests no further pages.
const MAX_RESULTS: usize = 100;
/// Most packages that are told of as providing one.
const MAX_PROVIDERS: i64 = 1000;
/// Shortest words that may be misspelled.
const MIN_MISSPELLED: usize = 4;
/// Words of at least so many characters may be misspelled twice.
const MIN_MISSPELLED_TWICE: usize = 8;

/// The packages that `view` sees whose name, description or keywords hold every word of `text`, the best first, and how many
/// there are in all. When there is none, those whose names are like the words.
pub async fn search(
    app: &App,
    view: &View,
    text: Option<&str>,
    package_type: Option<&str>,
) -> Result<(Vec<PackageRow>, i64), Failure> {
    let sort = Sort { key: SortKey::Relevance, descending: true };
    let page = Page { limit: i64::try_from(MAX_RESULTS).unwrap_or(i64::MAX), offset: 0 };
    let filter = PackageFilter { search: text, package_type, ..PackageFilter::default() };
    let (found, total) = read::list(app, view, filter, sort, page).await?;
    let words = text.map(search_words).unwrap_or_default();
    if total > 0 || words.is_empty() {
        return Ok((found, total));
    }
    let names = similar(listed_names(app, view, None, None).await?, &words);
    if names.is_empty() {
        return Ok((found, total));
    }
    let filter = PackageFilter { names: Some(&names), package_type, ..PackageFilter::default() };
    let (mut found, total) = read::list(app, view, filter, sort, page).await?;
    found.sort_by_key(|row| names.iter().position(|name| *name == row.name));
    Ok((found, total))
}

/// Those of `names` that every word is like a part of, the likest first.
fn similar(names: Vec<String>, words: &[String]) -> Vec<String> {
    let mut found: Vec<(usize, String)> = names
        .into_iter()
        .filter_map(|name| {
            let distances = words.iter().map(|word| distance(&name, word));
            Some((distances.sum::<Option<usize>>()?, name))
        })
        .collect();
    found.sort_unstable();
    found.truncate(MAX_RESULTS);
    found.into_iter().map(|(_, name)| name).collect()
}

/// How many letters of a word are wrong, missing, too many or in the wrong order, for it to be a part of `name`; `None` when
/// that is too many.
fn distance(name: &str, word: &str) -> Option<usize> {
    if name.contains(word) {
        return Some(0);
    }
    let allowed = match word.chars().count() {
        ..MIN_MISSPELLED => return None,
        MIN_MISSPELLED..MIN_MISSPELLED_TWICE => 1,
        MIN_MISSPELLED_TWICE.. => 2,
    };
    let parts = name.split(|character: char| !character.is_ascii_alphanumeric());
    let near = parts.filter(|part| part.len().abs_diff(word.len()) <= allowed);
    near.map(|part| strsim::osa_distance(part, word)).min().filter(|distance| *distance <= allowed)
}

/// The packages that `view` sees whose newest visible version provides the package `name`.
pub async fn providers(app: &App, view: &View, name: &str) -> Result<Vec<ProviderRow>, Failure> {
    let shown = told(view, &others_in_view(app, view).await?);
    let query = visible::providers(view.organization(), &name.to_ascii_lowercase(), MAX_PROVIDERS, &shown);
    Ok(app.ports.database.ask(query).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_may_be_misspelled_the_more_the_longer_it_is() {
        for (word, expected) in [
            ("monolog", Some(0)),
            ("mono", Some(0)),
            ("monologg", Some(1)),
            ("mnoolog", Some(1)),
            ("manalog", None),
            ("handlre", Some(1)),
            ("han", Some(0)),
            ("hna", None),
        ] {
            assert_eq!(distance("monolog/log-handler", word), expected, "{word}");
        }
        assert_eq!(distance("acme/notification", "notifcatoin"), Some(2));
    }

    #[test]
    fn every_word_has_to_be_like_something_and_the_likest_come_first() {
        let names = ["acme/monolog-bridge", "monologg/monologg", "acme/bridge"].map(str::to_owned);
        let words = ["monologg".to_owned()];
        assert_eq!(similar(names.to_vec(), &words), ["monologg/monologg", "acme/monolog-bridge"]);
        let words = ["monologg".to_owned(), "acme".to_owned()];
        assert_eq!(similar(names.to_vec(), &words), ["acme/monolog-bridge"]);
    }
}
