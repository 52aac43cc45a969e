//! For axum 0.8: the routes of the OAuth broker.
//!
//! | route | who | what |
//! |---|---|---|
//! | `GET /api/oauth/connections` | `oauth.read` | the tenant's connections |
//! | `GET /api/oauth/{provider}/start` | `oauth.connect` | 303 to the provider, or its URL as JSON |
//! | `GET /api/oauth/{provider}/callback` | the user who began | 303 to where the flow ends |
//! | `DELETE /api/oauth/{provider}/connections/{id}` | `oauth.connect` | revokes and wipes |
//!
//! `start` takes `scopes` (separated by spaces), `return_to` and `reconnect`, and answers
//! `{"authorize_url": …}` to a client that accepts JSON only. The callback's URL names no tenant,
//! as the provider knows but one redirect URI: the state does. Errors are problem details.

mod cookie;
mod routes;

pub use routes::oauth_routes;
