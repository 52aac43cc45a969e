use async_trait::async_trait;
use tenancy_core::TenantCtx;
use tenancy_rag::{
    Error, PathPolicy, Reranker, RetrieveOptions, Retrieved, SearchPath, SourceName,
};

use crate::common::World;

/// Many small documents, so that the paths differ.
pub(crate) async fn fill(world: &World, ctx: &TenantCtx, chunks: usize) {
    let paragraph = |n: usize| {
        format!(
            "Item {n} of group {} is called {} and weighs {} grams.\n\n",
            n % 17,
            word(n),
            n * 31 % 997
        )
    };
    let text: String = (0..chunks)
        .map(|n| format!("{}{}", paragraph(n), paragraph(n + 10_000)))
        .collect();
    let ingestor = world
        .ingestor()
        .with_chunker(std::sync::Arc::new(tenancy_rag::SplitterChunker::new(90)));
    let ingestor = ingestor.with_limits(tenancy_rag::IngestLimits::default().with_batch(1_000));
    world
        .put_with(&ingestor, ctx, "items.txt", &text, &["admin"])
        .await
        .unwrap();
}

pub(crate) fn word(n: usize) -> String {
    let syllables = ["ka", "lo", "mi", "ru", "se", "ta", "no", "vi"];
    (0..4).map(|at| syllables[(n >> (3 * at)) % 8]).collect()
}

async fn ask(world: &World, query: &str, options: RetrieveOptions) -> Retrieved {
    world
        .retriever()
        .retrieve(&world.admin, query, options)
        .await
        .unwrap()
}

#[tokio::test]
async fn the_path_follows_the_size_and_the_bits_agree_with_the_exact_answer() {
    let world = World::new().await;
    fill(&world, &world.admin, 800).await;
    let exact = RetrieveOptions::default().with_path(SearchPath::Exact);
    let (mut same, mut all) = (0, 0);
    for n in (0..800).step_by(80) {
        let query = format!("what does the item called {} weigh?", word(n));
        let by_size = ask(&world, &query, RetrieveOptions::default()).await;
        assert_eq!((by_size.path, by_size.candidates), (SearchPath::Bits, 400));
        let truth = ask(&world, &query, exact.clone()).await;
        assert_eq!((truth.path, truth.hits.len()), (SearchPath::Exact, 10));
        assert!(
            truth.hits[0].text.contains(&word(n)),
            "{query}: {}",
            truth.hits[0].text
        );
        assert!(
            truth
                .hits
                .windows(2)
                .all(|pair| pair[0].score >= pair[1].score)
        );
        all += truth.hits.len();
        same += truth
            .hits
            .iter()
            .filter(|hit| by_size.hits.iter().any(|other| other.chunk == hit.chunk))
            .count();
    }
    assert!(same * 100 >= all * 98, "the bits found {same} of {all}");

    let small = PathPolicy::default().with_exact_up_to(10_000);
    let retriever = world.retriever().with_policy(small);
    let found = retriever
        .retrieve(&world.admin, "item", RetrieveOptions::default())
        .await
        .unwrap();
    assert_eq!(found.path, SearchPath::Exact);
}

#[tokio::test]
async fn a_question_that_nothing_answers_gets_nothing_under_a_least_score() {
    let world = World::new().await;
    world
        .put(
            &world.admin,
            "a.txt",
            "Trains are booked by the office.",
            &["admin"],
        )
        .await
        .unwrap();
    let options = RetrieveOptions::default().with_min_score(0.2);
    assert_eq!(
        ask(&world, "who books trains?", options.clone())
            .await
            .hits
            .len(),
        1
    );
    assert_eq!(
        ask(&world, "quantum chromodynamics", options)
            .await
            .hits
            .len(),
        0
    );
}

#[tokio::test]
async fn before_the_first_document_there_is_nothing_and_no_error() {
    let world = World::new().await;
    assert_eq!(
        ask(&world, "anything", RetrieveOptions::default())
            .await
            .hits
            .len(),
        0
    );
}

#[tokio::test]
async fn a_search_can_be_narrowed_to_a_source() {
    let world = World::new().await;
    world
        .put(&world.admin, "a.txt", "Trains in the handbook.", &["admin"])
        .await
        .unwrap();
    let ingestor = world.ingestor();
    let other = ingestor
        .source(&world.admin, &SourceName::parse("wiki").unwrap())
        .await
        .unwrap();
    let document = crate::common::new(other, "a.txt", &["admin"]);
    let mut bytes = tenancy_rag::MemoryBytes::new("Trains in the wiki.");
    ingestor
        .ingest(&world.admin, document, &mut bytes, &|_| ())
        .await
        .unwrap();
    for path in [SearchPath::Exact, SearchPath::Bits] {
        let options = RetrieveOptions::default().with_path(path);
        assert_eq!(ask(&world, "trains", options.clone()).await.hits.len(), 2);
        let found = ask(&world, "trains", options.with_source(other)).await;
        assert_eq!(found.hits.len(), 1);
        assert!(found.hits[0].text.contains("wiki"));
    }
}

struct Shortest;

#[async_trait]
impl Reranker for Shortest {
    async fn score(&self, _: &TenantCtx, _: &str, passages: &[String]) -> Result<Vec<f32>, Error> {
        Ok(passages
            .iter()
            .map(|text| 1.0 / f32::from(u16::try_from(text.len()).unwrap()))
            .collect())
    }
}

struct Broken;

#[async_trait]
impl Reranker for Broken {
    async fn score(&self, _: &TenantCtx, _: &str, _: &[String]) -> Result<Vec<f32>, Error> {
        Ok(vec![f32::NAN])
    }
}

#[tokio::test]
async fn a_reranker_orders_what_was_found_and_its_nonsense_is_refused() {
    let world = World::new().await;
    world
        .put(
            &world.admin,
            "long.txt",
            "Trains are booked by the office on the second floor.",
            &["admin"],
        )
        .await
        .unwrap();
    world
        .put(&world.admin, "short.txt", "Short.", &["admin"])
        .await
        .unwrap();
    let retriever = world
        .retriever()
        .with_reranker(std::sync::Arc::new(Shortest));
    let options = RetrieveOptions::default().with_k(1);
    let found = retriever
        .retrieve(&world.admin, "who books trains?", options.clone())
        .await
        .unwrap();
    assert_eq!(found.hits[0].text, "Short.");
    let retriever = world.retriever().with_reranker(std::sync::Arc::new(Broken));
    let error = retriever
        .retrieve(&world.admin, "who books trains?", options)
        .await
        .unwrap_err();
    assert_eq!(error.code(), "reranker_invalid");
}
