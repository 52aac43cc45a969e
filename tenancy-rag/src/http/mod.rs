//! For axum 0.8: uploading, progress, searching, opening a citation.
//!
//! | route | what | answer |
//! |---|---|---|
//! | `PUT /kb/sources/{name}/documents?uri=…&roles=a,b&title=…` | the raw document, streamed, with its `Content-Type` | 201 or 200 with the document, or 202 with an ingestion where there is a queue |
//! | `GET /kb/ingestions/{id}` | how far it is | 200 |
//! | `POST /kb/search` | `{"query", "k"?, "min_score"?, "source"?}` | 200 with hits and citations |
//! | `POST /kb/citations` | a citation as a search gave it | 200 with its text |
//!
//! Behind [`TenantLayer`](tenancy_core::http::TenantLayer). Errors are problem details with the
//! codes of [`Error`], by the core's table, and 413 for a document over a size limit, 415 for a
//! media type that nobody reads.

mod read;
mod upload;

use std::sync::Arc;

use axum::{
    Router,
    extract::rejection::{JsonRejection, PathRejection, QueryRejection},
    routing::{get, post, put},
};
use tenancy_core::http::Problem;

use crate::{Error, Ingestor, Retriever};

#[derive(Clone)]
struct Kb {
    ingestor: Ingestor,
    retriever: Retriever,
}

/// The routes of a knowledge base.
///
/// ```no_run
/// # use std::sync::Arc;
/// # use tenancy_core::{Authenticate, TenantDb, http::{TenantLayer, TenantSource}};
/// # use tenancy_rag::{Ingestor, Retriever, http::kb_routes};
/// # fn app(db: TenantDb, login: Arc<dyn Authenticate>, ingestor: Ingestor, retriever: Retriever) -> axum::Router {
/// let tenants = TenantLayer::new(db, login, [TenantSource::Header("x-tenant".into())]);
/// axum::Router::new().merge(kb_routes(ingestor, retriever)).layer(tenants)
/// # }
/// ```
pub fn kb_routes(ingestor: Ingestor, retriever: Retriever) -> Router {
    Router::new()
        .route("/kb/sources/{source}/documents", put(upload::put_document))
        .route("/kb/ingestions/{id}", get(read::ingestion))
        .route("/kb/search", post(read::search))
        .route("/kb/citations", post(read::citation))
        .with_state(Arc::new(Kb {
            ingestor,
            retriever,
        }))
}

/// An error as the client sees it.
fn problem(error: Error) -> Problem {
    use axum::http::StatusCode;
    let status = match error.code() {
        "document_too_large" | "chunks_too_many" | "pages_too_many" | "text_too_long" => {
            StatusCode::PAYLOAD_TOO_LARGE
        }
        "media_type_unsupported" => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        _ => {
            let error = tenancy_core::Error::from(error);
            let problem = Problem::from(&error);
            if problem.status() >= 500 {
                tracing::error!(%error, code = error.code(), "a request to the knowledge base failed");
            }
            return problem;
        }
    };
    Problem::new(status, error.code(), error.to_string())
}

fn bad_body(rejection: &JsonRejection) -> Problem {
    Problem::new(rejection.status(), "body_invalid", rejection.body_text())
}

fn bad_query(rejection: &QueryRejection) -> Problem {
    Problem::new(rejection.status(), "query_invalid", rejection.body_text())
}

fn bad_path(rejection: &PathRejection) -> Problem {
    Problem::new(rejection.status(), "path_invalid", rejection.body_text())
}
