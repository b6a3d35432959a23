//! Every call of a port broken once, before it is done and after.

use super::{FaultTiming, Port, TestRegistry};

/// One call to break.
#[derive(Debug, Clone, Copy)]
pub struct InjectedFault {
    pub port: Port,
    pub nth: usize,
    pub timing: FaultTiming,
}

impl InjectedFault {
    pub fn arm(self, registry: &TestRegistry) {
        registry.meter.break_nth(self.port, self.nth, self.timing);
    }

    pub fn is(self, port: Port, timing: FaultTiming) -> bool {
        self.port == port && self.timing == timing
    }
}

/// Tells `story` once for every call of these ports; it says whether there was such a call. Says how many there were.
pub async fn with_every_call_failing(ports: &[Port], scenario: impl AsyncFn(InjectedFault) -> bool) -> usize {
    let mut broken = 0;
    for port in ports {
        for timing in [FaultTiming::Before, FaultTiming::After] {
            for nth in 1.. {
                if !scenario(InjectedFault { port: *port, nth, timing }).await {
                    assert!(nth > 1, "{port:?} was never called");
                    break;
                }
                broken += 1;
            }
        }
    }
    broken
}

/// How many rows a table has.
pub fn count(registry: &TestRegistry, table: &str) -> i64 {
    registry.database.rows(&format!("SELECT count(*) AS n FROM {table}"))[0]["n"].as_i64().expect("a number")
}
