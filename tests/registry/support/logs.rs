//! What the registry writes to its log, one buffer a test.

use std::cell::RefCell;
use std::sync::Once;

thread_local! {
    static LINES: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

struct Collector;

impl log::Log for Collector {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        if record.target().starts_with("rostrum") {
            LINES.with(|lines| lines.borrow_mut().push(format!("{} {}", record.level(), record.args())));
        }
    }

    fn flush(&self) {}
}

static INSTALL: Once = Once::new();

/// Starts a test's log. Every test has a thread of its own.
pub fn begin() {
    INSTALL.call_once(|| {
        log::set_logger(&Collector).expect("no other logger");
        log::set_max_level(log::LevelFilter::Trace);
    });
    LINES.with(|lines| lines.borrow_mut().clear());
}

/// Everything that was logged so far.
pub fn text() -> String {
    LINES.with(|lines| lines.borrow().join("\n"))
}
