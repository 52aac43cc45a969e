use tenancy_core::RoleKey;
use tenancy_rag::{
    Citation, DocUri, ErrorKind, IngestLimits, MediaType, MemoryBytes, NewDocument,
    RetrieveOptions, SourceId, SourceName, Title,
};

use crate::common::World;

#[tokio::test]
async fn a_bad_document_is_a_typed_error_stores_nothing_and_the_next_one_works() {
    let world = World::new().await;
    let source = world.source(&world.admin).await;
    let ingestor = world
        .ingestor()
        .with_limits(IngestLimits::default().with_max_bytes(1_000));
    let cases: &[(&str, &[u8], ErrorKind, &str)] = &[
        ("text/plain", b"", ErrorKind::InvalidInput, "document_empty"),
        (
            "text/plain",
            b"  \n\t ",
            ErrorKind::InvalidInput,
            "document_no_text",
        ),
        (
            "text/plain",
            b"ok \xff\xfe",
            ErrorKind::InvalidInput,
            "document_not_utf8",
        ),
        (
            "text/markdown",
            b"\xc3\x28",
            ErrorKind::InvalidInput,
            "document_not_utf8",
        ),
        (
            "text/html",
            b"<p>\x80</p>",
            ErrorKind::InvalidInput,
            "document_not_utf8",
        ),
        (
            "text/html",
            b"<script>only()</script>",
            ErrorKind::InvalidInput,
            "document_no_text",
        ),
        (
            "text/plain",
            b"a\0b",
            ErrorKind::InvalidInput,
            "document_has_nul",
        ),
        (
            "text/plain",
            &[b'x'; 1_001],
            ErrorKind::Limit,
            "document_too_large",
        ),
        (
            "application/pdf",
            b"%PDF-nonsense",
            ErrorKind::InvalidInput,
            "document_unreadable",
        ),
        (
            "image/png",
            b"png",
            ErrorKind::InvalidInput,
            "media_type_unsupported",
        ),
    ];
    for (media_type, bytes, kind, code) in cases {
        let uri = DocUri::parse("a").unwrap();
        let media_type = MediaType::parse(media_type).unwrap();
        let document =
            NewDocument::new(source, uri, media_type, [RoleKey::from_static("admin")]).unwrap();
        let error = ingestor
            .ingest(
                &world.admin,
                document,
                &mut MemoryBytes::new(*bytes),
                &|_| (),
            )
            .await
            .unwrap_err();
        assert_eq!((error.kind(), error.code()), (*kind, *code));
        assert_eq!(world.leftovers(world.admin.tenant()).await, 0, "{code}");
    }
    world
        .put_with(&ingestor, &world.admin, "a.txt", "Good words.", &["admin"])
        .await
        .unwrap();
}

#[tokio::test]
async fn a_bad_vector_is_a_typed_error_stores_nothing_and_the_next_one_works() {
    let world = World::new().await;
    let cases: [(Vec<Vec<f32>>, &str); 6] = [
        (vec![], "embedding_count"),
        (vec![vec![1.0; 1536]; 2], "embedding_count"),
        (vec![vec![1.0; 3]], "embedding_dimensions"),
        (
            vec![[vec![f32::NAN], vec![1.0; 1535]].concat()],
            "embedding_not_finite",
        ),
        (
            vec![[vec![f32::INFINITY], vec![1.0; 1535]].concat()],
            "embedding_not_finite",
        ),
        (vec![vec![0.0; 1536]], "embedding_zero"),
    ];
    for (vectors, code) in cases {
        world.embedder.answer_next(Ok(vectors.clone()));
        let error = world
            .put(&world.admin, "a.txt", "Some words.", &["admin"])
            .await
            .unwrap_err();
        assert_eq!(
            (error.kind(), error.code()),
            (ErrorKind::EmbeddingInvalid, code)
        );
        assert_eq!(world.leftovers(world.admin.tenant()).await, 0, "{code}");

        world.embedder.answer_next(Ok(vectors));
        let error = world
            .retriever()
            .retrieve(&world.admin, "q", RetrieveOptions::default())
            .await
            .unwrap_err();
        assert_eq!(error.code(), code, "of a question");
    }
    world
        .put(&world.admin, "a.txt", "Some words.", &["admin"])
        .await
        .unwrap();
}

