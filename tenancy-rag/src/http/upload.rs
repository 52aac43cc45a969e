//! A document comes in.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use axum::{
    Json,
    body::Body,
    extract::{
        Path, Query, State,
        rejection::{PathRejection, QueryRejection},
    },
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use http_body_util::BodyExt as _;
use serde::Deserialize;
use serde_json::json;
use tenancy_core::{
    RoleKey, TenantCtx,
    http::{Problem, Tenant},
};

use super::{Kb, bad_path, bad_query, problem};
use crate::{ByteSource, DocUri, Error, ErrorKind, MediaType, NewDocument, SourceName, Title};

/// A client that sends nothing for so long has gone away.
const IDLE: Duration = Duration::from_mins(1);

#[derive(Debug, Deserialize)]
pub(super) struct About {
    uri: String,
    title: Option<String>,
    roles: String,
}

pub(super) async fn put_document(
    State(kb): State<Arc<Kb>>,
    Tenant(ctx): Tenant,
    source: Result<Path<String>, PathRejection>,
    about: Result<Query<About>, QueryRejection>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let Path(source) = source.map_err(|rejection| bad_path(&rejection))?;
    let Query(about) = about.map_err(|rejection| bad_query(&rejection))?;
    // A task of its own: when the client goes away, the upload is still ended in order.
    let work = tokio::spawn(async move { take(&kb, &ctx, &source, about, &headers, body).await });
    match work.await {
        Ok(answer) => answer.map_err(problem),
        Err(_) => Err(problem(Error::new(
            ErrorKind::Unavailable,
            "runtime_stopping",
            "the server is shutting down",
        ))),
    }
}

async fn take(
    kb: &Kb,
    ctx: &TenantCtx,
    source: &str,
    about: About,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, Error> {
    let media_type = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .ok_or_else(|| Error::invalid("media_type_invalid", "the request has no `Content-Type`"))?;
    let roles = about
        .roles
        .split(',')
        .map(str::trim)
        .filter(|role| !role.is_empty());
    let roles = roles.map(RoleKey::parse).collect::<Result<Vec<_>, _>>()?;
    let (name, uri) = (SourceName::parse(source)?, DocUri::parse(&about.uri)?);
    let media_type = MediaType::parse(media_type)?;
    let title = about.title.as_deref().map(Title::parse).transpose()?;
    let source = kb.ingestor.source(ctx, &name).await?;
    let mut document = NewDocument::new(source, uri, media_type, roles)?;
    if let Some(title) = title {
        document = document.with_title(title);
    }
    let mut bytes = BodyBytes(body);
    if kb.ingestor.has_jobs() {
        let id = kb.ingestor.upload(ctx, document, &mut bytes).await?;
        let at = [(header::LOCATION, format!("/kb/ingestions/{id}"))];
        return Ok((StatusCode::ACCEPTED, at, Json(json!({ "ingestion": id }))).into_response());
    }
    let done = kb
        .ingestor
        .ingest(ctx, document, &mut bytes, &|_| ())
        .await?;
    let status = if done.version == 1 {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    Ok((status, Json(done)).into_response())
}

/// A request's body as it comes in.
struct BodyBytes(Body);

#[async_trait]
impl ByteSource for BodyBytes {
    async fn next(&mut self) -> Result<Option<Vec<u8>>, Error> {
        loop {
            let frame = tokio::time::timeout(IDLE, self.0.frame())
                .await
                .map_err(|_| cut_off())?;
            match frame {
                None => return Ok(None),
                Some(Err(_)) => return Err(cut_off()),
                Some(Ok(frame)) => {
                    // Trailers are no bytes of the document.
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data.to_vec()));
                    }
                }
            }
        }
    }
}

fn cut_off() -> Error {
    Error::invalid("upload_cut_off", "the upload ended before its end")
}
