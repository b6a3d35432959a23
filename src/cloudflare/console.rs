//! The log: the runtime's console.

use log::{Level, LevelFilter, Log, Metadata, Record};

struct Console;

impl Log for Console {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= Level::Info
    }

    fn log(&self, record: &Record<'_>) {
        match record.level() {
            Level::Error => worker::console_error!("{}", record.args()),
            Level::Warn => worker::console_warn!("{}", record.args()),
            _ => worker::console_log!("{}", record.args()),
        }
    }

    fn flush(&self) {}
}

/// Sends what is logged to the console, from now on.
pub fn install() {
    // It fails only when it was installed before.
    if log::set_logger(&Console).is_ok() {
        log::set_max_level(LevelFilter::Info);
    }
}
