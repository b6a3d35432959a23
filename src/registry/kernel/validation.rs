//! What is wrong with a request, field by field.

use crate::ports::Millis;
use crate::registry::kernel::failure::Failure;

/// What is wrong, by field.
#[derive(Default)]
pub struct FieldErrors(Vec<(String, String)>);

impl FieldErrors {
    /// Notes what is wrong with a field.
    pub fn push(&mut self, field: impl Into<String>, text: impl Into<String>) {
        self.0.push((field.into(), text.into()));
    }

    /// Notes a `status` that says neither enabled nor disabled.
    pub fn check_enabled(&mut self, status: Option<i64>) {
        if status.is_some_and(|status| !(0..=1).contains(&status)) {
            self.push("status", "must be 1 for enabled or 0 for disabled");
        }
    }

    /// Notes a moment that is no unix time in seconds.
    pub fn check_moment(&mut self, field: impl Into<String>, moment: Option<Millis>) {
        if moment.is_some_and(|moment| !(Millis(0)..=Millis::LAST).contains(&moment)) {
            self.push(field, "must be unix time in seconds");
        }
    }

    /// Notes a text that is empty, longer than `most` characters, or more than one line.
    pub fn check_text(&mut self, field: &str, text: Option<&str>, most: usize) {
        match text.map(str::trim) {
            Some("") => self.push(field, "must not be empty"),
            Some(text) if text.chars().count() > most => {
                self.push(field, format!("must not be longer than {most} characters"));
            }
            Some(text) if text.chars().any(char::is_control) => self.push(field, "must be one line of text"),
            _ => {}
        }
    }

    /// Notes a text of more than `most` characters that is no URL of the web.
    pub fn check_link(&mut self, field: &str, text: Option<&str>, most: usize) {
        self.check_text(field, text, most);
        let is_web = |url: url::Url| matches!(url.scheme(), "http" | "https");
        if text.is_some_and(|text| !url::Url::parse(text).is_ok_and(is_web)) {
            self.push(field, "must be an http or https URL");
        }
    }

    /// Refuses a request in which something is wrong.
    pub fn into_result(self) -> Result<(), Failure> {
        if self.0.is_empty() {
            return Ok(());
        }
        let detail = self.0.iter().map(|(field, text)| format!("`{field}` {text}")).collect::<Vec<_>>().join("; ");
        let failure = Failure::invalid(detail);
        Err(self.0.into_iter().fold(failure, |failure, (field, text)| failure.with_field(&field, text)))
    }
}
