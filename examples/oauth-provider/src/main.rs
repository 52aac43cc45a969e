//! Runs the provider until stdin closes. The first line on stdout is its URL.

#[tokio::main]
async fn main() -> std::io::Result<()> {
    example_oauth_provider::serve().await
}
