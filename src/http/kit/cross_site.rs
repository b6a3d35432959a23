//! Requests that a page of another site has a browser send.
//!
//! A browser adds the user name and the password that it knows for our address to whatever any page has it send there. It
//! says with the request whose page that is. Nothing here answers CORS, so that no such page reads an answer or sends a
//! token of its own choice; but a form needs neither. So what changes something is refused when it comes with such
//! credentials from another site's page.

use http::header::{AUTHORIZATION, ORIGIN};
use http::request::Parts;

use crate::http::kit::body::SEC_FETCH_SITE;
use crate::http::kit::extract::base_url;
use crate::registry::kernel::failure::{Failure, Kind};

/// Checks that a request is none of another site's page, if it changes something and a browser may have added its
/// credentials.
///
/// # Errors
/// `Forbidden` when it is.
pub fn check(parts: &Parts) -> Result<(), Failure> {
    if parts.method.is_safe() || !has_basic_credentials(parts) || is_own(parts) {
        return Ok(());
    }
    let detail = "This request comes from a page of another site, with the password that the browser keeps for this one. \
                  Send it without a browser, or with a Bearer token.";
    Err(Failure::new(Kind::Forbidden, detail))
}

fn has_basic_credentials(parts: &Parts) -> bool {
    let header = parts.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    header.trim_start().get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("basic"))
}

/// Whether it comes from no page or from one of ours. Only the browser itself can write `Sec-Fetch-Site`; browsers that do
/// not yet send it send `Origin` with everything that a form sends.
fn is_own(parts: &Parts) -> bool {
    let text = |name: &str| parts.headers.get(name).map(|value| value.to_str().unwrap_or_default());
    if let Some(site) = text(SEC_FETCH_SITE) {
        return ["same-origin", "none"].contains(&site);
    }
    text(ORIGIN.as_str()).is_none_or(|origin| base_url(parts).is_ok_and(|own| own.eq_ignore_ascii_case(origin)))
}

#[cfg(test)]
mod tests {
    use http::{Method, Request};

    use super::*;

    fn is_refused(method: Method, headers: &[(&str, &str)]) -> bool {
        let request = Request::builder().method(method).uri("https://registry.test/api/users");
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        check(&request.body(()).expect("a request").into_parts().0).is_err()
    }

    const BASIC: (&str, &str) = ("authorization", "basic eDp5");

    #[test]
    fn what_changes_something_with_a_remembered_password_comes_from_a_page_of_ours_or_from_none() {
        for (site, refused) in [("same-origin", false), ("none", false), ("same-site", true), ("cross-site", true)] {
            let from = ("sec-fetch-site", site);
            assert_eq!(is_refused(Method::POST, &[BASIC, from]), refused, "{site}");
            assert_eq!(is_refused(Method::DELETE, &[BASIC, from]), refused, "{site}");
            assert!(!is_refused(Method::GET, &[BASIC, from]), "{site}: nothing is changed");
            assert!(!is_refused(Method::POST, &[("authorization", "Bearer t"), from]), "{site}: no browser adds that");
            assert!(!is_refused(Method::POST, &[from]), "{site}: there are no credentials");
        }
    }

    #[test]
    fn a_browser_that_only_says_the_origin_is_believed() {
        let origins = [("https://registry.test", false), ("https://evil.test", true), ("null", true)];
        for (origin, refused) in origins {
            assert_eq!(is_refused(Method::POST, &[BASIC, ("origin", origin)]), refused, "{origin}");
        }
        assert!(!is_refused(Method::POST, &[BASIC]), "composer and curl say nothing");
        let proxied = [BASIC, ("origin", "https://other.test"), ("sec-fetch-site", "same-origin")];
        assert!(!is_refused(Method::POST, &proxied), "a proxy may have changed the host");
    }
}
