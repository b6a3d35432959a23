//! Consumers that move in from another system.

use std::collections::BTreeMap;

use axum::response::Response;
use http::StatusCode;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::http::kit::extract::from_value;
use crate::http::kit::idempotency::{IdempotentJson, answered};
use crate::http::kit::request_auth::RequestAuth;
use crate::http::kit::requirement::StorefrontWrite;
use crate::http::storefront::consumer_body::ConsumerRequest;
use crate::json::Spelling;
use crate::registry::kernel::failure::Failure;
use crate::registry::storefront::consumer_imports::{ImportResult, ImportedLine, import};

/// What became of a consumer of an import.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"index": 0, "result": "created", "id": 1}))]
pub struct ImportedConsumerView {
    /// Its place in the request, from 0 on.
    index: usize,
    /// `created`; `exists`: there is one with this public key or of this customer, which stays as it is; or `refused`.
    result: &'static str,
    /// The consumer's id, unless it was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<i64>,
    /// What is wrong with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// Field name → what is wrong with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<BTreeMap<String, Vec<String>>>,
}

impl ImportedConsumerView {
    fn new(index: usize, line: ImportedLine) -> Self {
        let result = match line.result {
            ImportResult::Created => "created",
            ImportResult::Exists => "exists",
            ImportResult::Refused => "refused",
        };
        let (error, details) = line.failure.map(|failure| (failure.error, failure.details)).unzip();
        Self { index, result, id: line.id, error, details }
    }
}

fn views(lines: Vec<ImportedLine>) -> Vec<ImportedConsumerView> {
    lines.into_iter().enumerate().map(|(index, line)| ImportedConsumerView::new(index, line)).collect()
}

/// Makes consumers with the keys and the dates that they had elsewhere, and with their permissions; up to 1000 of them, with 10,000
/// permissions together. What is wrong with one does not stop the others. Each is known by its public key or its customer, so that
/// doing it twice makes none twice.
#[utoipa::path(
    post,
    path = "/consumers/import",
    tag = "storefront",
    request_body(
        content = Vec<ConsumerRequest>,
        example = json!([{
            "email": "one@example.com", "public_key": "zPMmf9HhaOPwuGsF", "private_key": "XzVTo8rLAvOffhh1",
            "customer_id": "42", "created_at": "2018-01-01 00:00:00",
            "entitlements": [{"package": "acme/extension", "version": "5.*", "order_id": "1001"}]
        }])
    ),
    responses(
        (status = 200, description = "What became of each, in their order", body = Vec<ImportedConsumerView>),
        (status = 409, description = "Others go on making such consumers")
    )
)]
pub async fn import_consumers(
    auth: RequestAuth<StorefrontWrite>,
    body: Result<IdempotentJson<Vec<Value>>, Failure>,
) -> Result<Response, Failure> {
    let issuer = auth.issuer().await?;
    let IdempotentJson { value, key } = body?;
    let line =
        |value: &Value| from_value::<ConsumerRequest>(value, Spelling::Loose).and_then(ConsumerRequest::into_line);
    let lines = value.iter().map(line).collect();
    let answer = import(auth.app(), &issuer, key, lines).await?;
    Ok(answered(StatusCode::OK, &answer.map(views)))
}
