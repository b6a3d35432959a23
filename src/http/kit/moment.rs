//! Moments in the bodies and queries of requests, in every form that is taken.

use serde::de::Error;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use utoipa::ToSchema;

use crate::ports::Millis;
use crate::registry::kernel::dates::{read_day, read_stated_moment};

/// `YYYY-MM-DD HH:MM:SS` in UTC, ISO 8601 (`2028-01-01T00:00:00+01:00`), or unix seconds, as a number or in a text. A day
/// alone, `YYYY-MM-DD`, is its last second in UTC.
#[derive(Debug, Clone, Copy, ToSchema)]
#[schema(value_type = String, example = "2028-01-01 00:00:00")]
pub struct Moment(pub Millis);

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let stated = Value::deserialize(deserializer)?;
        read_stated_moment(&stated).map(Self).ok_or_else(|| {
            D::Error::custom(
                "must be a moment: `YYYY-MM-DD HH:MM:SS` in UTC, ISO 8601 like `2028-01-01T00:00:00+01:00`, unix seconds, \
                 or a day, which stands for its last second in UTC",
            )
        })
    }
}

/// The same, from which on something is asked for: a day alone is its first moment, so that nothing of it is left out.
#[derive(Debug, Clone, Copy)]
pub struct MomentSince(pub Millis);

impl<'de> Deserialize<'de> for MomentSince {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let stated = Value::deserialize(deserializer)?;
        let day = stated.as_str().and_then(|text| read_day(text.trim()));
        day.or_else(|| read_stated_moment(&stated)).map(Self).ok_or_else(|| {
            D::Error::custom("must be a moment: `YYYY-MM-DD HH:MM:SS` in UTC, ISO 8601, unix seconds, or a day")
        })
    }
}