#[tokio::test]
async fn a_bad_question_or_citation_is_a_typed_error() {
    let world = World::new().await;
    world
        .put(&world.admin, "a.txt", "Grüße an alle.", &["admin"])
        .await
        .unwrap();
    let retriever = world.retriever();
    let ask = |query: &str, options| {
        let (retriever, ctx, query) = (retriever.clone(), world.admin.clone(), query.to_owned());
        async move {
            retriever
                .retrieve(&ctx, &query, options)
                .await
                .unwrap_err()
                .code()
        }
    };
    let options = RetrieveOptions::default;
    assert_eq!(ask(" \n", options()).await, "query_empty");
    assert_eq!(ask(&"x".repeat(9_000), options()).await, "query_too_long");
    assert_eq!(ask("x", options().with_k(0)).await, "k_invalid");
    assert_eq!(ask("x", options().with_k(101)).await, "k_invalid");
    assert_eq!(
        ask("x", options().with_min_score(f32::NAN)).await,
        "min_score_invalid"
    );

    let found = retriever
        .retrieve(&world.admin, "Grüße", options())
        .await
        .unwrap();
    let good = &found.hits[0].citation;
    let open = |change: fn(&mut Citation)| {
        let mut citation = good.clone();
        change(&mut citation);
        let (retriever, ctx) = (retriever.clone(), world.admin.clone());
        async move { retriever.open_citation(&ctx, &citation).await }
    };
    assert_eq!(open(|_| ()).await.unwrap().text, "Grüße an alle.");
    for bad in [3..9, 0..3, 0..u32::MAX, 900..901, u32::MAX - 1..u32::MAX] {
        let mut citation = good.clone();
        citation.bytes = bad.clone();
        let error = retriever
            .open_citation(&world.admin, &citation)
            .await
            .unwrap_err();
        assert_eq!(error.code(), "citation_invalid", "{bad:?}");
    }
    #[expect(
        clippy::reversed_empty_ranges,
        reason = "that is what a hostile client sends"
    )]
    let backwards = open(|citation| citation.bytes = 5..2).await.unwrap_err();
    assert_eq!(backwards.code(), "citation_invalid");
    assert_eq!(
        open(|citation| citation.version = 7)
            .await
            .unwrap_err()
            .code(),
        "citation_unknown"
    );
}

#[tokio::test]
async fn names_and_ids_that_make_no_sense_are_typed_errors_and_the_next_upload_works() {
    let world = World::new().await;
    let long = |n: usize| "x".repeat(n);
    for bad in ["", "  \t", "a\0b", "two\nlines", &long(201)] {
        assert_eq!(
            SourceName::parse(bad).unwrap_err().code(),
            "source_name_invalid"
        );
    }
    for bad in ["", " ", "a\0b", "a\rb", &long(2_001)] {
        assert_eq!(DocUri::parse(bad).unwrap_err().code(), "uri_invalid");
    }
    for bad in ["", "\n", "a\u{7}b", &long(501)] {
        assert_eq!(Title::parse(bad).unwrap_err().code(), "title_invalid");
    }
    let uri = || DocUri::parse("a.txt").unwrap();
    let roles = |n: u32| (0..n).map(|n| RoleKey::parse(format!("role_{n}")).unwrap());
    let named = |n| NewDocument::new(SourceId::new(), uri(), MediaType::plain(), roles(n));
    assert_eq!(named(0).unwrap_err().code(), "roles_missing");
    assert_eq!(named(65).unwrap_err().code(), "roles_too_many");

    // A source that is not there, and one of another tenant.
    for source in [SourceId::new(), world.source(&world.stranger).await] {
        let document = NewDocument::new(
            source,
            uri(),
            MediaType::plain(),
            [RoleKey::from_static("admin")],
        );
        let error = world
            .ingestor()
            .ingest(
                &world.admin,
                document.unwrap(),
                &mut MemoryBytes::new("Words."),
                &|_| (),
            )
            .await
            .unwrap_err();
        assert_eq!(
            (error.kind(), error.code()),
            (ErrorKind::NotFound, "source_unknown")
        );
        assert!(!error.retry().is_retryable());
    }
    for tenant in [world.admin.tenant(), world.stranger.tenant()] {
        assert_eq!(world.leftovers(tenant).await, 0);
    }

    // SQL in a name is a name.
    let hostile = "x'); DROP TABLE tenancy.kb_docs; --";
    let ingestor = world.ingestor();
    let source = ingestor
        .source(&world.admin, &SourceName::parse(hostile).unwrap())
        .await
        .unwrap();
    let document = NewDocument::new(
        source,
        DocUri::parse(hostile).unwrap(),
        MediaType::plain(),
        [RoleKey::from_static("admin")],
    );
    let done = ingestor
        .ingest(
            &world.admin,
            document.unwrap(),
            &mut MemoryBytes::new("Good words."),
            &|_| (),
        )
        .await
        .unwrap();
    let stored = world.documents().get(&world.admin, done.doc).await.unwrap();
    assert_eq!(stored.unwrap().uri, hostile);
}
