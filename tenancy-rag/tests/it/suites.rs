//! The conformance suites, on every implementation that ships.

use tenancy_rag::{
    HashEmbedder, HtmlExtractor, MarkdownExtractor, MediaType, PlainExtractor, SplitterChunker,
    Upload, testing::conformance,
};

use crate::common::{TestEmbedder, World};

#[tokio::test]
async fn embedders_keep_the_contract() {
    let world = World::new().await;
    for dimensions in [16, 384, 1536] {
        let embedder = HashEmbedder::new(dimensions).unwrap();
        conformance::embedder(&embedder, &world.admin).await;
    }
    conformance::embedder(&TestEmbedder::new(), &world.admin).await;
}

#[tokio::test]
async fn extractors_keep_the_contract() {
    let world = World::new().await;
    let ctx = &world.admin;
    let upload = |media_type, text: &str| Upload::new(media_type, text.as_bytes());
    conformance::extractor(
        &PlainExtractor::new(),
        ctx,
        &upload(MediaType::plain(), "Grüße 🦀"),
        "Grüße",
    )
    .await;
    let markdown = upload(MediaType::markdown(), "# Título\n\n- one 🦀\n- two");
    conformance::extractor(&MarkdownExtractor::new(), ctx, &markdown, "- one").await;
    let html = upload(
        MediaType::html(),
        "<h1>T&eacute;</h1><p>one &lt; two 🦀</p>",
    );
    conformance::extractor(&HtmlExtractor::new(), ctx, &html, "one < two").await;
}

#[test]
fn chunkers_keep_the_contract() {
    for size in [10, 200, 1_200] {
        conformance::chunker(&SplitterChunker::new(size));
    }
}
