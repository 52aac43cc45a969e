//! Progress, searches, citations.

use std::sync::Arc;

use axum::{
    Json,
    extract::{
        Path, State,
        rejection::{JsonRejection, PathRejection},
    },
};
use serde::{Deserialize, Serialize};
use tenancy_core::http::{Problem, Tenant};

use super::{Kb, bad_body, bad_path, problem};
use crate::{Citation, Ingestion, IngestionId, RetrieveOptions, Retrieved, SourceId};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Question {
    query: String,
    k: Option<u16>,
    min_score: Option<f32>,
    source: Option<SourceId>,
}

#[derive(Debug, Serialize)]
pub(super) struct Opened {
    text: String,
}

pub(super) async fn ingestion(
    State(kb): State<Arc<Kb>>,
    Tenant(ctx): Tenant,
    id: Result<Path<IngestionId>, PathRejection>,
) -> Result<Json<Ingestion>, Problem> {
    let Path(id) = id.map_err(|rejection| bad_path(&rejection))?;
    kb.ingestor.get(&ctx, id).await.map(Json).map_err(problem)
}

pub(super) async fn search(
    State(kb): State<Arc<Kb>>,
    Tenant(ctx): Tenant,
    question: Result<Json<Question>, JsonRejection>,
) -> Result<Json<Retrieved>, Problem> {
    let Json(question) = question.map_err(|rejection| bad_body(&rejection))?;
    let mut options = RetrieveOptions::default();
    options.k = question.k.unwrap_or(options.k);
    options.min_score = question.min_score;
    options.source = question.source;
    kb.retriever
        .retrieve(&ctx, &question.query, options)
        .await
        .map(Json)
        .map_err(problem)
}

pub(super) async fn citation(
    State(kb): State<Arc<Kb>>,
    Tenant(ctx): Tenant,
    citation: Result<Json<Citation>, JsonRejection>,
) -> Result<Json<Opened>, Problem> {
    let Json(citation) = citation.map_err(|rejection| bad_body(&rejection))?;
    let passage = kb
        .retriever
        .open_citation(&ctx, &citation)
        .await
        .map_err(problem)?;
    Ok(Json(Opened { text: passage.text }))
}
