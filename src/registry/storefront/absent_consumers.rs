//! What is answered when there is no such consumer: it may have become part of another.

use crate::registry::kernel::app::App;
use crate::registry::kernel::failure::{Failure, Kind};
use crate::store::OrganizationId;
use crate::store::storefront::consumer_merges::{self, MergedConsumer};

/// What is answered when there is no consumer with this id: what it has become part of, if it was merged.
pub async fn absent(app: &App, organization: OrganizationId, id: i64) -> Failure {
    match app.ports.database.ask(consumer_merges::of_former(organization, id)).await {
        Ok(Some(MergedConsumer { consumer_id })) => {
            let detail = format!("Consumer {id} was merged into consumer {consumer_id}. Use that one.");
            Failure::new(Kind::NotFound, detail)
        }
        Ok(None) => Failure::not_found("Consumer"),
        Err(error) => error.into(),
    }
}

/// The same of the consumer that the field `consumer_id` names.
pub async fn absent_in_body(app: &App, organization: OrganizationId, id: i64) -> Failure {
    match app.ports.database.ask(consumer_merges::of_former(organization, id)).await {
        Ok(Some(MergedConsumer { consumer_id })) => {
            let detail = format!("was merged into consumer {consumer_id}: name that one");
            Failure::invalid_field("consumer_id", detail)
        }
        Ok(None) => Failure::invalid_field("consumer_id", "is not the id of a consumer"),
        Err(error) => error.into(),
    }
}
