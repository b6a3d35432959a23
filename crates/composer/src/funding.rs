//! `.github/FUNDING.yml`, from which Composer's GitHub driver fills in `funding` where a composer.json has none. GitHub
//! documents a small part of YAML for it: platforms as keys of the top level, each with a text or a list of texts. This reads
//! that part; what else there is in a file is passed over.

use serde_json::{Value, json};

/// Most entries that are taken: GitHub shows no more than a dozen platforms, of some four accounts each.
const MAX_ENTRIES: usize = 50;

/// One way to fund a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Funding {
    /// The platform: `github`, `patreon`, `custom`, …
    pub platform: String,
    /// Where.
    pub url: String,
}

impl Funding {
    /// As metadata has it.
    pub fn to_json(&self) -> Value {
        json!({"type": self.platform, "url": self.url})
    }
}

/// Reads a FUNDING.yml. What is no account of a known platform and no address is passed over.
pub fn read_funding(text: &str) -> Vec<Funding> {
    let entries = entries(text).into_iter();
    entries
        .filter_map(|Entry { platform, account }| Some(Funding { url: url(&platform, &account)?, platform }))
        .take(MAX_ENTRIES)
        .collect()
}

/// An account as it is written.
struct Entry {
    platform: String,
    account: String,
}

/// What the value of a key goes on with in the lines below it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum List {
    /// Lines that begin with a dash.
    Block,
    /// Anything up to the closing bracket.
    Flow,
}

fn entries(text: &str) -> Vec<Entry> {
    let mut entries = Vec::new();
    let mut open: Option<(String, List)> = None;
    for line in text.lines().map(without_comment) {
        if let Some((platform, List::Flow)) = &open {
            let (items, rest) = line.split_once(']').map_or((line, None), |(items, rest)| (items, Some(rest)));
            add(&mut entries, platform, items);
            if rest.is_some() {
                open = None;
            }
        } else if let Some((platform, item)) = open.as_ref().zip(line.trim_start().strip_prefix('-')) {
            add(&mut entries, &platform.0, item);
        } else if let Some((key, value)) = key_and_value(line) {
            open = match value.strip_prefix('[') {
                None if value.is_empty() => Some((key.to_owned(), List::Block)),
                None => {
                    entries.push(Entry { platform: key.to_owned(), account: unquoted(value).to_owned() });
                    None
                }
                Some(list) => {
                    let (items, is_whole) = list.split_once(']').map_or((list, false), |(items, _)| (items, true));
                    add(&mut entries, key, items);
                    (!is_whole).then(|| (key.to_owned(), List::Flow))
                }
            };
        }
    }
    entries
}

/// A line up to its comment: a `#` at its beginning or behind a blank, unless a quote is open.
fn without_comment(line: &str) -> &str {
    let mut quote = None;
    let mut before = ' ';
    for (at, c) in line.char_indices() {
        match (quote, c) {
            (Some(open), _) => quote = quote.filter(|_| open != c),
            (None, '\'' | '"') => quote = Some(c),
            (None, '#') if before.is_whitespace() => return line[..at].trim_end(),
            (None, _) => {}
        }
        before = c;
    }
    line.trim_end()
}

fn key_and_value(line: &str) -> Option<(&str, &str)> {
    let (key, value) = line.split_once(':')?;
    let is_key = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    is_key.then(|| (key, value.trim()))
}

/// Adds the items of a list that stand in one line.
fn add(entries: &mut Vec<Entry>, platform: &str, items: &str) {
    let accounts = items.split(',').map(|item| unquoted(item.trim())).filter(|item| !item.is_empty());
    entries.extend(accounts.map(|account| Entry { platform: platform.to_owned(), account: account.to_owned() }));
}

fn unquoted(text: &str) -> &str {
    text.trim_matches(['"', '\'', ' '])
}

/// Where an account is, as Composer puts it together.
fn url(platform: &str, account: &str) -> Option<String> {
    if account.is_empty() || account.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return None;
    }
    let name = account.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    let (base, account) = match platform {
        "community_bridge" => ("https://funding.communitybridge.org/projects/", name),
        "github" => ("https://github.com/", name),
        "issuehunt" => ("https://issuehunt.io/r/", account),
        "ko_fi" => ("https://ko-fi.com/", name),
        "liberapay" => ("https://liberapay.com/", name),
        "open_collective" => ("https://opencollective.com/", name),
        "patreon" => ("https://www.patreon.com/", name),
        "tidelift" => ("https://tidelift.com/funding/github/", account),
        "polar" => ("https://polar.sh/", name),
        "buy_me_a_coffee" => ("https://www.buymeacoffee.com/", name),
        "thanks_dev" => ("https://thanks.dev/", account),
        "otechie" => ("https://otechie.com/", name),
        _ if account.starts_with("https://") || account.starts_with("http://") => ("", account),
        "custom" if is_domain(account) => ("https://", account),
        _ => return None,
    };
    Some(format!("{base}{account}"))
}

/// `example.org`: what Composer takes for an address without its scheme.
fn is_domain(text: &str) -> bool {
    let Some((name, top)) = text.split_once('.') else { return false };
    let is_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !name.is_empty()
        && name.bytes().all(is_name)
        && (2..=3).contains(&top.len())
        && top.bytes().all(|byte| byte.is_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(String, String)> {
        read_funding(text).into_iter().map(|one| (one.platform, one.url)).collect()
    }

    fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
        expected.iter().map(|(platform, url)| ((*platform).to_owned(), (*url).to_owned())).collect()
    }

    #[test]
    fn each_platform_has_its_address() {
        let text = "# Supported platforms\r\ngithub: [ada, \"bob\" , 'eve'] # three\npatreon: ada\n\
                    open_collective: \"https://opencollective.com/acme/\"\nko_fi: # Replace with a name\n\
                    tidelift: packagist/acme/lib\ncustom: [\"https://acme.test/pay?a=1#b\", acme.org, nonsense]\n\
                    lfx_crowdfunding: acme\n";
        assert_eq!(
            read(text),
            pairs(&[
                ("github", "https://github.com/ada"),
                ("github", "https://github.com/bob"),
                ("github", "https://github.com/eve"),
                ("patreon", "https://www.patreon.com/ada"),
                ("open_collective", "https://opencollective.com/acme"),
                ("tidelift", "https://tidelift.com/funding/github/packagist/acme/lib"),
                ("custom", "https://acme.test/pay?a=1#b"),
                ("custom", "https://acme.org"),
            ])
        );
    }

    #[test]
    fn lists_may_have_a_line_for_each_item() {
        let text = "github:\n  - ada\n  - 'bob' # second\ncustom: [\n  https://acme.test/one,\n  https://acme.test/two\n]\n\
                    polar: acme\n";
        assert_eq!(
            read(text),
            pairs(&[
                ("github", "https://github.com/ada"),
                ("github", "https://github.com/bob"),
                ("custom", "https://acme.test/one"),
                ("custom", "https://acme.test/two"),
                ("polar", "https://polar.sh/acme"),
            ])
        );
    }

    #[test]
    fn what_is_no_funding_is_passed_over() {
        for text in
            ["", "[", "github:", "github: []", "- ada", "github: a b", "custom: javascript:alert(1)", ": x", "{}"]
        {
            assert_eq!(read(text), pairs(&[]), "{text}");
        }
        let many = format!("github: [{}]", "a,".repeat(1000));
        assert_eq!(read(&many).len(), MAX_ENTRIES);
    }
}
