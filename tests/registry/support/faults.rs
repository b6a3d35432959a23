//! Every call of a port broken once, before it is done and after.

use super::{Moment, Port, World};

/// One call to break.
#[derive(Debug, Clone, Copy)]
pub struct Break {
    pub port: Port,
    pub nth: usize,
    pub moment: Moment,
}

impl Break {
    pub fn arm(self, world: &World) {
        world.meter.break_nth(self.port, self.nth, self.moment);
    }

    pub fn is(self, port: Port, moment: Moment) -> bool {
        self.port == port && self.moment == moment
    }
}

/// Tells `story` once for every call of these ports; it says whether there was such a call. Says how many there were.
pub async fn break_every_call(ports: &[Port], story: impl AsyncFn(Break) -> bool) -> usize {
    let mut broken = 0;
    for port in ports {
        for moment in [Moment::Before, Moment::After] {
            for nth in 1.. {
                if !story(Break { port: *port, nth, moment }).await {
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
pub fn count(world: &World, table: &str) -> i64 {
    world.database.rows(&format!("SELECT count(*) AS n FROM {table}"))[0]["n"].as_i64().expect("a number")
}
