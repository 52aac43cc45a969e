//! Runs the server until stdin closes. The first line on stdout is its URL.
//!
//! `SMARTLEAD_API_KEY` is the bearer token it asks for (`test-key` by default).

#[tokio::main]
async fn main() -> std::io::Result<()> {
    example_smartlead_server::run().await
}
